"""The wall clock is set by weeks and years while messages flow: nothing stops, nothing is deleted.

In a build without sanitizers (suite `plain`): tests/fault/clock.c shifts what the gateway's
processes take for the time of day, and says whether NTP keeps it. The broker, the publisher and
the commands beside the gateway keep the machine's clock.
"""
import datetime
import json
import os
import pathlib
import subprocess
import time

import pytest

from gateway import NUMBERS, Gateway, Preload, Subscription, tool, wait_until

HOUR_S = 3600
WEEK_S = 7 * 24 * HOUR_S
YEAR_S = 365 * 24 * HOUR_S
RATE = 500
PHASE_S = 5
STALL_S = 5  # no rule may be silent for longer

# Windows by the gateway's clock, and event time that is the gateway's clock.
WINDOWS = """
CREATE TABLE ticks (seq BIGINT, t AS PROCTIME()) WITH ('connector' = 'mqtt', 'topic' = 'bench/+/data');
INSERT INTO 'processed' SELECT window_end, COUNT(*) AS n FROM TABLE(
  TUMBLE(TABLE ticks, DESCRIPTOR(t), INTERVAL '1' SECOND)) GROUP BY window_start, window_end;
CREATE TABLE arrivals (seq BIGINT, t TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
  WATERMARK FOR t AS t - INTERVAL '1' SECOND) WITH ('connector' = 'mqtt', 'topic' = 'bench/+/data');
INSERT INTO 'arrived' SELECT window_end, COUNT(*) AS n FROM TABLE(
  TUMBLE(TABLE arrivals, DESCRIPTOR(t), INTERVAL '1' SECOND)) GROUP BY window_start, window_end;
INSERT INTO 'out' SELECT seq FROM 'bench/+/data';
"""


class Clock(Preload):
    def __init__(self, folder):
        super().__init__('clock', folder, '=qq')

    def set(self, ahead_s, synchronised=False):
        self.write(ahead_s * 1000000, synchronised)


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


def cpu_s(gateway):
    ticks = 0
    for pid in gateway.processes():
        fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf('SC_CLK_TCK')


class Watch:
    """Notices which topics fall silent."""

    def __init__(self, subscription, topics):
        self.subscription = subscription
        self.seen = {topic: time.monotonic() for topic in topics}
        self.longest = dict.fromkeys(topics, 0)
        self.counted = 0

    def look(self):
        now = time.monotonic()
        messages = self.subscription.so_far()
        for topic, _ in messages[self.counted:]:
            self.seen[topic] = now
        self.counted = len(messages)
        for topic, seen in self.seen.items():
            self.longest[topic] = max(self.longest[topic], now - seen)


def test_rules_go_on_whatever_the_clock_does(gateway, broker, clock, tmp_path, capsys):
    steps = [0, 10 * YEAR_S, 0, -HOUR_S, 0, 3 * WEEK_S, -3 * WEEK_S, 0]
    messages = (len(steps) * PHASE_S + 4) * RATE
    topics = ('processed', 'arrived', 'out')
    gateway.write_rule('numbers', NUMBERS + WINDOWS)
    clock.set(0)
    clock.start(gateway)
    with Subscription(broker, *topics) as out:
        publisher = subprocess.Popen(
            [tool('mqtt_publish'), f'port={broker.port}', f'messages={messages}',
             f'rate={RATE}', f'ledger={tmp_path}/ledger'],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        out.wait_for(1)
        watch, used = Watch(out, topics), []
        for ahead_s in steps:
            clock.set(ahead_s)
            before, end = cpu_s(gateway), time.monotonic() + PHASE_S
            while time.monotonic() < end:
                watch.look()
                time.sleep(0.1)
            used.append((cpu_s(gateway) - before) / PHASE_S)
        assert publisher.wait(30) == 0
        wait_until(lambda: len(gateway.numbers(messages)) == messages, 'every number')
        assert set(gateway.numbers(messages).values()) == {1}

        def counted(topic):
            return sum(json.loads(payload)['n'] for name, payload in out.so_far() if name == topic)
        wait_until(lambda: counted('processed') == messages, 'every message in a window', 10)
        last = gateway.query("SELECT max_by(time, measure_value::bigint) AS t FROM numbers "
                             "WHERE measure_name = 'seq'")[0]['t']
        status = gateway.status()
    with capsys.disabled():
        print(f'# longest silence {watch.longest}, CPU {used}, '
              f'{counted("arrived")} of {messages} in windows of event time')
    assert max(watch.longest.values()) < STALL_S
    assert max(used) < 0.5
    assert status['engine']['clock_steps'] == len(steps) - 1
    assert gateway.output().count('connected to mqtt://') == 2  # each process once
    assert messages - counted('arrived') < 3 * RATE  # open windows, and late at a step
    # What came last has the time of the clock as it was then, not that of ten years ahead.
    age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(
        last[:19] + '+00:00')
    assert age < datetime.timedelta(minutes=5)


def test_a_start_in_1970_is_caught_up_with(gateway, broker, clock):
    """No clock battery: the time is there when the network is."""
    gateway.write_rule('numbers', NUMBERS + WINDOWS)
    clock.set(-int(time.time()) + 60)
    clock.start(gateway)
    with Subscription(broker, 'processed', 'out') as out:
        def publish(first):
            rows = [json.dumps({'sensor_id': 'a', 'seq': seq}) for seq in range(first, first + 100)]
            broker.publish('bench/1/data', '\n'.join(rows) + '\n', lines=True)
            wait_until(lambda: len(gateway.numbers(1000)) == first + 100, 'the rows')
        publish(0)
        assert not gateway.status()['engine']['clock_believed']
        clock.set(0, synchronised=True)
        publish(100)

        def counted():
            return sum(json.loads(row)['n'] for name, row in out.so_far() if name == 'processed')
        wait_until(lambda: counted() == 200, 'every message in a window')
        assert sum(name == 'out' for name, _ in out.so_far()) == 200
    assert gateway.status()['engine']['clock_believed']
    since = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=5)
    times = gateway.query("SELECT measure_value::bigint AS seq, time FROM numbers "
                          "WHERE measure_name = 'seq' ORDER BY measure_value::bigint")
    assert [row['time'][:4] == '1970' for row in times] == [True] * 100 + [False] * 100
    assert times[-1]['time'][:19] > since.isoformat()[:19].replace('T', ' ')


@pytest.mark.parametrize('synchronised', [False, True])
def test_only_a_clock_that_can_be_believed_deletes(tmp_path, broker, clock, synchronised):
    rules = NUMBERS.replace("'timeseries'", "'timeseries', 'magnetic.retention' = '1d', "
                            "'memory.retention' = '1h'")
    with Gateway(tmp_path, broker, segment_size='64k', journal_history='1h') as gateway:
        gateway.write_rule('numbers', rules)
        clock.set(0, synchronised)
        clock.start(gateway)
        rows = [json.dumps({'sensor_id': 'a', 'seq': seq, 'unit': 'x' * 100})
                for seq in range(2000)]
        broker.publish('bench/1/data', '\n'.join(rows) + '\n', lines=True)
        wait_until(lambda: len(gateway.numbers(3000)) == 2000, 'the first rows')
        segments = set(gateway.data.glob('journal/mqtt/*.seg'))
        assert len(segments) > 3
        assert gateway.stop() == 0
        clock.set(10 * YEAR_S, synchronised)
        clock.start(gateway)
        for seq in range(2000, 2003):  # space is given back a checkpoint later
            broker.publish('bench/1/data', json.dumps({'sensor_id': 'a', 'seq': seq}))
            wait_until(lambda: gateway.sink('numbers')['delivered'] == seq - 1999, 'another row')
            time.sleep(1.5)
        assert gateway.status()['engine']['clock_believed'] == synchronised
        assert gateway.stop() == 0
        is_trimmed = not segments <= set(gateway.data.glob('journal/mqtt/*.seg'))
        clock.set(0, synchronised)
        clock.start(gateway)
        numbers = gateway.numbers(3000)
    assert is_trimmed == synchronised
    assert set(numbers) == set(range(2000 if synchronised else 0, 2003))
