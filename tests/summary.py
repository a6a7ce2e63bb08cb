"""Counts test cases out of meson's log, honestly; and finds suites and tests by name.

    tests/summary.py [--broken N] [--cut-off] LOG...           one line a suite, then "N passed, N failed"
    tests/summary.py --select BUILD NAME...        arguments for `meson test`, one a line

A program that prints TAP counts with each of its cases; another one counts as one case. A program
that ends badly (crash, sanitizer, time-out), or prints another number of cases than it planned,
is one failure more, whatever its cases said. Skipped cases are shown and count as neither. A build
that failed is a failure. Nothing run is a failure; so is a run that ended badly without saying why.
"""
import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys

CASE = re.compile(r'^(not )?ok\b(.*)$')
PLAN = re.compile(r'^1\.\.(\d+)')
FINE = {'OK', 'EXPECTEDFAIL', 'SKIP'}


def count_cases(entry):
    """(passed, failed, skipped) of one line of the log, which is one program."""
    passed = failed = skipped = 0
    planned = None
    for line in entry.get('stdout', '').splitlines():
        case, plan = CASE.match(line), PLAN.match(line)
        if plan:
            planned = int(plan[1])
        elif case and re.search(r'#\s*SKIP\b', case[2], re.IGNORECASE):
            skipped += 1
        elif case and case[1]:
            failed += 1
        elif case:
            passed += 1
    fine = entry['result'] in FINE
    if planned is None:
        if entry['result'] == 'SKIP':
            return 0, 0, 1
        return (1, 0, 0) if fine else (0, 1, 0)
    if passed + failed + skipped != planned or (not fine and failed == 0):
        failed += 1
    return passed, failed, skipped


def suite_of(entry):
    """'headgate:unit / base' -> 'unit'; a name alone is its own suite."""
    name = entry['name']
    return name.split(' / ')[0].split(':')[-1].split('+')[0] if ' / ' in name else name


def read(path):
    try:
        lines = pathlib.Path(path).read_text(errors='replace').splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.strip()]


def summarize(logs, broken, cut_off):
    failed_all = broken
    passed_all = 0
    for log in logs:
        suites = collections.defaultdict(lambda: [0, 0, 0])
        names = []
        for entry in read(log):
            counts = count_cases(entry)
            if counts[1]:
                names.append(entry['name'])
            for i, count in enumerate(counts):
                suites[suite_of(entry)][i] += count
        if not suites:
            failed_all += 1
            print(f'{log}: no test ran')
        if len(logs) > 1 and suites:
            print(f'{pathlib.Path(log).parents[1].name}:')
        for suite, (passed, failed, skipped) in sorted(suites.items()):
            note = f', {skipped} skipped' if skipped else ''
            print(f'{suite:12} {passed} passed, {failed} failed{note}')
            passed_all += passed
            failed_all += failed
        for name in names:
            print(f'failed: {name}; see {pathlib.Path(log).parent}/testlog.txt')
    if cut_off and not failed_all:
        failed_all += 1
        print('the run ended before all tests had: see above')
    print(f'{passed_all} passed, {failed_all} failed')
    return 0 if passed_all and not failed_all else 1


def select(build, names):
    """A name is a suite or a test."""
    listed = json.loads(subprocess.run(['meson', 'introspect', '--tests', build], check=True,
                                       stdout=subprocess.PIPE).stdout)
    suites = {suite.split(':')[-1] for test in listed for suite in test['suite']}
    tests = {test['name']: test['suite'] for test in listed}
    selected = {}  # in their order, each once: meson cannot take one twice
    for name in names:
        if name in tests:
            selected[name] = True
        elif name in suites:
            for test, belongs in tests.items():
                if any(suite.split(':')[-1] == name for suite in belongs):
                    selected[test] = True
        else:
            known = ', '.join(sorted(suites) + sorted(tests))
            print(f"there is no suite or test '{name}'; there are: {known}", file=sys.stderr)
            return 2
    print('\n'.join(selected))
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--broken', type=int, default=0)
    parser.add_argument('--cut-off', action='store_true')
    parser.add_argument('--select', metavar='BUILD')
    parser.add_argument('names', nargs='*')
    arguments = parser.parse_args()
    if arguments.select:
        return select(arguments.select, arguments.names)
    return summarize(arguments.names, arguments.broken, arguments.cut_off)


if __name__ == '__main__':
    sys.exit(main())
