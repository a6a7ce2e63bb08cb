"""A real mosquitto, a broker made of Python, and the harness, each stopped when its block ends.

Everything waits until something is so, with a time limit; only processes started here are stopped.
"""
import collections
import contextlib
import os
import pathlib
import queue
import signal
import socket
import struct
import subprocess
import threading
import time

import packets

HARNESS = os.environ['MQTT_HARNESS']
PATIENCE_S = 30

# For every gateway: ALL_OPTIONS='sync=always' runs the same tests through the ack gate.
ALL_OPTIONS = dict(each.split('=') for each in os.environ.get('ALL_OPTIONS', '').split())

Record = collections.namedtuple('Record', 'position flags topic props payload size')


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def wait_until(probe, what, timeout_s=PATIENCE_S, every_s=0.02):
    """Calls `probe` until it gives something true, and returns that."""
    end = time.monotonic() + timeout_s
    while True:
        result = probe()
        if result:
            return result
        assert time.monotonic() < end, f'waited {timeout_s} s for {what}'
        time.sleep(every_s)


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(('127.0.0.1', port)) == 0


class Broker:
    """mosquitto on a free port, with its own folder. `lines` are added to its configuration."""

    def __init__(self, folder, lines='', listener=None):
        self.folder = pathlib.Path(folder) / 'broker'
        self.folder.mkdir(exist_ok=True)
        self.port = free_port()
        self.lines = lines
        self.listener = listener
        self.process = None
        self.publishers = []
        self.start()

    def start(self):
        config = self.folder / 'mosquitto.conf'
        config.write_text(
            f'listener {self.port} 127.0.0.1\n{self.listener or "allow_anonymous true"}\n'
            'persistence true\nautosave_interval 1800\n'
            f'persistence_location {self.folder}/\nmax_queued_messages 0\n'
            'max_inflight_messages 1000\nset_tcp_nodelay true\nuser root\nlog_type all\n'
            f'{self.lines}')
        with open(self.folder / 'log', 'ab') as log:
            self.process = subprocess.Popen(['mosquitto', '-c', str(config)], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL)
        wait_until(lambda: is_listening(self.port), 'mosquitto')

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def lose_everything(self):
        """kill -9, and what it had saved is gone as well."""
        self.kill()
        (self.folder / 'mosquitto.db').unlink(missing_ok=True)

    def publish(self, topic, payload, *more, lines=False):
        """With QoS 1; returns when the broker has acknowledged."""
        payload = payload.encode() if isinstance(payload, str) else payload
        return subprocess.run(
            ['mosquitto_pub', '-h', '127.0.0.1', '-p', str(self.port), '-q', '1', '-t', topic,
             '-l' if lines else '-s' if payload else '-n', *more], input=payload,
            timeout=PATIENCE_S * 4, check=True)

    def publish_numbers(self, topic, first, last):
        """A publisher in the background; wait() gives 0 when the broker has acknowledged all."""
        publisher = subprocess.Popen(
            ['mosquitto_pub', '-h', '127.0.0.1', '-p', str(self.port), '-q', '1', '-t', topic,
             '-l'], stdin=subprocess.PIPE)
        self.publishers.append(publisher)

        def feed():
            with contextlib.suppress(BrokenPipeError), publisher.stdin as pipe:
                for number in range(first, last + 1):
                    pipe.write(b'%d\n' % number)
        threading.Thread(target=feed, daemon=True).start()
        return publisher

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        for publisher in self.publishers:
            publisher.kill()
            publisher.wait()


class Harness:
    """mqtt_harness; its lines are collected by a thread."""

    def __init__(self, folder, port, verb, arguments=(), options=None, scheme='mqtt',
                 host='127.0.0.1', environment=None, prefix=()):
        self.folder = pathlib.Path(folder)
        self.data = self.folder / 'data'
        self.log_path = self.folder / f'{verb}.log'
        settings = {'broker': f'{scheme}://{host}:{port}', 'data_dir': self.data,
                    'reconnect_max': '1s', **ALL_OPTIONS, **(options or {})}
        command = [*prefix, HARNESS, verb, *arguments]
        for name, value in settings.items():
            command += ['--set', f'{name}={value}']
        self.lines = queue.Queue()
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=log, env={**os.environ, **(environment or {})})
        self.thread = threading.Thread(target=self.collect, daemon=True)
        self.thread.start()

    def collect(self):
        for line in self.process.stdout:
            self.take(line.decode().split())

    def take(self, words):
        self.lines.put(words)

    def say(self, line):
        self.process.stdin.write(line.encode() + b'\n')
        self.process.stdin.flush()

    def answer(self, timeout_s=PATIENCE_S):
        return self.lines.get(timeout=timeout_s)

    def log(self):
        return self.log_path.read_text()

    def wait_log(self, words, timeout_s=PATIENCE_S):
        wait_until(lambda: words in self.log(), f'{words!r} in the log:\n{self.log()}', timeout_s)

    def stop(self, timeout_s=PATIENCE_S):
        self.process.stdin.close()
        status = self.process.wait(timeout_s)
        self.thread.join(timeout_s)
        return status

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            try:
                self.stop(10)
            except (subprocess.TimeoutExpired, BrokenPipeError):
                self.process.kill()
                self.process.wait()
        log = self.log()
        if kind:
            print(log)
        assert 'Sanitizer' not in log and 'runtime error' not in log, log


class Ingest(Harness):
    """The ingest process; `records` is what it has put into the journal, `gaps` what is lost of it."""

    def __init__(self, folder, port, filters=('#',), options=None, **more):
        self.records = []
        self.gaps = []  # (from, to), positions
        arguments = [word for each in filters for word in ('--filter', each)]
        super().__init__(folder, port, 'run', arguments, options, **more)

    def take(self, words):
        if words[0] == 'record':
            data = [bytes.fromhex(word) if word != '-' else b'' for word in words[3:6]]
            self.records.append(Record(int(words[1]), int(words[2]), *data, int(words[6])))
        elif words[0] == 'gap':
            self.gaps.append((int(words[1]), int(words[2])))
        else:
            self.lines.put(words)

    def stats(self):
        self.say('stats')
        words = self.answer()
        assert words[0] == 'stats', words
        return {name: int(value) for name, value in (word.split('=') for word in words[1:])}

    def pid(self):
        """Of the ingest process; 0 while there is none."""
        self.say('pid')
        return int(self.answer()[1])

    def kill(self):
        """kill -9 for the ingest process, unless it is between two lives."""
        pid = self.pid()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait_stats(self, probe, what, timeout_s=PATIENCE_S):
        def check():
            stats = self.stats()
            return probe(stats) and stats
        return wait_until(check, what, timeout_s)

    def wait_ready(self, timeout_s=PATIENCE_S):
        return self.wait_stats(lambda s: s['state'] == 3, 'the subscriptions', timeout_s)

    def wait_records(self, count, timeout_s=PATIENCE_S):
        wait_until(lambda: len(self.records) >= count,
                   f'{count} records, there are {len(self.records)}', timeout_s)
        return self.records

    def of_topic(self, topic):
        return [record for record in self.records if record.topic == topic.encode()]

    def numbers(self):
        return [int(record.payload) for record in self.records]


class OddBroker:
    """A broker that does what a test tells it; a thread for each connection.

    `on_packet(connection, type, flags, body)` returns True for what it has dealt with; the rest is
    answered as a willing broker would. `connections` has those that sent CONNECT.
    """

    def __init__(self, on_packet=None, connack_items=(), versions=(4, 5)):
        self.on_packet = on_packet or (lambda *_: False)
        self.connack_items = connack_items
        self.versions = versions
        self.connections = []
        self.filters = []  # (filter, options byte, subscription id or None)
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(packets.Wire(connection),),
                             daemon=True).start()

    def serve(self, wire):
        try:
            while True:
                kind, flags, body = wire.receive()
                if kind == packets.CONNECT:
                    body.text()
                    wire.version = body.number(1)
                    wire.connected_at = time.monotonic()
                    body.at = 0
                if not self.on_packet(wire, kind, flags, body):
                    self.please(wire, kind, flags, body)
        except (EOFError, OSError):
            wire.close()

    def please(self, wire, kind, flags, body):
        if kind == packets.CONNECT:
            is_welcome = wire.version in self.versions
            items = packets.properties(self.connack_items) if wire.version == 5 else b''
            wire.send(packets.CONNACK, b'\0\0' + items if is_welcome else b'\0\1')
            self.connections.append(wire)
        elif kind == packets.SUBSCRIBE:
            packet_id, codes = self.take_subscribe(wire, body)
            self.answer(wire, packets.SUBACK, packet_id, bytes(codes))
        elif kind == packets.UNSUBSCRIBE:
            self.answer(wire, packets.UNSUBACK, body.take(2), b'\0' if wire.version == 5 else b'')
        elif kind == packets.PUBLISH and flags & 6:
            _, packet_id, _, _ = packets.take_publish(flags, body, wire.version)
            wire.send(packets.PUBACK, struct.pack('>H', packet_id))
        elif kind == packets.PINGREQ:
            wire.send(packets.PINGRESP)

    def take_subscribe(self, wire, body):
        packet_id = body.take(2)
        items = dict(body.properties()) if wire.version == 5 else {}
        count = 0
        while body.at < len(body.data):
            topic_filter = body.text().decode()
            self.filters.append((topic_filter, body.number(1), items.get(0x0b)))
            count += 1
        return packet_id, [1] * count

    @staticmethod
    def answer(wire, kind, packet_id, codes):
        items = packets.properties() if wire.version == 5 else b''
        wire.send(kind, packet_id + items + codes)

    def wait_connection(self, number=1, timeout_s=PATIENCE_S):
        wait_until(lambda: len(self.connections) >= number, f'connection {number}', timeout_s)
        return self.connections[number - 1]

    def wait_filter(self, topic_filter):
        wait_until(lambda: topic_filter in [each[0] for each in self.filters],
                   f'a subscription to {topic_filter}')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        for wire in self.connections:
            wire.close()
