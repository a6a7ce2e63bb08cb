"""What fails around the gateway: the broker again and again, descriptors, the disk.

Numbered messages go into a time series. Whatever the broker has acknowledged to the publisher must be
there in the end, without a restart of the gateway. HEADGATE_SEED=... repeats the moments,
HEADGATE_OUTAGE_S=... sets how long the broker comes and goes.
"""
import os
import pathlib
import random
import subprocess
import time

import pytest

from gateway import NUMBERS, Broker, Gateway, descendants, pss_bytes, tool, wait_until

SECONDS = float(os.environ.get('HEADGATE_OUTAGE_S') or 15)
RATE = 500


def publish(broker, ledger, first, messages, rate=0):
    return subprocess.Popen(
        [tool('mqtt_publish'), f'port={broker.port}', f'messages={messages}', f'first={first}',
         f'rate={rate}', f'ledger={ledger}'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)


def start(gateway):
    gateway.write_rule('numbers', NUMBERS)
    gateway.start()
    wait_until(lambda: gateway.status()['ingest']['filters'] > 1, 'the subscriptions')


def roles(gateway):
    """{verb: pid} of the gateway's processes."""
    found = {}
    for pid in descendants(gateway.process.pid):
        words = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().split(b'\0')
        found[words[1].decode()] = pid
    return found


def measure(gateway):
    """What the ingest process takes: bytes of its own, descriptors."""
    pid = roles(gateway)['ingest']
    return pss_bytes(pid, ('Pss_Anon',)), len(os.listdir(f'/proc/{pid}/fd'))


def test_a_broker_that_restarts_every_few_seconds(tmp_path, capsys):
    seed = int(os.environ.get('HEADGATE_SEED') or random.randrange(2 ** 32))
    moments = random.Random(seed)
    acknowledged = set()
    lines = f'persistence true\npersistence_location {tmp_path}/\nautosave_interval 1800\n'
    with Broker(tmp_path, lines) as broker, Gateway(tmp_path, broker, reconnect_max='1s') as gateway:
        start(gateway)
        begin, turn = time.monotonic(), 0
        while time.monotonic() < begin + SECONDS:
            ledger = tmp_path / f'ledger-{turn}'
            publisher = publish(broker, ledger, turn * 10000, 10000, RATE)
            if turn == 0:  # before, repetitions are kept: README, "Sent again, or said again?"
                wait_until(lambda: gateway.status()['ingest']['knows_redelivered'], 'trust')
            time.sleep(moments.uniform(0.2, 3))  # a random moment is the point
            broker.stop()  # saves what it has acknowledged
            publisher.wait(30)
            acknowledged.update(map(int, ledger.read_text().split()))
            broker.start()
            turn += 1
            if turn == 2:
                wait_until(lambda: gateway.status()['ingest']['connected'], 'a second connection')
                used = measure(gateway)
        assert len(acknowledged) > RATE
        below = turn * 10000
        try:
            wait_until(lambda: acknowledged <= set(gateway.numbers(below)), 'every number',
                       every_s=0.5)
        finally:
            missing = sorted(acknowledged - set(gateway.numbers(below)))
            assert not missing, f'seed {seed}: {len(missing)} lost: {missing[:20]}'
        twice = sorted(number for number, rows in gateway.numbers(below).items() if rows > 1)
        status = gateway.status()
        rise = [after - before for before, after in zip(used, measure(gateway))]
        with capsys.disabled():
            print(f'\n# seed {seed}: {turn} restarts of the broker, {len(acknowledged)} numbers, '
                  f'0 lost, {len(twice)} twice; the ingest process took {rise[0]} bytes more, and '
                  f'{rise[1]} descriptors')
        assert rise[1] <= 2
        if SECONDS > 60:  # a soak, without sanitizers, which keep what is freed
            assert rise[0] < 2 << 20
        assert status['ingest']['restarts'] == 0 and status['ingest']['sessions_lost'] == 0
        assert not twice, f'seed {seed}: {twice[:20]}'


@pytest.mark.parametrize('role', ['ingest', 'run'])
def test_a_process_without_descriptors_waits_for_some(tmp_path, role):
    """J27. Segments are small, so that new files are wanted all the time."""
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker, segment_size='64k') as gateway:
        start(gateway)
        pid = roles(gateway)[role]
        used = max(map(int, os.listdir(f'/proc/{pid}/fd'))) + 1
        subprocess.run(['prlimit', '--pid', str(pid), f'--nofile={used}:4096'], check=True)
        publisher = publish(broker, tmp_path / 'ledger', 0, 6000, 2000)
        wait_until(lambda: 'Too many open files' in gateway.output(), 'a word in the log')
        subprocess.run(['prlimit', '--pid', str(pid), '--nofile=4096:4096'], check=True)
        assert publisher.wait(60) == 0
        wait_until(lambda: len(gateway.numbers(6000)) == 6000, 'every number', every_s=0.5)
        assert set(gateway.numbers(6000).values()) == {1}
        assert gateway.process.pid in descendants(gateway.process.pid) and gateway.running()


def with_small_disk(disk):
    """The start of a command line that runs the rest with a tmpfs on `disk`, half of it taken."""
    prefix = ['unshare', '--mount', 'sh', '-c',
              f'mount -t tmpfs -o size=8m none {disk} && head -c 4m /dev/zero > {disk}/filler && '
              'exec "$@"', 'sh']
    if subprocess.run([*prefix, 'true'], check=False).returncode != 0:
        pytest.skip('this machine lets us mount nothing, as many containers do')
    return prefix


@pytest.mark.parametrize('sync', ['interval', 'always'])
def test_a_disk_that_fills_up_and_is_cleared(tmp_path, sync):
    """D1, D3, D4: journal, checkpoints, backlogs and the store are on the same small disk."""
    disk = tmp_path / 'disk'
    disk.mkdir()
    prefix = with_small_disk(disk)
    settings = {'data_dir': disk / 'data', 'segment_size': '256k', 'disk_reserve': '1M',
                'sync': sync}
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker, prefix=prefix,
                                           **settings) as gateway:
        start(gateway)
        publisher = publish(broker, tmp_path / 'ledger', 0, 30000, 5000)
        wait_until(lambda: 'takes nothing' in gateway.output() or 'is full' in gateway.output(),
                   'a word in the log')
        assert publisher.wait(60) == 0, 'the broker queues'
        held = gateway.status()['ingest']['accepted']
        assert held < 30000
        pathlib.Path(f'/proc/{gateway.process.pid}/root{disk}/filler').unlink()
        wait_until(lambda: len(gateway.numbers(30000)) == 30000, 'every number', every_s=0.5)
        assert set(gateway.numbers(30000).values()) == {1}
        assert gateway.status()['ingest']['restarts'] == 0
