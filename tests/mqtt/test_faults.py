"""A broker and a disk that misbehave. The broker is made of Python (world.OddBroker)."""
import pathlib
import struct
import subprocess
import time

import pytest

import packets
from world import Broker, Ingest, OddBroker, wait_until

BAD_USER_NAME_OR_PASSWORD, NOT_AUTHORISED, SESSION_TAKEN_OVER = 0x86, 0x87, 0x8e


def test_a_broker_without_version_5_gets_3_1_1(tmp_path):
    with OddBroker(versions=[4]) as broker:
        with Ingest(tmp_path, broker.port, ['a']) as ingest:
            broker.wait_filter('a')
            assert broker.wait_connection(2).version == 4
            assert ingest.wait_ready()['protocol'] == 4
            assert 'does not speak MQTT 5' in ingest.log()
            # every start after that begins with 3.1.1
            ingest.kill()
            assert broker.wait_connection(3).version == 4


def test_retained_messages_are_not_asked_for_twice(tmp_path):
    with OddBroker() as broker:
        with Ingest(tmp_path, broker.port, ['a']) as ingest:
            ingest.wait_ready()
            broker.wait_connection().close()
            broker.wait_connection(2)
            wait_until(lambda: len(broker.filters) >= 4, 'two filters, twice')
            qos_1_and_retain_handling_1 = 1 | 1 << 4
            assert {each[1] for each in broker.filters} == {qos_1_and_retain_handling_1}
            assert all(each[2] for each in broker.filters)  # subscription identifiers


def test_topics_that_are_not_valid_are_counted_and_acknowledged(tmp_path):
    acknowledged = []

    def note(wire, kind, flags, body):
        if kind == packets.PUBACK:
            acknowledged.append(body.number(2))
        return kind == packets.PUBACK

    topics = [b'\xff\xfe', b'a\0b', b'a/+', b'', b'\xed\xa0\x80', b'#', b'good']
    with OddBroker(note) as broker:
        with Ingest(tmp_path, broker.port, ['#']) as ingest:
            ingest.wait_ready()
            for packet_id, topic in enumerate(topics, 1):
                broker.connections[0].publish(topic, b'x', packet_id=packet_id)
            assert [r.topic for r in ingest.wait_records(1)] == [b'good']
            wait_until(lambda: acknowledged == list(range(1, len(topics) + 1)), 'every PUBACK')
            assert ingest.stats()['dropped_bad_topic'] == len(topics) - 1
            assert "to '\\xff\\xfe': the topic is not valid" in ingest.log()


def test_broken_packets_cost_a_restart_at_most(tmp_path):
    pieces = [b'\x32\x03\xff\xff\xff\xf0\x00', b'\x30\xff\xff\xff\xff\xff', b'\x90\x02\x00\x01',
              b'\x32\x05\x00\x01a\x00\x01\x40\x00']
    with OddBroker() as broker:
        with Ingest(tmp_path, broker.port, ['a'], {'broker_protocol': '5'}) as ingest:
            for number, piece in enumerate(pieces, 1):
                wire = broker.wait_connection(number)
                ingest.wait_ready()
                wire.socket.sendall(piece)
                time.sleep(0.05)
                wire.close()
            broker.wait_connection(len(pieces) + 1)
            ingest.wait_ready()
            broker.connections[-1].publish('a', b'still here')
            assert ingest.wait_records(1)[-1].payload == b'still here'


@pytest.mark.parametrize('code,words', [
    (BAD_USER_NAME_OR_PASSWORD, 'the broker refuses: bad user name or password '
                                '(broker_username, broker_password)'),
    (NOT_AUTHORISED, 'the broker refuses: not authorised'),
    (0x85, 'the broker refuses: client id not valid (broker_client_id)'),
    (0x88, 'the broker refuses: broker unavailable')])
def test_a_refusal_is_named_and_asked_again_later(tmp_path, code, words):
    attempts = []

    def refuse_once(wire, kind, flags, body):
        if kind != packets.CONNECT:
            return False
        attempts.append(time.monotonic())
        if len(attempts) > 1:
            return False
        wire.send(packets.CONNACK, bytes([0, code]) + packets.properties())
        wire.close()
        return True

    with OddBroker(refuse_once) as broker:
        with Ingest(tmp_path, broker.port, ['a']) as ingest:
            ingest.wait_log(words)
            ingest.wait_ready()
            assert attempts[1] - attempts[0] >= 2


def test_a_session_taken_over_is_named_and_not_fought(tmp_path):
    def take_over(wire, kind, flags, body):
        if kind == packets.SUBSCRIBE:
            wire.send(packets.DISCONNECT, bytes([SESSION_TAKEN_OVER, 0]))
            wire.close()
            return True
        return False

    with OddBroker(take_over) as broker:
        with Ingest(tmp_path, broker.port, ['a']) as ingest:
            broker.wait_connection(3)
            times = [each.connected_at for each in broker.connections]
            assert times[1] - times[0] >= 2 and times[2] - times[1] >= 2
            assert ("connection lost: session taken over; another client uses the id 'headgate' "
                    '(broker_client_id)') in ingest.log()


def test_a_refused_filter_is_named_and_the_others_are_served(tmp_path):
    allowed = []

    def refuse_secret(wire, kind, flags, body):
        if kind != packets.SUBSCRIBE or allowed:
            return False
        start = body.at
        packet_id = body.take(2)
        body.properties()
        is_secret = body.text() == b'secret/#'
        body.at = start
        if is_secret:
            OddBroker.answer(wire, packets.SUBACK, packet_id, bytes([NOT_AUTHORISED]))
        return is_secret

    with OddBroker(refuse_secret) as broker:
        with Ingest(tmp_path, broker.port, ['secret/#', 'secret/open', 'other']) as ingest:
            # what the refused filter would have covered is asked for by itself
            wait_until(lambda: {each[0] for each in broker.filters} >= {'other', 'secret/open'},
                       'the others')
            ingest.wait_log("refuses the subscription to 'secret/#' (1 of 4 filters are refused)")
            stats = ingest.stats()
            assert (stats['refused'], stats['active'], stats['state']) == (1, 3, 2)
            allowed.append(True)
            broker.connections[0].close()
            ingest.wait_ready()
            assert ingest.stats()['refused'] == 0


def test_a_full_disk_holds_the_acknowledgements(tmp_path):
    """On a tmpfs of its own, in a mount namespace of the harness."""
    disk = tmp_path / 'disk'
    disk.mkdir()
    prefix = ['unshare', '--mount', 'sh', '-c',
              f'mount -t tmpfs -o size=3m none {disk} && head -c 1500000 /dev/zero > {disk}/filler'
              ' && exec "$@"', 'sh']
    if subprocess.run(['unshare', '--mount', 'true'], check=False).returncode != 0:
        prefix[1:1] = ['--user', '--map-root-user']
    if subprocess.run([*prefix, 'true'], check=False).returncode != 0:
        pytest.skip('this machine lets us mount nothing, as many containers do')
    with Broker(tmp_path, 'max_inflight_messages 20\n') as broker:
        with Ingest(tmp_path, broker.port, ['n'], {
                'data_dir': disk / 'data', 'segment_size': '256k', 'disk_reserve': '0', 'broker_keepalive': '5s'},
                prefix=prefix) as ingest:
            ingest.wait_ready()
            lines = b''.join(b'%-9000d\n' % number for number in range(1, 301))
            publisher = subprocess.Popen(
                ['mosquitto_pub', '-h', '127.0.0.1', '-p', str(broker.port), '-q', '1', '-t', 'n',
                 '-l'], stdin=subprocess.PIPE)
            publisher.communicate(lines, timeout=60)
            ingest.wait_log('the journal takes nothing')
            ingest.wait_stats(lambda s: s['gave_up'] >= 1, 'the process to give up')
            kept = len(ingest.records)
            assert 50 < kept < 300
            seen = pathlib.Path(f'/proc/{ingest.process.pid}/root{disk}/filler')
            seen.unlink()
            wait_until(lambda: set(ingest.numbers()) == set(range(1, 301)), 'every number', 60)
            assert ingest.stats()['append_failures'] > 0


def test_requests_survive_one_byte_at_a_time(tmp_path):
    """A message cut into single bytes, and one cut in the middle by the end of the connection."""
    with OddBroker() as broker:
        with Ingest(tmp_path, broker.port, ['a']) as ingest:
            ingest.wait_ready()
            body = packets.text('a') + struct.pack('>H', 9) + packets.properties() + b'slowly'
            packet = bytes([0x32]) + packets.varint(len(body)) + body
            for byte in packet:
                broker.connections[0].socket.sendall(bytes([byte]))
                time.sleep(0.005)
            assert ingest.wait_records(1)[0].payload == b'slowly'
            broker.connections[0].socket.sendall(packet[:-2])
            broker.connections[0].close()
            broker.wait_connection(2).socket.sendall(packet)
            assert [r.payload for r in ingest.wait_records(2)] == [b'slowly'] * 2
