"""kill -9 at random moments: each acknowledged message is stored, and stored once.

Numbered QoS 1 messages go through a real mosquitto while the gateway is killed and started again:
20,000 with five kills, or what the environment says (HEADGATE_KILLS, HEADGATE_RATE; the suite
`soak` asks for 200 kills at 2,000 messages a second, a kill each second). Every number that the
broker acknowledged must be in the time series, as one row: what the broker sends again after a
kill is recognised.

The seed is printed; HEADGATE_SEED=... repeats the moments (not the machine's scheduling).
"""
import os
import random
import subprocess
import time

import pytest

from gateway import NUMBERS, Broker, Gateway, tool, wait_until

KILLS = int(os.environ.get('HEADGATE_KILLS') or 5)
RATE = int(os.environ.get('HEADGATE_RATE') or 4000)
MESSAGES = KILLS * RATE  # a kill each second, at a random moment of it


def publish_in_background(broker, ledger):
    return subprocess.Popen(
        [tool('mqtt_publish'), f'port={broker.port}', f'messages={MESSAGES}', f'rate={RATE}',
         f'ledger={ledger}'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize('tree', [False, True], ids=['main process', 'whole tree'])
def test_every_acknowledged_number_is_stored_once(tmp_path, tree, capsys):
    seed = int(os.environ.get('HEADGATE_SEED') or random.randrange(2 ** 32))
    moments = random.Random(seed)
    random.seed(seed)
    ledger = tmp_path / 'ledger'
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('numbers', NUMBERS)
        gateway.start()  # the session exists from here on; the broker queues what we miss
        wait_until(lambda: gateway.status()['ingest']['knows_redelivered'], 'two canaries')
        publisher = publish_in_background(broker, ledger)
        begin = time.monotonic()
        for number in range(KILLS):
            until = begin + number + moments.random()
            time.sleep(max(0, until - time.monotonic()))  # a random moment is the point
            gateway.kill(tree)
            gateway.start(ready=False)
        assert publisher.wait(120 + 2 * KILLS) == 0
        gateway.wait_ready()
        acknowledged = set(map(int, ledger.read_text().split()))
        assert acknowledged == set(range(MESSAGES))

        def all_there():
            stored = gateway.numbers(MESSAGES)
            return acknowledged <= set(stored) and stored
        try:
            stored = wait_until(all_there, f'every number, seed {seed}', every_s=0.5)
        finally:
            missing = sorted(acknowledged - set(gateway.numbers(MESSAGES)))
            assert not missing, f'seed {seed}: {len(missing)} lost: {missing[:20]}'
        assert set(stored) == acknowledged
        twice = sorted(number for number, rows in stored.items() if rows > 1)
        dropped = gateway.status()['ingest']['dropped']['redelivered']
        with capsys.disabled():
            print(f'\n# seed {seed}: {KILLS} kills, {len(stored)} numbers stored, 0 lost, '
                  f'{len(twice)} twice; the last process dropped {dropped} that came again')
        assert not twice, f'seed {seed}: {len(twice)} twice: {twice[:20]}'
