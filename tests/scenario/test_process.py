"""The gateway as a process: signals at any moment, a second one, no place for its log, slow syncs.

What the machine does to it, and what its owner does by mistake, loses and doubles nothing.
"""
import contextlib
import os
import signal
import sqlite3
import subprocess
import time

import pytest

from gateway import NUMBERS, Gateway, Preload, binary, tool, wait_until

RATE = 1000


@pytest.fixture
def gateway(tmp_path, broker):
    with Gateway(tmp_path, broker) as running:
        running.write_rule('numbers', NUMBERS)
        yield running


def publish(broker, tmp_path, messages, rate=RATE):
    """Numbered messages at that rate; until they are acknowledged."""
    return subprocess.Popen(
        [tool('mqtt_publish'), f'port={broker.port}', f'messages={messages}', f'rate={rate}',
         f'ledger={tmp_path}/ledger'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def assert_all_once(gateway, messages):
    wait_until(lambda: len(gateway.numbers(messages)) == messages, 'every number')
    assert set(gateway.numbers(messages).values()) == {1}


def test_sigterm_under_load_is_a_clean_end(gateway, broker, tmp_path):
    gateway.start()
    wait_until(lambda: gateway.status()['ingest']['knows_redelivered'], 'two canaries')
    messages = 8 * RATE
    publisher = publish(broker, tmp_path, messages)
    for _ in range(4):
        time.sleep(1)
        begin = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - begin < 10
        gateway.start()
    assert publisher.wait(60) == 0
    assert_all_once(gateway, messages)
    assert gateway.status()['ingest']['dropped']['redelivered'] == 0  # all was acknowledged


def test_impatience_is_no_crash(gateway, broker, tmp_path):
    gateway.start()
    publisher = publish(broker, tmp_path, 4 * RATE)
    for pid in gateway.processes():
        for number in (signal.SIGHUP, signal.SIGPIPE):
            os.kill(pid, number)
    for _ in range(200):
        gateway.process.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert gateway.running() and len(gateway.processes()) == 3
    assert 1 < gateway.output().count('rules.d: ') < 20  # of a burst few reloads
    gateway.process.send_signal(signal.SIGTERM)
    gateway.process.send_signal(signal.SIGTERM)
    gateway.process.send_signal(signal.SIGINT)
    assert gateway.stop() == 0
    gateway.start()
    assert publisher.wait(60) == 0
    assert_all_once(gateway, 4 * RATE)


def test_a_second_one_on_the_same_data_is_refused(gateway, broker, tmp_path):
    gateway.start()
    publisher = publish(broker, tmp_path, 2 * RATE)
    begin = time.monotonic()
    second = subprocess.run([binary(), 'run', '-c', str(gateway.config)], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, timeout=30)
    assert time.monotonic() - begin < 10
    assert second.returncode not in (0, -signal.SIGKILL)
    assert 'another gateway works' in second.stderr and str(gateway.data) in second.stderr
    assert publisher.wait(60) == 0
    assert_all_once(gateway, 2 * RATE)
    assert gateway.status()['ingest']['restarts'] == 0


@pytest.mark.parametrize('where', ['<&- >&- 2>&-', '>/dev/full 2>/dev/full'])
def test_a_log_that_goes_nowhere_costs_nothing(gateway, broker, tmp_path, where):
    """Files must not get the numbers of the standard streams: log lines would be written to them."""
    gateway.prefix = ['sh', '-c', f'exec "$@" {where}', 'sh']
    gateway.start(ready=False)
    gateway.prefix = []
    gateway.wait_ready()
    gateway.write_rule('broken', 'INSERT INTO')  # something to say
    publisher = publish(broker, tmp_path, 2 * RATE)
    assert publisher.wait(60) == 0
    assert_all_once(gateway, 2 * RATE)
    for pid in gateway.processes():
        for number in range(3):
            target = os.readlink(f'/proc/{pid}/fd/{number}')
            assert target in ('/dev/null', '/dev/full'), f'{pid}: {number} is {target}'
    assert gateway.stop() == 0
    verify = subprocess.run([binary(), 'journal', '-c', str(gateway.config), 'verify'],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert verify.returncode == 0, verify.stdout + verify.stderr


def test_a_tree_that_stands_still_catches_up(gateway, broker, tmp_path):
    """SIGSTOP for longer than the broker waits for a sign of life."""
    gateway.config.write_text(gateway.config.read_text() + 'broker_keepalive 5s\n')
    gateway.start()
    wait_until(lambda: gateway.status()['ingest']['knows_redelivered'], 'two canaries')
    publisher = publish(broker, tmp_path, 12 * RATE)
    time.sleep(1)
    processes = gateway.processes()
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(9)
    for pid in reversed(processes):
        os.kill(pid, signal.SIGCONT)
    assert publisher.wait(60) == 0
    assert_all_once(gateway, 12 * RATE)


def test_a_store_that_somebody_else_locks_is_waited_for(gateway, broker, tmp_path):
    gateway.start()
    wait_until(lambda: gateway.status()['ingest']['connected'], 'the connection')
    publisher = publish(broker, tmp_path, 12 * 200, rate=200)
    wait_until(lambda: len(gateway.numbers(100)) > 0, 'the first rows')
    with contextlib.closing(sqlite3.connect(next(gateway.data.rglob('series.db')),
                                            isolation_level=None)) as other:
        wait_until(lambda: other.execute('BEGIN IMMEDIATE'), 'the lock')
        time.sleep(8)
        assert gateway.sink('numbers')['queued'] > 200
        other.execute('ROLLBACK')
    assert publisher.wait(60) == 0
    assert_all_once(gateway, 12 * 200)


@pytest.mark.parametrize('sync', ['interval', 'always'])
def test_a_sync_of_seconds_costs_neither_connection_nor_messages(tmp_path, broker, sync):
    medium = Preload('medium', tmp_path)
    medium.path.write_text('0 0\n')
    with Gateway(tmp_path, broker, sync=sync, broker_keepalive='5s') as gateway:
        gateway.write_rule('numbers', NUMBERS)
        medium.start(gateway)
        publisher = publish(broker, tmp_path, 20 * 200, rate=200)
        time.sleep(1)
        medium.path.write_text('8000000 0\n')  # and the errno: none
        time.sleep(15)
        medium.path.write_text('0 0\n')
        assert publisher.wait(60) == 0
        assert_all_once(gateway, 20 * 200)
        assert gateway.output().count("as 'headgate' with") == 1, 'the broker never lost it'
        assert gateway.status()['ingest']['restarts'] == 0
