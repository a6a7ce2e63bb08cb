"""An allocation that fails, whoever asked for it, ends that process and loses nothing.

In a build without sanitizers (suite `plain`): tests/fault/memory.c refuses the n-th allocation of
the core, the ingest process or the publisher; also in the middle of Paho and SQLite. The
process must end with the status of heap.h and say why; then everything goes on as after a kill.

HEADGATE_SEED=... repeats the moments, HEADGATE_REFUSALS says how many.
"""
import collections
import os
import random
import struct
import subprocess

from gateway import NUMBERS, Broker, Gateway, Preload, Subscription, tool, wait_until

REFUSALS = int(os.environ.get('HEADGATE_REFUSALS') or 30)
RATE = 1000
NO_MEMORY = 71  # HEAP_EXIT
RULES = NUMBERS + "INSERT INTO 'out' SELECT seq FROM 'bench/+/data';\n"


class Memory(Preload):
    """What tests/fault/memory.c maps: whose, how many more, how many were refused."""

    def __init__(self, folder):
        super().__init__('memory', folder, '=16sqQ')

    def refuse(self, role, n):
        """The n-th allocation from now of the process `headgate ROLE`."""
        self.page[:24] = bytes(24)
        self.page[:24] = struct.pack('=16sq', role.encode(), n)

    def refused(self):
        return self.read()[2]


def refuse_once(gateway, memory, role, n):
    """Waits for the end that follows, and for the next life. False: nothing was asked for."""
    before, text = memory.refused(), len(gateway.output())
    memory.refuse(role, n)
    try:
        wait_until(lambda: memory.refused() > before, 'an allocation', timeout_s=3)
    except Exception:
        memory.refuse('', 0)
        return memory.refused() > before
    wait_until(lambda: 'out of memory' in gateway.output()[text:], f'{role} to say so')
    if role == 'run':
        assert gateway.process.wait(10) == NO_MEMORY
        memory.start(gateway, ready=False)
    return True


def test_what_is_refused_memory_ends_and_loses_nothing(tmp_path, capsys):
    seed = int(os.environ.get('HEADGATE_SEED') or random.randrange(2 ** 32))
    chance = random.Random(seed)
    messages = REFUSALS * RATE
    memory = Memory(tmp_path)
    refusals = collections.Counter()
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker) as gateway, \
            Subscription(broker, 'out') as out:
        gateway.write_rule('numbers', RULES)
        memory.start(gateway)
        wait_until(lambda: gateway.status()['ingest']['knows_redelivered'], 'two canaries')
        publisher = subprocess.Popen(
            [tool('mqtt_publish'), f'port={broker.port}', f'messages={messages}', f'rate={RATE}',
             f'ledger={tmp_path}/ledger'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while publisher.poll() is None:
            role = chance.choice(['ingest', 'publisher', 'run'])
            refusals[role] += refuse_once(gateway, memory, role, chance.randrange(1, 2000))
        assert publisher.returncode == 0
        memory.refuse('', 0)
        gateway.wait_ready()
        wait_until(lambda: len(gateway.numbers(messages)) == messages, 'every number', 60)
        assert set(gateway.numbers(messages).values()) == {1}

        def seen():
            return {payload for _, payload in out.so_far()}
        wait_until(lambda: len(seen()) == messages, 'every number upstream', 60)
    with capsys.disabled():
        print(f'# seed {seed}: refused {dict(refusals)}')
    assert min(refusals[role] for role in ('ingest', 'publisher', 'run')) > 0, refusals


def test_a_start_that_is_refused_memory_says_so(tmp_path):
    """Each of the first allocations of a start, and every now and then one of the rest."""
    memory = Memory(tmp_path)
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('numbers', RULES)
        memory.start(gateway)
        broker.publish('bench/1/data', '{"sensor_id": "a", "seq": 0}')
        wait_until(lambda: gateway.numbers(1) == {0: 1}, 'a row')
        assert gateway.stop() == 0
        for n in [*range(1, 10), *range(10, 4000, 133)]:
            before, text = memory.refused(), len(gateway.output())
            memory.refuse('run', n)
            memory.start(gateway, ready=False)
            wait_until(lambda: not gateway.running() or gateway.status()['ingest']['connected'],
                       'the end, or a start without so many allocations')
            if gateway.running():
                assert n > 1000 and memory.refused() == before
                assert gateway.stop() == 0
            else:
                assert gateway.process.returncode == NO_MEMORY
                assert 'out of memory' in gateway.output()[text:]
        memory.refuse('', 0)
        memory.start(gateway)
        assert gateway.numbers(1) == {0: 1}
