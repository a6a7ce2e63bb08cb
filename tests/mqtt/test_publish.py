"""The topic sink: what goes over the wire, verdicts, the window, restarts."""
import os
import signal
import struct
import threading
import time

import pytest

import packets
from world import Broker, Harness, OddBroker, wait_until

USER_PROPERTY, RECEIVE_MAXIMUM = 0x26, 0x21


class Publish(Harness):
    """The harness as a sink; write() sends a batch and gives (done, retry, reject, us, reason)."""

    def __init__(self, folder, port, options=None, arguments=()):
        super().__init__(folder, port, 'publish', arguments, options)

    def write(self, count, size=20, topic='a'):
        self.say(f'{count} {size} {topic}')
        words = self.answer(60)
        assert words[0] == 'verdicts', words
        return (*(int(word) for word in words[1:5]), ' '.join(words[5:]))

    def pid(self):
        self.say('pid')
        return int(self.answer()[1])


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path) as running:
        yield running


def test_messages_arrive_with_identity_and_hops(tmp_path, broker):
    client = packets.Client(broker.port, 'listener')
    client.subscribe('out/#')
    with Publish(tmp_path, broker.port, arguments=['--hops', '2']) as sink:
        assert sink.write(3, topic='out/x')[:3] == (3, 0, 0)
        for number in (1, 2, 3):
            topic, items, payload, retained = client.next_message()
            assert (topic, int(payload), retained) == (b'out/x', number, False)
            assert [value for code, value in items if code == USER_PROPERTY] == [
                (b'headgate-id', b'mqtt:%d:0' % number), (b'headgate-hops', b'3')]
        assert sink.stop() == 0
    client.close()


def test_version_3_1_1_has_no_properties(tmp_path):
    with OddBroker(versions=[4]) as broker:
        with Publish(tmp_path, broker.port) as sink:
            deadline = time.monotonic() + 20
            while sink.write(5)[0] != 5:
                assert time.monotonic() < deadline
            assert 'does not speak MQTT 5' in sink.log()


def test_retain_and_quality_0(tmp_path, broker):
    with Publish(tmp_path, broker.port,
                 arguments=['--with', 'retain=true', '--with', 'qos=0']) as sink:
        assert sink.write(50, topic='kept')[:3] == (50, 0, 0)

        def is_kept():  # sent does not mean that the broker has dealt with it already
            client = packets.Client(broker.port, 'late')
            client.subscribe('kept')
            _, _, payload, retained = client.next_message()
            client.close()
            return int(payload) == 50 and retained
        wait_until(is_kept, 'the last one to be retained')


@pytest.mark.parametrize('topic,words', [
    ('a/+', 'has a wildcard'), ('a/#', 'has a wildcard'), ('$SYS/x', 'belong to the broker'),
    ('', 'the topic is empty'), ('x' * 65536, 'too long')])
def test_topics_that_cannot_be_published_to_are_rejected(tmp_path, broker, topic, words):
    with Publish(tmp_path, broker.port) as sink:
        done, retry, reject, _, reason = sink.write(2, topic=topic)
        assert (done, retry, reject) == (0, 0, 2) and words in reason


def test_a_message_that_goes_round_is_rejected(tmp_path, broker):
    with Publish(tmp_path, broker.port, arguments=['--hops', '5']) as sink:
        done, retry, reject, _, reason = sink.write(1)
        assert reject == 1 and 'round in a circle' in reason


def test_a_topic_of_64_kb_and_a_payload_of_256_kb(tmp_path, broker):
    with Publish(tmp_path, broker.port) as sink:
        assert sink.write(1, 20, 'x' * 65535)[:3] == (1, 0, 0)
        assert sink.write(2, 262144)[:3] == (2, 0, 0)


class SlowBroker(OddBroker):
    """Acknowledges each message after a while; knows how many were unacknowledged at most."""

    def __init__(self, receive_maximum, delay_s=0.01):
        super().__init__(self.take, [(RECEIVE_MAXIMUM, receive_maximum)])
        self.delay_s = delay_s
        self.unacknowledged = 0
        self.most = 0
        self.lock = threading.Lock()

    def take(self, wire, kind, flags, body):
        if kind != packets.PUBLISH:
            return False
        packet_id = packets.take_publish(flags, body, wire.version)[1]
        with self.lock:
            self.unacknowledged += 1
            self.most = max(self.most, self.unacknowledged)
        threading.Timer(self.delay_s, self.acknowledge, (wire, packet_id)).start()
        return True

    def acknowledge(self, wire, packet_id):
        with self.lock:
            self.unacknowledged -= 1
            wire.send(packets.PUBACK, struct.pack('>H', packet_id))


@pytest.mark.parametrize('receive_maximum,window,expected', [(1, 20, 1), (5, 20, 5), (200, 7, 7)])
def test_the_window_is_kept_and_nothing_stalls(tmp_path, receive_maximum, window, expected):
    with SlowBroker(receive_maximum) as broker:
        with Publish(tmp_path, broker.port, {'publish_window': window}) as sink:
            sink.write(1)  # connects
            count = 50 * expected
            done, _, _, took_us, _ = sink.write(count)
            assert done == count
            assert expected / 2 < broker.most <= expected  # acknowledged while a burst is sent
            # a stall of Paho's takes up to a second each time the window is full
            assert took_us < 3_000_000


@pytest.mark.parametrize('code,expected,words', [
    (0x87, (0, 0, 3), 'not authorised'), (0x99, (0, 0, 3), 'payload format'),
    (0x97, (0, 3, 0), 'quota exceeded'), (0x10, (3, 0, 0), '')])
def test_the_brokers_reason_decides(tmp_path, code, expected, words):
    def refuse(wire, kind, flags, body):
        if kind != packets.PUBLISH:
            return False
        packet_id = packets.take_publish(flags, body, wire.version)[1]
        wire.send(packets.PUBACK, struct.pack('>HB', packet_id, code))
        return True

    with OddBroker(refuse) as broker:
        with Publish(tmp_path, broker.port) as sink:
            verdict = sink.write(3)
            assert verdict[:3] == expected and words in verdict[4]


def test_an_absent_broker_is_a_retry(tmp_path, broker):
    broker.kill()
    with Publish(tmp_path, broker.port) as sink:
        done, retry, reject, took_us, reason = sink.write(5)
        assert (done, retry, reject) == (0, 5, 0)
        assert took_us < 5_000_000 and reason == 'the broker is not connected'
        sink.wait_log('Connection refused')
        broker.start()
        wait_until(lambda: sink.write(5)[0] == 5, 'the broker to take messages')


def test_silence_is_a_retry_at_the_deadline(tmp_path):
    with OddBroker(lambda wire, kind, flags, body: kind == packets.PUBLISH) as broker:
        with Publish(tmp_path, broker.port, arguments=['--timeout', '1000']) as sink:
            done, retry, reject, took_us, reason = sink.write(30)
            assert (done, retry, reject) == (0, 30, 0)
            assert 900_000 < took_us < 2_400_000
            assert reason == 'the broker did not acknowledge in time'


def test_a_lost_connection_is_a_retry(tmp_path):
    def hang_up(wire, kind, flags, body):
        if kind == packets.PUBLISH and len(broker.connections) == 1:
            wire.close()
            return True
        return False

    with OddBroker(hang_up) as broker:
        with Publish(tmp_path, broker.port) as sink:
            done, retry, _, _, reason = sink.write(100)
            assert done == 0 and retry == 100 and 'lost' in reason
            wait_until(lambda: sink.write(100)[0] == 100, 'the next connection')


def test_a_killed_process_is_a_retry_and_comes_back(tmp_path):
    """Every record is delivered although the process is killed in the middle of batches."""
    arrived = set()

    def note(wire, kind, flags, body):
        if kind == packets.PUBLISH:
            start = body.at
            arrived.add(int(packets.take_publish(flags, body, wire.version)[3]))
            body.at = start
            time.sleep(0.001)
        return False

    with OddBroker(note) as broker:
        with Publish(tmp_path, broker.port) as sink:
            assert sink.write(10)[0] == 10
            for _ in range(3):
                pid = sink.pid()
                timer = threading.Timer(0.1, os.kill, (pid, signal.SIGKILL))
                timer.start()
                done, retry, reject, _, _ = sink.write(1000)
                timer.join()
                assert done + retry == 1000 and reject == 0
                if done < 1000:
                    assert 'signal 9' in sink.log()
                wait_until(lambda: sink.write(10)[0] == 10, 'the next process')


def test_order_is_kept(tmp_path, broker):
    client = packets.Client(broker.port, 'listener')
    client.subscribe('a')
    with Publish(tmp_path, broker.port) as sink:
        for _ in range(5):
            assert sink.write(1000)[0] == 1000
        numbers = [int(client.next_message()[2]) for _ in range(5000)]
        assert numbers == sorted(numbers)
    client.close()
