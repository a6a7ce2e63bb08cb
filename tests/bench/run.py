#!/usr/bin/python3
"""Measure the gateway against bare Paho clients, in one run on one machine.

    tests/bench/run.py [--messages N] [--rounds N] [--json] [--only bare,filter,series]

A round starts a mosquitto of its own and sends the same numbered messages at full speed, QoS 1, to
  bare    a Paho subscriber that only counts (and, alone, a Paho publisher that only publishes)
  journal the gateway with a rule that lets nothing through, until the last message is on the medium
  always  the same with `sync always`, on a medium whose sync takes 5 ms (tests/fault/medium.c)
  wear    the same with the default sync at 100 messages a second: bytes that the kernel writes
  filter  the gateway with a rule that filters, projects and republishes; every message passes
  series  the gateway with a rule that puts three members of each message into a time series
and then again at --pace messages a second for the latency. Every number must arrive: a round with
a missing one fails. The medians over the rounds are printed, and what they are relative to bare.

CPU and PSS of the gateway are sums over its process tree. Cold start is the time from exec to the
first status that says "connected". The build under test is that of $HEADGATE, or build-release/.
Measure a release build: sanitizers cost a factor of 2 to 5.
"""
import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'scenario'))
from gateway import Broker, Gateway, descendants, pss_bytes, tool, wait_until  # noqa: E402

TICK_S = 1 / os.sysconf('SC_CLK_TCK')

RULES = {
    'nothing': """\
CREATE TABLE bench WITH ('connector' = 'null');
INSERT INTO bench SELECT seq FROM 'bench/+/data' WHERE temperature < -1000;
""",
    'filter': """\
INSERT INTO 'out/${topic(2)}'
SELECT seq, sent_us, sensor_id, temperature FROM 'bench/+/data' WHERE temperature >= 10;
""",
    'series': """\
CREATE TABLE bench WITH ('connector' = 'timeseries');
INSERT INTO bench
SELECT sensor_id, seq, temperature FROM 'bench/+/data';
""",
}


def cpu_s(pid):
    """{role: user and system seconds} of a process tree; a role is the verb it was started with.

    Children that have ended count for their parent.
    """
    found = {}
    for member in descendants(pid):
        try:
            stat = pathlib.Path(f'/proc/{member}/stat').read_text()
            role = pathlib.Path(f'/proc/{member}/cmdline').read_bytes().split(b'\0')[1].decode()
        except (OSError, IndexError):
            continue
        ticks = sum(map(int, stat.rpartition(')')[2].split()[11:15]))
        found[role] = found.get(role, 0) + ticks * TICK_S
    return found


def cpu_per_million(messages, before, after):
    """The sum as cpu_s_per_million, and each role as cpu_ROLE."""
    each = {f'cpu_{role}': (after[role] - before.get(role, 0)) / messages * 1e6 for role in after}
    return {'cpu_s_per_million': sum(each.values()), **each}


class Subscriber:
    """bare_subscriber, started and subscribed."""

    def __init__(self, broker, topic, messages):
        self.process = subprocess.Popen(
            [tool('bare_subscriber'), f'broker=tcp://127.0.0.1:{broker.port}', f'topic={topic}',
             f'messages={messages}', 'idle=30s'], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, text=True)
        first = self.process.stdout.readline()
        if first != 'ready\n':
            raise SystemExit(f'bare_subscriber did not subscribe to {topic}')

    def result(self):
        out, _ = self.process.communicate()
        result = json.loads(out)
        if result['missing'] or result['connection_lost']:
            raise SystemExit(f'messages are missing: {result}')
        return result


def publish(broker, messages, rate=0):
    out = subprocess.run(
        [tool('mqtt_publish'), f'port={broker.port}', f'messages={messages}', f'rate={rate}'],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True).stdout
    result = json.loads(out)
    if result['acknowledged'] != messages:
        raise SystemExit(f'the broker did not take everything: {result}')
    return result


def rate_of(messages, start_us, end_us):
    return {'rate': messages / (end_us - start_us) * 1e6}


def measure_bare(settings, folder):
    with Broker(folder) as broker:
        subscriber = Subscriber(broker, 'bench/#', settings.messages)
        sent = publish(broker, settings.messages)
        seen = subscriber.result()
        result = rate_of(settings.messages, sent['start_us'], seen['last_us'])
        result['cpu_s_per_million'] = seen['cpu_seconds'] / settings.messages * 1e6
        publisher = json.loads(subprocess.run(
            [tool('bare_publisher'), f'broker=tcp://127.0.0.1:{broker.port}',
             f'messages={settings.messages}'], check=True, stdout=subprocess.PIPE).stdout)
        result['publisher_cpu_s_per_million'] = publisher['cpu_seconds'] / settings.messages * 1e6
        subscriber = Subscriber(broker, 'bench/#', settings.paced)
        publish(broker, settings.paced, settings.pace)
        seen = subscriber.result()
        result |= {'p50_us': seen['latency_p50_us'], 'p99_us': seen['latency_p99_us']}
    return result


def start_measured(gateway):
    """Starts the gateway; gives the cold start in ms and the idle PSS in MB."""
    begin = time.monotonic()
    gateway.start(ready=False)

    def connected():
        return gateway.status()['ingest']['connected']
    wait_until(connected, 'the gateway to be connected', every_s=0.005)
    cold_ms = (time.monotonic() - begin) * 1000
    time.sleep(1)  # nothing is awaited here: one second of idleness is what is measured
    return {'cold_start_ms': cold_ms, 'idle_pss_mb': pss_bytes(gateway.process.pid) / 2**20}


def measure_filter(settings, folder):
    with Broker(folder) as broker, Gateway(folder, broker, log_level='warning') as gateway:
        gateway.write_rule('bench', RULES['filter'])
        result = start_measured(gateway)
        pid = gateway.process.pid
        subscriber = Subscriber(broker, 'out/#', settings.messages)
        cpu = cpu_s(pid)
        sent = publish(broker, settings.messages)
        seen = subscriber.result()
        result |= rate_of(settings.messages, sent['start_us'], seen['last_us'])
        result |= cpu_per_million(settings.messages, cpu, cpu_s(pid))
        result['duplicates'] = seen['duplicates']
        result['pss_mb'] = pss_bytes(pid) / 2**20
        subscriber = Subscriber(broker, 'out/#', settings.paced)
        publish(broker, settings.paced, settings.pace)
        seen = subscriber.result()
        result |= {'p50_us': seen['latency_p50_us'], 'p99_us': seen['latency_p99_us']}
    return result


def check_stored(gateway, messages):
    """Every number must be there: as many different ones as were sent, from first to last."""
    row, = gateway.query('SELECT COUNT(DISTINCT measure_value::bigint) AS n, '
                         'MIN(measure_value::bigint) AS low, MAX(measure_value::bigint) AS high '
                         "FROM bench WHERE measure_name = 'seq'")
    if (row['n'], row['low'], row['high']) != (messages, 0, messages - 1):
        raise SystemExit(f'rows are missing in the time series: {row}, sent {messages}')


def measure_series(settings, folder):
    with Broker(folder) as broker, Gateway(folder, broker, log_level='warning') as gateway:
        gateway.write_rule('bench', RULES['series'])
        result = start_measured(gateway)
        pid = gateway.process.pid
        cpu = cpu_s(pid)
        sent = publish(broker, settings.messages)

        def stored():
            return gateway.sink('bench')['delivered'] >= settings.messages
        wait_until(stored, 'all messages to be stored', timeout_s=300, every_s=0.02)
        end_us = time.monotonic_ns() // 1000
        result |= rate_of(settings.messages, sent['start_us'], end_us)
        result |= cpu_per_million(settings.messages, cpu, cpu_s(pid))
        result['pss_mb'] = pss_bytes(pid) / 2**20
        check_stored(gateway, settings.messages)
    return result


def written_bytes(pid, role):
    """What the process of that role has made the kernel write to the medium."""
    for member in descendants(pid):
        if pathlib.Path(f'/proc/{member}/cmdline').read_bytes().split(b'\0')[1] == role:
            lines = pathlib.Path(f'/proc/{member}/io').read_text().splitlines()
            return int(dict(line.split(': ') for line in lines)['write_bytes'])
    raise SystemExit(f'there is no process {role}')


def wait_durable(gateway, messages):
    """Until every message is on the medium; gives the time in us."""
    def durable():
        status = gateway.status()
        return (status['ingest']['accepted'] >= messages
                and status['journal']['synced'] >= status['ingest']['position'])
    wait_until(durable, 'all messages to be on the medium', timeout_s=300, every_s=0.05)
    return time.monotonic_ns() // 1000


@contextlib.contextmanager
def medium(folder, sync_s):
    """What is started inside has a medium whose sync takes `sync_s` longer."""
    control = pathlib.Path(folder) / 'medium'
    control.parent.mkdir(parents=True, exist_ok=True)
    control.write_text(f'{int(sync_s * 1e6)} 0\n')
    library = pathlib.Path(tool('bare_subscriber')).parents[1] / 'fault/libmedium.so'
    before = dict(os.environ)
    sanitizer = os.environ.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0'
    os.environ.update(LD_PRELOAD=str(library), MEDIUM=str(control), ASAN_OPTIONS=sanitizer)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def measure_durable(settings, folder, sync, sync_s):
    """From the first message sent until the last one is on the medium; rules let none through."""
    with Broker(folder) as broker, Gateway(folder, broker, log_level='warning',
                                           sync=sync) as gateway:
        gateway.write_rule('bench', RULES['nothing'])
        with medium(folder, sync_s):
            gateway.start(ready=False)
        wait_until(lambda: gateway.status()['ingest']['filters'] > 1, 'the subscriptions')
        pid = gateway.process.pid
        cpu = cpu_s(pid)
        sent = publish(broker, settings.messages)
        result = rate_of(settings.messages, sent['start_us'],
                         wait_durable(gateway, settings.messages))
        result |= cpu_per_million(settings.messages, cpu, cpu_s(pid))
        result['syncs'] = gateway.status()['ingest']['syncs']
    return result


def measure_journal(settings, folder):
    return measure_durable(settings, folder, 'interval', 0)


def measure_always(settings, folder):
    return measure_durable(settings, folder, 'always', 0.005)


def measure_wear(settings, folder):
    """What 100 messages a second, with the default sync, make the kernel write."""
    messages = int(100 * settings.seconds * 4)
    with Broker(folder) as broker, Gateway(folder, broker, log_level='warning') as gateway:
        gateway.write_rule('bench', RULES['nothing'])
        gateway.start()
        wait_until(lambda: gateway.status()['ingest']['filters'] > 1, 'the subscriptions')
        publish(broker, 100)  # the segment is there
        wait_durable(gateway, 100)
        before, start = written_bytes(gateway.process.pid, b'ingest'), gateway.status()
        publish(broker, messages, 100)
        wait_durable(gateway, messages + 100)
        after, end = written_bytes(gateway.process.pid, b'ingest'), gateway.status()
        payload = end['ingest']['received_bytes'] - start['ingest']['received_bytes']
        file_bytes = end['ingest']['position'] - start['ingest']['position']
        return {'payload_bytes': payload, 'file_per_payload': file_bytes / payload,
                'written_per_payload': (after - before) / payload}


PHASES = {'bare': measure_bare, 'journal': measure_journal, 'always': measure_always,
          'wear': measure_wear, 'filter': measure_filter, 'series': measure_series}


def medians(rounds):
    """{phase: {number: median over the rounds}}"""
    return {phase: {key: statistics.median(one[phase][key] for one in rounds)
                    for key in rounds[0][phase]} for phase in rounds[0]}


def ratios(result):
    """What a phase takes in one round relative to bare clients that do the same on the wire."""
    found = {}
    bare = result.get('bare')
    if bare:
        both = bare['cpu_s_per_million'] + bare['publisher_cpu_s_per_million']
        for phase, cpu in (('filter', both), ('series', bare['cpu_s_per_million'])):
            if phase in result:
                found[f'{phase}_rate'] = result[phase]['rate'] / bare['rate']
                found[f'{phase}_cpu'] = result[phase]['cpu_s_per_million'] / cpu
        for phase in ('journal', 'always'):
            if phase in result:
                found[f'{phase}_rate'] = result[phase]['rate'] / bare['rate']
        if 'journal' in result:
            found['journal_cpu'] = result['journal']['cpu_ingest'] / bare['cpu_s_per_million']
    return found


ROWS = [('messages/s', 'rate', '{:,.0f}'), ('CPU s per million', 'cpu_s_per_million', '{:.2f}'),
        ('  of it the ingest process', 'cpu_ingest', '{:.2f}'), ('  the core', 'cpu_run', '{:.2f}'),
        ('  the publisher process', 'cpu_publisher', '{:.2f}'),
        ('bare publisher, the same', 'publisher_cpu_s_per_million', '{:.2f}'),
        ('syncs', 'syncs', '{:,.0f}'), ('file bytes / payload', 'file_per_payload', '{:.2f}'),
        ('written bytes / payload', 'written_per_payload', '{:.2f}'),
        ('p50 latency, us', 'p50_us', '{:,.0f}'), ('p99 latency, us', 'p99_us', '{:,.0f}'),
        ('PSS after load, MB', 'pss_mb', '{:.1f}'), ('PSS idle, MB', 'idle_pss_mb', '{:.1f}'),
        ('cold start, ms', 'cold_start_ms', '{:.0f}')]

RATIO_NAMES = {
    'journal_rate': 'journal, on the medium: rate / bare subscriber (goal: at least 0.9)',
    'journal_cpu': 'journal: CPU of the ingest process / bare subscriber',
    'always_rate': 'sync always, 5 ms a sync: rate / bare subscriber (goal: 20,000 messages/s)',
    'filter_rate': 'filter: rate / bare subscriber (goal: at least 0.7)',
    'filter_cpu': 'filter: CPU / (bare subscriber + bare publisher) (goal: at most 1.5)',
    'series_rate': 'series: rate / bare subscriber (goal: at least 0.9)',
    'series_cpu': 'series: CPU / bare subscriber',
}


def print_table(settings, result, relative):
    print(f'{settings.messages} messages at full speed, {settings.pace}/s for the latency; '
          f'medians of {settings.rounds}\n')
    print(f'{"":28}' + ''.join(f'{phase:>12}' for phase in result))
    for name, key, form in ROWS:
        cells = [form.format(numbers[key]) if key in numbers else '-'
                 for numbers in result.values()]
        print(f'{name:28}' + ''.join(f'{cell:>12}' for cell in cells))
    print()
    for key, value in relative.items():
        print(f'{value:6.2f}  {RATIO_NAMES[key]}')


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--messages', type=int, default=200000)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--pace', type=int, default=2000, help='messages/s for the latency')
    parser.add_argument('--seconds', type=float, default=5, help='how long at that pace')
    parser.add_argument('--only', default=','.join(PHASES), help='phases, separated by commas')
    parser.add_argument('--folder', help='where brokers and gateways work (default: /var/tmp)')
    parser.add_argument('--json', action='store_true')
    settings = parser.parse_args()
    settings.paced = int(settings.pace * settings.seconds)
    phases = settings.only.split(',')
    rounds = []
    with tempfile.TemporaryDirectory(prefix='headgate-bench-',
                                     dir=settings.folder or '/var/tmp') as folder:
        for number in range(settings.rounds):
            places = {phase: pathlib.Path(folder) / f'{number}-{phase}' for phase in phases}
            rounds.append({phase: PHASES[phase](settings, places[phase]) for phase in phases})
    result = medians(rounds)
    # The phases of a round are neighbours in time: on a machine whose load changes, the median of
    # the rounds' ratios is steadier than the ratio of the medians.
    each = [ratios(one) for one in rounds]
    relative = {key: statistics.median(one[key] for one in each) for key in each[0]}
    if settings.json:
        print(json.dumps({'messages': settings.messages, 'rounds': rounds, 'median': result,
                          'ratios': relative}))
    else:
        print_table(settings, result, relative)


if __name__ == '__main__':
    main()
