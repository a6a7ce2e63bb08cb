"""Running for long: memory and descriptors stay level, and every message is accounted for.

Messages come at a steady pace through a real mosquitto into a time series, a table, windows and
a topic; the gateway's memory (PSS of all its processes, without the files whose pages others may
share) and open files are noted every two seconds.
By default for seconds, which shows that nothing runs away; the suite `soak` asks for an hour at
2,000 messages a second (HEADGATE_SOAK_S, HEADGATE_RATE).
"""
import os
import pathlib
import statistics
import subprocess
import time

from gateway import Broker, Gateway, descendants, pss_bytes, tool, wait_until

SECONDS = float(os.environ.get('HEADGATE_SOAK_S') or 15)
RATE = int(os.environ.get('HEADGATE_RATE') or 500)
MESSAGES = int(SECONDS * RATE)
EVERY_S = 2

# What a run may grow by after its first quarter. Buffers and caches reach their size in minutes, and
# sanitizers keep books of their own, so a short run shows only what leaks with each message.
GROWTH_BYTES, GROWTH_FILES = (2 << 20, 3) if SECONDS >= 600 else (16 << 20, 8)

# Freed memory must not be kept in order to be looked at.
SANITIZER = ':quarantine_size_mb=1:thread_local_quarantine_size_kb=16:malloc_context_size=0'

RULES = """\
CREATE TABLE numbers WITH ('connector' = 'timeseries');
CREATE TABLE newest WITH ('connector' = 'table', 'partition_key' = 'sensor_id');
INSERT INTO numbers SELECT sensor_id, seq, temperature FROM 'bench/+/data';
INSERT INTO newest SELECT sensor_id, seq FROM 'bench/+/data';
INSERT INTO 'alerts/${topic(2)}' SELECT seq FROM 'bench/+/data' WHERE seq % 10 = 0;
"""

WINDOWS = """\
CREATE TABLE readings (sensor_id STRING, temperature DOUBLE, t AS PROCTIME())
  WITH ('connector' = 'mqtt', 'topic' = 'bench/+/data');
INSERT INTO 'averages' SELECT sensor_id, AVG(temperature) AS average, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(t), INTERVAL '5' SECOND))
GROUP BY window_start, window_end, sensor_id;
"""


def open_files(pid):
    """{role: how many}, over a process tree; a role is the verb a process was started with."""
    found = {}
    for member in descendants(pid):
        role = pathlib.Path(f'/proc/{member}/cmdline').read_bytes().split(b'\0')[1].decode()
        found[role] = found.get(role, 0) + len(os.listdir(f'/proc/{member}/fd'))
    return found


def watch(pid, publisher):
    """(seconds, PSS without files, open files), until the publisher has ended."""
    samples, begin = [], time.monotonic()
    while publisher.poll() is None:
        samples.append((time.monotonic() - begin, pss_bytes(pid, ('Pss_Anon', 'Pss_Shmem')),
                        open_files(pid)))
        time.sleep(EVERY_S)  # not awaiting anything: the pace of the samples
    return samples


def growth(samples):
    """By least squares: what the line through them rises by from the first to the last."""
    seconds = [at for at, _, _ in samples]
    slope, _ = statistics.linear_regression(seconds, [own for _, own, _ in samples])
    return slope * (seconds[-1] - seconds[0])


def test_memory_and_open_files_stay_level(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv('ASAN_OPTIONS', os.environ.get('ASAN_OPTIONS', '') + SANITIZER)
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker, log_level='warning') as gateway:
        gateway.write_rule('rules', RULES)
        gateway.write_rule('windows', WINDOWS)
        gateway.start()
        wait_until(lambda: gateway.status()['ingest']['filters'] > 1, 'the subscriptions')
        publisher = subprocess.Popen(
            [tool('mqtt_publish'), f'port={broker.port}', f'messages={MESSAGES}', f'rate={RATE}'],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        samples = watch(gateway.process.pid, publisher)
        assert publisher.returncode == 0
        wait_until(lambda: gateway.sink('numbers')['delivered'] >= MESSAGES, 'the last rows')
        counts, = gateway.query('SELECT COUNT(DISTINCT measure_value::bigint) AS n, COUNT(*) AS rows '
                                "FROM numbers WHERE measure_name = 'seq'")
        restarts = gateway.status()['ingest']['restarts']
    level = samples[len(samples) // 4:]
    rise = growth(level)
    first, last = level[0][2], level[-1][2]
    with capsys.disabled():
        print(f'\n# {MESSAGES} messages in {samples[-1][0]:.0f} s: '
              f'memory {level[0][1] / 1e6:.1f} MB, at the end {level[-1][1] / 1e6:.1f} MB, '
              f'rise {rise / 1e6:.2f} MB; open files {first} and {last}')
    assert (counts['n'], counts['rows'], restarts) == (MESSAGES, MESSAGES, 0)
    assert first.keys() == last.keys()
    assert all(last[role] - first[role] <= GROWTH_FILES for role in first), (first, last)
    assert rise <= GROWTH_BYTES, ' '.join(str(own) for _, own, _ in level)
