"""The last line of tests/run must be able to say "failed"."""
import json
import os
import pathlib
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]


def summary(tmp_path, *entries, broken=0, more=()):
    """What tests/summary.py prints last for a log with these entries, and its exit code."""
    log = tmp_path / 'testlog.json'
    log.write_text(''.join(json.dumps(entry) + '\n' for entry in entries))
    done = subprocess.run([sys.executable, str(TESTS / 'summary.py'), '--broken', str(broken),
                           *more, str(log)], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[-1], done.returncode


def entry(stdout, result='OK', name='headgate:unit / x'):
    return {'name': name, 'stdout': stdout, 'result': result}


def test_cases_are_counted(tmp_path):
    assert summary(tmp_path, entry('1..2\nok 1 - a\nok 2 - b\n'), entry('no tap')) == \
        ('3 passed, 0 failed', 0)


def test_a_failed_case_fails(tmp_path):
    assert summary(tmp_path, entry('1..2\nok 1 - a\nnot ok 2 - b\n', 'FAIL')) == \
        ('1 passed, 1 failed', 1)


def test_a_crash_after_good_cases_fails(tmp_path):
    assert summary(tmp_path, entry('1..2\nok 1 - a\nok 2 - b\n', 'ERROR')) == \
        ('2 passed, 1 failed', 1)


def test_a_missing_case_fails(tmp_path):
    assert summary(tmp_path, entry('1..2\nok 1 - a\n')) == ('1 passed, 1 failed', 1)


def test_skipped_cases_are_neither(tmp_path):
    assert summary(tmp_path, entry('1..2\nok 1 - a\nok 2 - b # SKIP no root\n')) == \
        ('1 passed, 0 failed', 0)


def test_a_time_out_fails(tmp_path):
    assert summary(tmp_path, entry('', 'TIMEOUT'), entry('1..1\nok 1 - a\n')) == \
        ('1 passed, 1 failed', 1)


def test_nothing_run_fails(tmp_path):
    assert summary(tmp_path) == ('0 passed, 1 failed', 1)


def test_a_build_that_failed_fails(tmp_path):
    assert summary(tmp_path, entry('1..1\nok 1 - a\n'), broken=1) == ('1 passed, 1 failed', 1)


def test_a_run_that_was_cut_off_fails(tmp_path):
    good = entry('1..1\nok 1 - a\n')
    assert summary(tmp_path, good, more=['--cut-off']) == ('1 passed, 1 failed', 1)
    bad = entry('1..1\nnot ok 1 - a\n', 'FAIL')
    assert summary(tmp_path, bad, more=['--cut-off']) == ('0 passed, 1 failed', 1)


def test_a_python_test_that_hangs_fails_and_the_next_one_runs(tmp_path):
    hangs = tmp_path / 'test_hangs.py'
    hangs.write_text('import time\n\n\ndef test_hangs():\n    time.sleep(60)\n\n\n'
                     'def test_next():\n    pass\n')
    done = subprocess.run([sys.executable, str(TESTS / 'tap.py'), str(hangs)], timeout=50,
                          env={**os.environ, 'PYTEST_TIMEOUT': '1'}, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1
    assert 'Timeout >1.0s' in done.stderr
    verdicts = [line.partition(' - ')[0] for line in done.stdout.splitlines()]
    assert verdicts == ['not ok 1', 'ok 2', '1..2']
