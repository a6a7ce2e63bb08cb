#!/usr/bin/python3
"""How long an edit of one rule file holds up the others.

    tests/bench/reload.py [--rules N] [--keys N] [--edits N]

N rules of stream SQL, each in a file of its own, one of them with an open window for each key. One
file is edited again and again while messages flow; `swap_us` of `headgate status` is what the engine
needs to go over to the new rules. The build under test is that of $HEADGATE, or build-release/.
"""
import argparse
import pathlib
import statistics
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'scenario'))
from gateway import Broker, Gateway, wait_until  # noqa: E402

RULE = """\
CREATE TABLE r{n} (id STRING, v DOUBLE, at AS PROCTIME())
WITH ('connector' = 'mqtt', 'topic' = 'in/{n}');
INSERT INTO 'out/{n}' SELECT id, AVG(v) AS a, {edit} AS edit FROM r{n}
GROUP BY TUMBLE(at, INTERVAL '1' HOUR), id;
"""


def measure(folder, rules, keys, edits):
    with Broker(folder) as broker, Gateway(folder, broker, log_level='warning') as gateway:
        for n in range(rules):
            gateway.write_rule(f'r{n}', RULE.format(n=n, edit=0))
        gateway.start()
        wait_until(lambda: gateway.status()['ingest']['filters'] >= rules, 'the subscriptions')
        for first in range(0, keys, 5000):
            rows = ''.join(f'{{"id":"s{key}","v":1}}\n'
                           for key in range(first, min(first + 5000, keys)))
            broker.publish('in/0', rows, lines=True)
        wait_until(lambda: gateway.rule('r0')['messages'] >= keys, 'all keys', timeout_s=120)
        swaps = []
        for edit in range(1, edits + 1):
            gateway.write_rule(f'r{rules - 1}', RULE.format(n=rules - 1, edit=edit))
            wait_until(lambda: gateway.status()['rule_files']['reloads'] >= edit, 'the reload')
            swaps.append(gateway.status()['engine']['swap_us'])
        return swaps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rules', type=int, action='append')
    parser.add_argument('--keys', type=int, default=100000)
    parser.add_argument('--edits', type=int, default=10)
    arguments = parser.parse_args()
    for rules in arguments.rules or [10, 300]:
        with tempfile.TemporaryDirectory(prefix='headgate-bench-') as folder:
            swaps = measure(folder, rules, arguments.keys, arguments.edits)
        print(f'{rules} rules, {arguments.keys} open windows: median '
              f'{statistics.median(swaps):.0f} us, longest {max(swaps)} us (goal: 1000)')


if __name__ == '__main__':
    main()
