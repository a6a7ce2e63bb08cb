"""Start a real mosquitto and a real gateway on free ports and in temporary folders, and watch them.

    with Broker(folder) as broker, Gateway(folder, broker) as gateway:
        gateway.write_rule('hot', "INSERT INTO 'alerts/${topic(2)}' SELECT * FROM 'sensors/+';")
        gateway.start()
        with Subscription(broker, 'alerts/#') as alerts:
            broker.publish('sensors/7', '{"temperature": 61}')
            assert alerts.wait_for(1) == [('alerts/7', '{"temperature": 61}')]

Nothing here sleeps for a fixed time and hopes: everything waits until something is so, with a time
limit whose message says what was awaited and what was there instead. Only processes that were
started here are ever stopped, by their id. Standard library only.
"""
import collections
import json
import mmap
import os
import pathlib
import queue
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Sanitizers make everything slower; a time limit is there to end a hang, not to measure.
PATIENCE_S = 60

# What Debian's mosquitto needs in order not to lose messages (etc/mosquitto/headgate.conf), apart
# from the limit in bytes: a test wants everything queued.
BROKER_LINES = """\
allow_anonymous true
max_queued_messages 0
max_inflight_messages 1000
message_size_limit 1048576
set_tcp_nodelay true
"""


# What mqtt_publish sends into a time series; Gateway.numbers() reads it.
NUMBERS = """\
CREATE TABLE numbers WITH ('connector' = 'timeseries');
INSERT INTO numbers SELECT sensor_id, seq FROM 'bench/+/data';
"""


class NotYet(AssertionError):
    """What was awaited did not come in time."""


def wait_until(probe, what, timeout_s=PATIENCE_S, every_s=0.05):
    """Calls `probe` until it gives something true, and returns that.

    An exception of `probe` counts as "not yet" and is shown when the time is up.
    """
    end = time.monotonic() + timeout_s
    while True:
        last = None
        try:
            result = probe()
            if result:
                return result
            last = result
        except Exception as error:  # noqa: BLE001: any failure may be a "not yet"
            last = error
        if time.monotonic() > end:
            raise NotYet(f'waited {timeout_s} s for {what}; last: {last!r}')
        time.sleep(every_s)


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def binary():
    """The gateway under test: $HEADGATE, or what the usual build folders hold."""
    places = [os.environ.get('HEADGATE')]
    places += [ROOT / build / 'gateway/headgate'
               for build in ('build-release', 'build/gcc', 'build')]
    for place in places:
        if place and os.access(place, os.X_OK):
            return os.path.abspath(place)
    raise FileNotFoundError('no gateway: build it, or set HEADGATE to its path')


def tool(name):
    """A measuring program of tests/bench out of the same build as the gateway."""
    build = os.environ.get('HEADGATE_BUILD') or pathlib.Path(binary()).parents[1]
    path = pathlib.Path(build) / 'tests/bench' / name
    if not path.exists():
        raise FileNotFoundError(f'{path} is not built; ninja -C {build}')
    return str(path)


def descendants(pid):
    """The process and all below it: children first found, parents before children."""
    found, wave = [pid], [pid]
    parents = {}
    for entry in pathlib.Path('/proc').iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / 'stat').read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(')')[2].split()[1])
    while wave:
        wave = [child for child, parent in parents.items() if parent in wave]
        found += wave
    return found


def pss_bytes(pid, kinds=('Pss',)):
    """Proportional set size of a process tree, or of kinds of its memory: Pss_Anon, Pss_Shmem.

    That of files depends on who else uses the same program and libraries at the time.
    """
    total = 0
    for member in descendants(pid):
        try:
            lines = pathlib.Path(f'/proc/{member}/smaps_rollup').read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.split(':')[0] in kinds)
    return total * 1024


def is_alive(pid):
    """Whether the process runs; a zombie does not."""
    try:
        stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return False
    return stat.rpartition(')')[2].split()[0] not in ('Z', 'X')


class Process:
    """A child process with its output in a file; stopped by its id at the end of `with`."""

    def __init__(self, log):
        self.log = pathlib.Path(log)
        self.process = None

    def launch(self, arguments, **more):
        assert not self.running(), 'already running'
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, **more)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, how=signal.SIGTERM, timeout_s=PATIENCE_S):
        """Returns the exit status; kills what does not listen."""
        if self.process is None:
            return None
        if self.running():
            self.process.send_signal(how)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise NotYet(f'{self.process.args[0]} did not end within {timeout_s} s')

    def output(self):
        return self.log.read_text(errors='replace') if self.log.exists() else ''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.running():
            self.process.kill()
            self.process.wait()


class Broker(Process):
    """mosquitto on a port of its own. `lines` are added to its configuration."""

    def __init__(self, folder, lines='', port=None):
        self.folder = pathlib.Path(folder) / 'broker'
        self.folder.mkdir(parents=True, exist_ok=True)
        super().__init__(self.folder / 'mosquitto.log')
        self.port = port or free_port()
        self.config = self.folder / 'mosquitto.conf'
        user = 'user root\n' if os.geteuid() == 0 else ''
        self.config.write_text(f'{user}{BROKER_LINES}{lines}\nlistener {self.port} 127.0.0.1\n')

    def start(self):
        self.launch(['mosquitto', '-c', str(self.config)], env=dict(
            os.environ, PATH=os.environ.get('PATH', '') + ':/usr/sbin'))
        wait_until(self.listens, f'mosquitto on port {self.port}; {self.log}')
        return self

    def listens(self):
        assert self.running(), self.output()
        with socket.create_connection(('127.0.0.1', self.port), timeout=5):
            return True

    @property
    def url(self):
        return f'mqtt://127.0.0.1:{self.port}'

    def publish(self, topic, payload, qos=1, retain=False, lines=False):
        """One message by mosquitto_pub, or with `lines` one a line; returns when acknowledged."""
        data = payload.encode() if isinstance(payload, str) else payload
        how = '-l' if lines else '-s' if data else '-n'  # -s refuses an empty input
        subprocess.run(['mosquitto_pub', '-h', '127.0.0.1', '-p', str(self.port), '-q', str(qos),
                        '-t', topic, how] + (['-r'] if retain else []),
                       input=data, check=True, timeout=PATIENCE_S)

    def __enter__(self):
        return self if self.running() else self.start()


class Subscription:
    """A real mosquitto_sub; usable once the broker has acknowledged the subscription."""

    MARK = '\x01'

    def __init__(self, broker, *filters, qos=1):
        # stdbuf: with -d its lines would otherwise wait in a full buffer
        arguments = ['stdbuf', '-oL', 'mosquitto_sub', '-h', '127.0.0.1', '-p', str(broker.port),
                     '-q', str(qos), '-d', '-F', f'{self.MARK}%t{self.MARK}%p{self.MARK}']
        for topic_filter in filters:
            arguments += ['-t', topic_filter]
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.messages = []
        self.arrived = queue.Queue()
        self.subscribed = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.subscribed.wait(PATIENCE_S):
            self.__exit__()
            raise NotYet(f'mosquitto_sub did not subscribe to {filters}')

    def _read(self):
        for line in self.process.stdout:
            text = line.decode(errors='replace').rstrip('\n')
            if text.startswith(self.MARK):
                topic, payload = text.split(self.MARK)[1:3]
                self.arrived.put((topic, payload))
            elif text.startswith('Subscribed '):
                self.subscribed.set()

    def wait_for(self, count, timeout_s=PATIENCE_S):
        """Waits until `count` messages have come in all, and returns them as (topic, payload)."""
        end = time.monotonic() + timeout_s
        while len(self.messages) < count:
            try:
                self.messages.append(self.arrived.get(timeout=max(0, end - time.monotonic())))
            except queue.Empty:
                raise NotYet(f'{len(self.messages)} of {count} messages within {timeout_s} s: '
                             f'{self.messages[-3:]}') from None
        return list(self.messages)

    def so_far(self):
        """What has come until now, without waiting."""
        while True:
            try:
                self.messages.append(self.arrived.get_nowait())
            except queue.Empty:
                return list(self.messages)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Not SIGTERM: mosquitto_sub takes locks in its handler and may hang in it.
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self.reader.join(PATIENCE_S)
        self.process.stdout.close()


class Gateway(Process):
    """headgate run with a configuration, rules and data of its own. `broker`: or its URL.

    `prefix` is the start of a command line that runs the rest in a mount namespace.
    """

    expects_alarm = False  # of a test that makes the books wrong

    def __init__(self, folder, broker=None, lines='', prefix=(), **settings):
        self.prefix = list(prefix)
        self.folder = pathlib.Path(folder) / 'gateway'
        self.rules = self.folder / 'rules.d'
        self.handlers = self.folder / 'handlers'
        self.data = self.folder / 'data'
        for place in (self.rules, self.handlers):
            place.mkdir(parents=True, exist_ok=True)
        super().__init__(self.folder / 'gateway.log')
        self.config = self.folder / 'headgate.conf'
        values = {'data_dir': self.data, 'rules_dir': self.rules, 'handlers_dir': self.handlers,
                  'log_level': 'info', **settings}
        if broker is not None:
            values['broker'] = getattr(broker, 'url', broker)
        self.config.write_text(''.join(f'{name} {value}\n' for name, value in values.items())
                               + lines)

    def write_rule(self, name, text):
        """Replaces a rule file as an editor does: a temporary name, then rename."""
        path = self.rules / f'{name}.sql'
        part = self.rules / f'.{name}.sql.part'
        part.write_text(text)
        part.rename(path)
        return path

    def start(self, ready=True):
        """With `ready` returns when the subscriptions are live."""
        self.launch([*self.prefix, binary(), 'run', '-c', str(self.config)])
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, timeout_s=PATIENCE_S):
        def ready():
            assert self.running(), f'the gateway ended: {self.output()[-2000:]}'
            return self.status()['ingest']['connected']
        wait_until(ready, 'the gateway to be connected', timeout_s)

    def run(self, *arguments, check=True, **more):
        """Runs a verb beside the gateway with the same configuration."""
        verb, *rest = arguments
        inside = ['nsenter', '-t', str(self.process.pid), '-m'] if self.prefix else []
        done = subprocess.run([*inside, binary(), verb, '-c', str(self.config), *rest],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=PATIENCE_S, **more)
        if check and done.returncode != 0:
            raise AssertionError(f'{arguments}: exit {done.returncode}: {done.stderr}')
        return done

    def status(self):
        return json.loads(self.run('status', '--json').stdout)

    def query(self, sql):
        """The rows as a list of dicts by column name."""
        return json.loads(self.run('query', '--json', sql).stdout)

    def numbers(self, below):
        """How often each number of rule NUMBERS below that is stored."""
        found = collections.Counter()
        for first in range(0, below, 20000):  # a result has at most 100,000 rows
            rows = self.query(
                "SELECT measure_value::bigint AS seq FROM numbers WHERE measure_name = 'seq' AND "
                f'measure_value::bigint BETWEEN {first} AND {min(first + 19999, below - 1)}')
            found.update(row['seq'] for row in rows)
        return found

    def rule(self, name):
        """The counters of one rule; None when there is none of that name."""
        return next((rule for rule in self.status()['rules'] if rule['name'] == name), None)

    def sink(self, name):
        return next((sink for sink in self.status()['sinks'] if sink['name'] == name), None)

    def processes(self):
        return descendants(self.process.pid)

    def kill(self, tree):
        """kill -9 of the main process alone, or of the whole tree in random order.

        Returns when no process of the tree is left: the children must not outlive the main one.
        """
        processes = self.processes()
        victims = random.sample(processes, len(processes)) if tree else [self.process.pid]
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        wait_until(lambda: not any(map(is_alive, processes)), 'the children to die', 10)

    def __exit__(self, kind=None, *_):
        """Ends it; a failed test leaves its log in the report. None may leave the books wrong."""
        if self.running():
            processes = self.processes()
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                for pid in processes:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                self.process.wait()
        print(f'--- {self.log}\n{self.output()[-6000:]}', file=sys.stderr)
        wrong = [line for line in self.output().splitlines() if 'does not balance' in line]
        assert kind is not None or self.expects_alarm or not wrong, wrong[:5]


class Preload:
    """A library of tests/fault in a gateway's processes, and the file that tells it what to do.

    The library finds the file by the environment variable that is named as it is; with a layout
    it is mapped.
    """

    def __init__(self, name, folder, layout=''):
        library = pathlib.Path(binary()).parents[1] / f'tests/fault/lib{name}.so'
        assert library.exists(), f'{library} is not built'
        self.path = pathlib.Path(folder) / name
        self.path.write_bytes(bytes(struct.calcsize(layout)))
        self.layout = layout
        if layout:
            with open(self.path, 'r+b') as file:
                self.page = mmap.mmap(file.fileno(), struct.calcsize(layout))
        self.environment = {'LD_PRELOAD': str(library), name.upper(): str(self.path),
                            'ASAN_OPTIONS': 'verify_asan_link_order=0:detect_leaks=0'}

    def write(self, *values):
        self.page[:] = struct.pack(self.layout, *values)

    def read(self):
        return struct.unpack(self.layout, self.page[:])

    def start(self, gateway, ready=True):
        """Only the gateway's own processes get it, not what the test runs beside it."""
        with unittest.mock.patch.dict(os.environ, self.environment):
            gateway.start(ready=False)
        if ready:
            gateway.wait_ready()


def hold(gateway, rule, count):
    """Waits until a rule has seen `count` messages; then every one is accounted for."""
    def seen():
        counters = gateway.rule(rule)
        return counters and counters['messages'] >= count and counters
    counters = wait_until(seen, f'rule {rule} to see {count} messages')
    parts = [counters[name] for name in ('matched', 'filtered', 'undefined', 'failed')]
    assert sum(parts) == counters['messages'] == count, counters
    return counters
