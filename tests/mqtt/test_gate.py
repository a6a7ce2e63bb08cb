"""sync = always: an acknowledgement goes out when its message is on the medium, not before."""
import os
import pathlib
import socket
import struct
import subprocess
import time

import pytest

import packets
from world import Broker, Ingest, OddBroker, wait_until


class Medium:
    """What a sync costs, or the errno it fails with, under the processes that get `environment`."""

    def __init__(self, folder):
        self.control = pathlib.Path(folder) / 'medium'
        self.set()
        self.environment = {
            'LD_PRELOAD': os.environ['MEDIUM_LIBRARY'], 'MEDIUM': str(self.control),
            'ASAN_OPTIONS': 'verify_asan_link_order=0:detect_leaks=0'}

    def set(self, delay_s=0.0, error=0):
        fresh = self.control.with_suffix('.new')
        fresh.write_text(f'{int(delay_s * 1e6)} {error}\n')
        fresh.rename(self.control)


class Acknowledged:
    """For OddBroker: when each PUBACK came."""

    def __init__(self):
        self.times = {}
        self.pings = 0

    def __call__(self, wire, kind, flags, body):
        if kind == packets.PUBACK:
            self.times[body.number(2)] = time.monotonic()
        self.pings += kind == packets.PINGREQ
        return kind == packets.PUBACK


ALWAYS = {'sync': 'always', 'broker_canary': '0s'}


def begin_segment(broker, ingest):
    """A first message, so that what is measured needs no new file."""
    broker.connections[0].publish('a', b'0', packet_id=1000)
    wait_until(lambda: 1000 in broker.on_packet.times, 'the first PUBACK')
    ingest.wait_records(1)


def test_acknowledgement_and_rules_wait_for_the_sync(tmp_path):
    medium, acknowledged = Medium(tmp_path), Acknowledged()
    with OddBroker(acknowledged) as broker:
        with Ingest(tmp_path, broker.port, ['a'], ALWAYS, environment=medium.environment) as ingest:
            ingest.wait_ready()
            begin_segment(broker, ingest)
            medium.set(delay_s=0.5)
            begin = time.monotonic()
            broker.connections[0].publish('a', b'x', packet_id=1)
            ingest.wait_stats(lambda s: s['accepted'] == 2, 'the message in the journal')
            assert time.monotonic() - begin < 0.4, 'it is appended at once'
            assert 1 not in acknowledged.times
            ingest.wait_records(2)
            assert time.monotonic() - begin >= 0.5, 'a power cut could still take it'
            wait_until(lambda: 1 in acknowledged.times, 'the PUBACK')
            assert acknowledged.times[1] - begin >= 0.5


def test_rules_read_qos_0_at_once_where_nothing_waits(tmp_path):
    medium, acknowledged = Medium(tmp_path), Acknowledged()
    with OddBroker(acknowledged) as broker:
        with Ingest(tmp_path, broker.port, ['a'], ALWAYS, environment=medium.environment) as ingest:
            ingest.wait_ready()
            begin_segment(broker, ingest)
            medium.set(delay_s=0.5)
            begin = time.monotonic()
            broker.connections[0].publish('a', b'x', qos=0)
            ingest.wait_records(2)
            assert time.monotonic() - begin < 0.4
            time.sleep(1.2)  # nothing is awaited: its own sync is over then
            begin = time.monotonic()
            broker.connections[0].publish('a', b'x', packet_id=1)
            broker.connections[0].publish('a', b'x', qos=0)
            ingest.wait_records(4)
            assert 0.5 <= time.monotonic() - begin < 1.4, 'behind the message before it'


def test_one_sync_serves_many(tmp_path):
    medium, acknowledged = Medium(tmp_path), Acknowledged()
    with OddBroker(acknowledged) as broker:
        with Ingest(tmp_path, broker.port, ['a'], ALWAYS, environment=medium.environment) as ingest:
            ingest.wait_ready()
            begin_segment(broker, ingest)
            acknowledged.times.clear()
            medium.set(delay_s=0.2)
            before = ingest.stats()['syncs']
            for packet_id in range(1, 501):
                broker.connections[0].publish('a', b'x', packet_id=packet_id)
            wait_until(lambda: len(acknowledged.times) == 500, 'every PUBACK')
            assert list(acknowledged.times) == list(range(1, 501))
            assert ingest.stats()['syncs'] - before <= 10


def test_a_goodbye_leaves_nothing_to_be_sent_again(tmp_path):
    medium, acknowledged = Medium(tmp_path), Acknowledged()
    with OddBroker(acknowledged) as broker:
        with Ingest(tmp_path, broker.port, ['a'], ALWAYS, environment=medium.environment) as ingest:
            ingest.wait_ready()
            medium.set(delay_s=0.15)
            broker.connections[0].publish('a', b'x', packet_id=7)
            ingest.wait_stats(lambda s: s['accepted'] == 1, 'the message in the journal')
            ingest.stop()
            wait_until(lambda: 7 in acknowledged.times, 'the PUBACK', 5)


def test_a_connection_of_somebody_else_is_refused(tmp_path):
    with OddBroker() as broker:
        with Ingest(tmp_path, broker.port, ['a'], ALWAYS) as ingest:
            ingest.wait_ready()
            ports = [int(words[1].split(':')[1], 16)
                     for words in map(str.split, open('/proc/net/tcp', encoding='ascii'))
                     if words[3] == '0A' and int(words[9] if words[9].isdigit() else 0)
                     in sockets_of(ingest.pid())]
            assert len(ports) == 1
            broker.connections[0].close()  # the gate accepts again
            with socket.create_connection(('127.0.0.1', ports[0])) as foreign:
                foreign.settimeout(10)
                foreign.sendall(b'\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00')
                assert was_closed(foreign)
            ingest.wait_log('refused a connection of another process to the ack gate')
            broker.wait_connection(2)
            ingest.wait_ready()


def was_closed(connection):
    try:
        return connection.recv(10) == b''
    except ConnectionResetError:  # closed before what came was read
        return True


def sockets_of(pid):
    """The inode numbers of a process's sockets."""
    links = (os.readlink(each) for each in pathlib.Path(f'/proc/{pid}/fd').iterdir())
    return {int(link[8:-1]) for link in links if link.startswith('socket:[')}


def test_a_failed_sync_acknowledges_nothing(tmp_path):
    medium, acknowledged = Medium(tmp_path), Acknowledged()
    with OddBroker(acknowledged) as broker:
        with Ingest(tmp_path, broker.port, ['a'], {**ALWAYS, 'broker_keepalive': '5s'},
                    environment=medium.environment) as ingest:
            ingest.wait_ready()
            begin_segment(broker, ingest)
            acknowledged.times.clear()
            medium.set(error=5)
            for packet_id in range(1, 21):
                broker.connections[0].publish('a', b'%d' % packet_id, packet_id=packet_id)
            ingest.wait_stats(lambda s: s['sync_failures'] >= 3, 'failing syncs')
            pings = acknowledged.pings
            wait_until(lambda: acknowledged.pings > pings + 1, 'two more pings')
            assert not acknowledged.times
            assert ingest.stats()['state'] == 4, 'blocked'
            medium.set()
            wait_until(lambda: len(acknowledged.times) == 20, 'every PUBACK')
            stats = ingest.stats()
            assert (stats['restarts'], stats['connects'], stats['gave_up']) == (0, 1, 0)
            assert ingest.numbers() == list(range(21))


def mounted(disk, command):
    """The start of a command line that runs the rest with a tmpfs of 3 MB on `disk`, half full."""
    prefix = ['unshare', '--mount', 'sh', '-c',
              f'mount -t tmpfs -o size=3m none {disk} && {command} && exec "$@"', 'sh']
    if subprocess.run(['unshare', '--mount', 'true'], check=False).returncode != 0:
        prefix[1:1] = ['--user', '--map-root-user']
    if subprocess.run([*prefix, 'true'], check=False).returncode != 0:
        pytest.skip('this machine lets us mount nothing, as many containers do')
    return prefix


def test_a_full_disk_holds_the_acknowledgements_and_the_connection(tmp_path):
    disk = tmp_path / 'disk'
    disk.mkdir()
    prefix = mounted(disk, f'head -c 1500000 /dev/zero > {disk}/filler')
    with Broker(tmp_path, 'max_inflight_messages 20\n') as broker:
        with Ingest(tmp_path, broker.port, ['n'], {
                **ALWAYS, 'data_dir': disk / 'data', 'segment_size': '256k', 'disk_reserve': '0',
                'broker_keepalive': '5s'}, prefix=prefix) as ingest:
            ingest.wait_ready()
            lines = b''.join(b'%-9000d\n' % number for number in range(1, 301))
            broker.publish('n', lines, lines=True)
            ingest.wait_stats(lambda s: s['held'] > 0, 'messages in memory')
            begin = time.monotonic()
            wait_until(lambda: time.monotonic() - begin > 9, 'one and a half keep-alives', 20)
            kept = len(ingest.records)
            assert 50 < kept < 300
            assert ingest.stats()['state'] == 4
            pathlib.Path(f'/proc/{ingest.process.pid}/root{disk}/filler').unlink()
            wait_until(lambda: len(ingest.records) >= 300, 'every number', 60)
            assert ingest.numbers() == list(range(1, 301)), 'each once, in order'
            stats = ingest.stats()
            assert (stats['restarts'], stats['connects'], stats['gave_up'],
                    stats['sessions_lost'], stats['held']) == (0, 1, 0, 0, 0)


def test_bytes_come_and_go_in_any_pieces(tmp_path):
    acknowledged = Acknowledged()
    with OddBroker(acknowledged) as broker:
        with Ingest(tmp_path, broker.port, ['a'], ALWAYS) as ingest:
            ingest.wait_ready()
            body = packets.text('a') + struct.pack('>H', 9) + packets.properties() + b'slowly'
            packet = bytes([0x32]) + packets.varint(len(body)) + body
            for byte in packet:
                broker.connections[0].socket.sendall(bytes([byte]))
            wait_until(lambda: 9 in acknowledged.times, 'the PUBACK')
            broker.connections[0].publish('a', b'y' * 900000, packet_id=10)
            wait_until(lambda: 10 in acknowledged.times, 'the PUBACK of a large one')
            assert [len(each.payload) and each.size for each in ingest.records] == [6, 900000]


def test_a_limit_of_file_sizes_is_like_a_full_disk(tmp_path):
    acknowledged = Acknowledged()
    with OddBroker(acknowledged) as broker:
        with Ingest(tmp_path, broker.port, ['a'], {**ALWAYS, 'segment_size': '256k'},
                    prefix=['prlimit', '--fsize=100000:unlimited']) as ingest:
            ingest.wait_ready()
            broker.connections[0].publish('a', b'1', packet_id=1)
            ingest.wait_log('File too large')
            pid = ingest.pid()
            assert not acknowledged.times
            subprocess.run(['prlimit', '--pid', str(pid), '--fsize=unlimited'], check=True)
            wait_until(lambda: 1 in acknowledged.times, 'the PUBACK')
            assert ingest.pid() == pid and ingest.numbers() == [1]


def test_a_full_journal_holds_or_drops_as_it_is_told(tmp_path):
    acknowledged = Acknowledged()
    limits = {**ALWAYS, 'segment_size': '64k', 'journal_max': '192k'}
    with OddBroker(acknowledged) as broker:
        with Ingest(tmp_path, broker.port, ['a'], limits) as ingest:
            ingest.wait_ready()
            for number in range(1, 31):
                broker.connections[0].publish('a', b'%-9000d' % number, packet_id=number)
            ingest.wait_log("is full: it takes")
            ingest.wait_stats(lambda s: s['held'] > 0 and s['state'] == 4, 'messages in memory')
            wait_until(lambda: len(acknowledged.times) > 10, 'those that were kept')
            assert len(acknowledged.times) < 30
        drops = {**limits, 'journal_full': 'drop_oldest'}
        with Ingest(tmp_path, broker.port, ['a'], drops) as ingest:
            broker.wait_connection(2)
            ingest.wait_ready()
            for number in range(31, 61):
                broker.connections[1].publish('a', b'%-9000d' % number, packet_id=number)
            wait_until(lambda: set(range(31, 61)) <= set(acknowledged.times), 'every PUBACK')
            assert ingest.stats()['dropped_oldest'] > 10
            assert 'it is full: dropped its oldest' in ingest.log()
