"""Runs pytest files and prints TAP, so that each test case counts like a cmocka one.

    /usr/bin/python3 tests/tap.py FILE... [pytest options]

TAP (https://testanything.org) goes to stdout; what pytest says goes to stderr.
"""
import os
import pathlib
import sys

import pytest

# Ends a test that hangs, with the stacks of its threads; PYTEST_TIMEOUT sets another.
HANGS_S = 300


class Tap:
    """Collects one line a test: a failure of set-up or tear-down fails the test, too."""

    def __init__(self, out):
        self.out = out
        self.cases = {}

    def pytest_runtest_logreport(self, report):
        verdict, reason = self.cases.get(report.nodeid, ('ok', ''))
        if report.failed:
            verdict = 'not ok'
        elif report.skipped and verdict == 'ok':
            reason = ' # SKIP ' + str(report.longrepr[-1] if report.longrepr else '')
        self.cases[report.nodeid] = (verdict, reason)
        if report.when == 'teardown':
            path, _, case = report.nodeid.partition('::')
            name = f'{path.rpartition("/")[2]}::{case}'.replace('#', ' ')
            self.say(f'{verdict} {len(self.cases)} - {name}{reason}')

    def pytest_collectreport(self, report):
        if report.failed:
            self.cases[report.nodeid] = ('not ok', '')
            self.say(f'not ok {len(self.cases)} - {report.nodeid} cannot be read')

    def pytest_sessionfinish(self):
        self.say(f'1..{len(self.cases)}')

    def say(self, line):
        print(line.replace('\n', ' '), file=self.out, flush=True)


def main():
    out = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # pytest and the processes that tests start talk to stderr
    root = str(pathlib.Path(__file__).resolve().parents[1])
    arguments = ['-p', 'no:cacheprovider', '-q', '-rA' if os.environ.get('VERBOSE') else '-rf',
                 f'--rootdir={root}', '-o', f'timeout={HANGS_S}', *sys.argv[1:]]
    return pytest.main(arguments, plugins=[Tap(out)])


if __name__ == '__main__':
    sys.dont_write_bytecode = True
    sys.exit(main())
