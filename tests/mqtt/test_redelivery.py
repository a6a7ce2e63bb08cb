"""What the broker sends again is told from what devices say again.

OddBroker sends exactly the packets that a case is about; mosquitto is in test_ingest.py.
"""
import time

import pytest

import packets
from world import OddBroker, Ingest, wait_until

RESUMED = b'\1\0'


class Session(OddBroker):
    """A broker that says from the second connection on that it kept the session."""

    def __init__(self, keeps=True):
        self.acknowledged = []
        self.keeps = keeps
        super().__init__(self.look)

    def look(self, wire, kind, flags, body):
        if kind == packets.CONNECT and wire.version == 5 and self.connections and self.keeps:
            wire.send(packets.CONNACK, RESUMED + packets.properties())
            self.connections.append(wire)
            return True
        if kind == packets.PUBACK:
            self.acknowledged.append(body.number(2))
            return True
        return False


def settle(broker, ingest):
    """Two messages, far enough apart to show that packet ids are given out in turn."""
    ingest.wait_ready()
    broker.connections[-1].publish('a', b'first', packet_id=1)
    ingest.wait_records(1)
    time.sleep(0.6)
    broker.connections[-1].publish('a', b'second', packet_id=2)
    ingest.wait_records(2)
    ingest.wait_stats(lambda s: s['knows_redelivered'], 'trust')


def begin_again(broker, ingest, how):
    count = len(broker.connections)
    if how == 'kill':
        ingest.kill()
    else:
        broker.connections[-1].close()
    wire = broker.wait_connection(count + 1)
    ingest.wait_ready()
    return wire


NO_CANARY = {'broker_canary': '0s'}


@pytest.mark.parametrize('how', ['reconnect', 'kill'])
def test_what_comes_again_is_acknowledged_dropped_and_counted(tmp_path, how):
    with Session() as broker, Ingest(tmp_path, broker.port, ['#'], NO_CANARY) as ingest:
        settle(broker, ingest)
        wire = begin_again(broker, ingest, how)
        broker.acknowledged.clear()
        wire.publish('a', b'first', packet_id=1, flags=8)
        wire.publish('a', b'second', packet_id=2, flags=8)
        wire.publish('a', b'second', packet_id=3, flags=8)   # not seen yet: said twice
        wire.publish('b', b'second', packet_id=4)            # another topic
        wire.publish('b', b'second', packet_id=5)            # the device says it again
        records = ingest.wait_records(5)
        wait_until(lambda: broker.acknowledged == [1, 2, 3, 4, 5], 'every PUBACK')
        assert [(r.topic, r.payload) for r in records] == [
            (b'a', b'first'), (b'a', b'second'), (b'a', b'second'), (b'b', b'second'),
            (b'b', b'second')]
        assert ingest.stats()['redelivered'] == 2


@pytest.mark.parametrize('how', ['reconnect', 'kill'])
def test_a_new_session_makes_everything_new(tmp_path, how):
    with Session(keeps=False) as broker, Ingest(tmp_path, broker.port, ['#'], NO_CANARY) as ingest:
        settle(broker, ingest)
        begin_again(broker, ingest, how).publish('a', b'second', packet_id=2, flags=8)
        assert len(ingest.wait_records(3)) == 3
        stats = ingest.stats()
        assert (stats['redelivered'], stats['knows_redelivered']) == (0, 0)
        assert stats['sessions_lost'] == 1
        assert 'the broker lost the session' in ingest.log()


@pytest.mark.parametrize('how', ['reconnect', 'kill'])
def test_a_broker_that_gives_the_same_id_again_is_not_trusted(tmp_path, how):
    """Otherwise the second of two equal messages could be taken for the first come again."""
    with Session() as broker, Ingest(tmp_path, broker.port, ['#'], NO_CANARY) as ingest:
        settle(broker, ingest)
        broker.connections[-1].publish('a', b'same', packet_id=1)
        ingest.wait_records(3)
        wire = begin_again(broker, ingest, how)
        wire.publish('a', b'same', packet_id=1, flags=8)  # a second one, perhaps
        assert len(ingest.wait_records(4)) == 4
        stats = ingest.stats()
        assert (stats['redelivered'], stats['knows_redelivered']) == (0, 0)


def test_properties_are_part_of_the_content(tmp_path):
    with Session() as broker, Ingest(tmp_path, broker.port, ['#'], NO_CANARY) as ingest:
        settle(broker, ingest)
        wire = broker.connections[-1]
        wire.publish('a', b'x', packet_id=3, items=[(0x26, ('unit', 'C'))])
        ingest.wait_records(3)
        wire = begin_again(broker, ingest, 'kill')
        wire.publish('a', b'x', packet_id=3, flags=8, items=[(0x26, ('unit', 'F'))])
        assert len(ingest.wait_records(4)) == 4
        wire.publish('a', b'x', packet_id=3, flags=8, items=[(0x26, ('unit', 'F'))])
        wire.publish('a', b'end', packet_id=4)
        assert ingest.wait_records(5)[-1].payload == b'end'
        assert ingest.stats()['redelivered'] == 1
