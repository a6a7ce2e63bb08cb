"""Up to another broker: at least once, over kill -9 of the gateway and restarts of that broker.

HEADGATE_SEED=... repeats the moments (not the machine's scheduling).
"""
import collections
import json
import os
import random
import subprocess
import time

from gateway import Broker, Gateway, tool, wait_until

RATE = 2000
TURNS = 6
MESSAGES = RATE * TURNS

UPSTREAM_LINES = 'persistence true\npersistence_location {folder}/\nautosave_interval 1\n'


class Keeper:
    """mosquitto_sub with a session, so that a restarted broker goes on with it."""

    def __init__(self, broker, folder):
        self.path = folder / 'arrived'
        self.out = open(self.path, 'wb')
        self.process = subprocess.Popen(
            ['stdbuf', '-oL', 'mosquitto_sub', '-h', '127.0.0.1', '-p', str(broker.port), '-c',
             '-i', 'keeper', '-q', '1', '-t', 'site1/#', '-F', '%t %p'],
            stdin=subprocess.DEVNULL, stdout=self.out, stderr=subprocess.DEVNULL)

    def numbers(self):
        numbers = collections.Counter()
        for line in self.path.read_text().splitlines():
            topic, _, payload = line.partition(' ')
            assert topic.startswith('site1/bench/'), line
            numbers[json.loads(payload)['seq']] += 1
        return numbers

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.out.close()


def restart(broker):
    broker.stop()
    broker.start()


def test_what_goes_up_arrives(tmp_path, capsys):
    seed = int(os.environ.get('HEADGATE_SEED') or random.randrange(2 ** 32))
    moments = random.Random(seed)
    random.seed(seed)
    ledger = tmp_path / 'ledger'
    upstream_folder = tmp_path / 'upstream'
    upstream_folder.mkdir()
    lines = UPSTREAM_LINES.format(folder=upstream_folder)
    with Broker(tmp_path) as broker, Broker(upstream_folder, lines) as upstream, \
            Keeper(upstream, tmp_path) as keeper, Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('up', f"""
            CREATE TABLE cloud WITH ('connector' = 'mqtt-bridge', 'url' = '{upstream.url}',
              'topic' = 'site1/${{topic}}', 'reconnect_max' = '1s');
            INSERT INTO cloud SELECT * FROM 'bench/+/data';""")
        gateway.start()
        publisher = subprocess.Popen(
            [tool('mqtt_publish'), f'port={broker.port}', f'messages={MESSAGES}', f'rate={RATE}',
             f'ledger={ledger}'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        begin = time.monotonic()
        for turn in range(TURNS):
            time.sleep(max(0, begin + turn + moments.random() - time.monotonic()))
            if turn % 2 == 0:
                gateway.kill(tree=True)
                gateway.start(ready=False)
            else:
                restart(upstream)
        assert publisher.wait(60) == 0
        acknowledged = set(map(int, ledger.read_text().split()))
        assert acknowledged == set(range(MESSAGES))
        wait_until(lambda: acknowledged <= set(keeper.numbers()), f'every number, seed {seed}',
                   120, 0.5)
        again = sum(keeper.numbers().values()) - MESSAGES
        with capsys.disabled():
            print(f'\n# seed {seed}: {MESSAGES} numbers went up, 0 lost, {again} came again')
        assert gateway.sink('cloud')['rejected'] == 0
