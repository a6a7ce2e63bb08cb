#!/usr/bin/python3
"""Measure rules in number: speed, loading, memory. Prints each figure beside its goal.

    tests/bench/rules.py [--json] [--no-gateway]

  speed    `headgate bench`: one core, without broker and disk
  loading  `headgate bench FOLDER`: 1000 files, 8000 files of a rule each, one file of 8000 rules;
           "changed" is a first load, which compiles everything
  memory   of a gateway with a broker and 8000 rules in 8000 files: proportional set size of all
           its processes, idle, beside one without rules

The build under test is that of $HEADGATE, or build-release/.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'scenario'))
from gateway import Broker, Gateway, binary, wait_until  # noqa: E402
from run import pss_mb  # noqa: E402

FILES, RULES = 1000, 8000


def rule(i):
    """One of many: topic and constant are its own."""
    return (f"INSERT INTO 'hot/${{topic(2)}}' SELECT sensor_id, temperature "
            f"FROM 'sensors/{i}/data' WHERE temperature > {i % 100}.{i % 10};\n")


def write_files(folder, count):
    folder.mkdir(parents=True)
    for i in range(count):
        (folder / f'rule{i:05}.sql').write_text(rule(i))
    return folder


def write_one_file(folder, count):
    folder.mkdir(parents=True)
    (folder / 'all.sql').write_text(''.join(map(rule, range(count))))
    return folder


def bench(*arguments):
    """The lines of `headgate bench --json ...`."""
    done = subprocess.run([binary(), 'bench', '--json', *map(str, arguments)], check=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def gateway_pss(folder, rules):
    with Broker(folder / 'broker') as broker, \
            Gateway(folder / 'gateway', broker, log_level='warning') as gateway:
        for i in range(rules):
            gateway.write_rule(f'rule{i:05}', rule(i))
        gateway.start(ready=False)
        wait_until(lambda: gateway.status()['ingest']['connected'], 'the gateway to be connected')
        return pss_mb(gateway.process.pid)


def measure(settings, folder):
    result = {'speed': bench()}
    result['loading'] = {
        f'{FILES} files': bench(write_files(folder / 'some', FILES))[0],
        f'{RULES} files': bench(write_files(folder / 'many', RULES))[0],
        'one file': bench(write_one_file(folder / 'one', RULES))[0]}
    if settings.gateway:
        result['pss_mb'] = {str(rules): gateway_pss(folder / f'gateway-{rules}', rules)
                            for rules in (0, RULES)}
    return result


def print_result(result):
    cases = {line['case']: line for line in result['speed'] if 'case' in line}
    for name, line in cases.items():
        print(f'{line["ns"]:10,.1f} ns a message  {name}')
    same_filter = cases['filter_300']
    rate = same_filter['per_second'] * same_filter['rules_per_message']
    print(f'{cases["filter_project"]["per_second"]:10,.0f} messages/s with filter and three fields '
          '(goal: 1,000,000)')
    print(f'{rate:10,.0f} evaluations/s of rules on one filter (goal: 1,000,000)')
    for line in result['speed']:
        if 'ratio' in line:
            print(f'{line["value"]:10.2f} {line["ratio"]}'
                  + (' (goal: at most 1.3)' if line['ratio'].startswith('rules_10000') else ''))
    for name, line in result['loading'].items():
        print(f'{line["load_ms"]:10.1f} ms changed, {line["reload_ms"]:.1f} ms unchanged, '
              f'{line["bytes"] / 1e6:.1f} MB, {line["bytes_per_rule"]:,} bytes a rule: {name} '
              f'(goals: {FILES} files 200 ms, 12 KB a rule)')
    for rules, megabytes in result.get('pss_mb', {}).items():
        print(f'{megabytes:10.1f} MB of all processes with {rules} rules (goal: 100 MB)')


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true')
    parser.add_argument('--no-gateway', dest='gateway', action='store_false',
                        help='without broker and gateway')
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='headgate-bench-', dir='/var/tmp') as folder:
        result = measure(settings, pathlib.Path(folder))
    if settings.json:
        print(json.dumps(result))
    else:
        print_result(result)


if __name__ == '__main__':
    main()
