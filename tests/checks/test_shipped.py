"""What etc/ holds is what the program takes: the configuration and the rules."""
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from test_etc import CONF, ROOT, options  # noqa: E402


def headgate(*arguments):
    path = os.environ.get('HEADGATE', '')
    if not os.access(path, os.X_OK):
        pytest.fail(f'no gateway at HEADGATE={path!r}')
    return subprocess.run([path, *arguments], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, check=False)


def test_help_lists_the_same_options():
    shown = headgate('help', 'options').stdout
    missing = [option['name'] for option in options() if option['name'] not in shown.split()]
    assert missing == []


def test_headgate_conf_is_accepted_as_it_is_and_with_all_defaults_set(tmp_path):
    rules = tmp_path / 'rules.d'
    rules.mkdir()
    spelled_out = tmp_path / 'headgate.conf'
    spelled_out.write_text(re.sub(r'^#(?=\w+ )', '', CONF.read_text(), flags=re.MULTILINE))
    for conf in (CONF, spelled_out):
        done = headgate('check', '-c', str(conf), str(rules))
        assert done.returncode == 0, done.stderr


def test_the_shipped_rules_are_right():
    done = headgate('check', str(ROOT / 'etc/rules.d'))
    assert done.returncode == 0, done.stderr + done.stdout


def test_the_shipped_rules_pass_their_tests():
    done = headgate('test', str(ROOT / 'etc/rules.d'))
    assert done.returncode == 0, done.stdout + done.stderr
    names = {path.stem for path in (ROOT / 'etc/rules.d').glob('*.sql')}
    assert done.stdout.splitlines()[-1] == f'{len(names)} passed, 0 failed'
    assert {path.stem for path in (ROOT / 'etc/rules.d').glob('*.test')} == names


def test_the_limit_of_the_first_rule_can_be_changed(tmp_path):
    text = (ROOT / 'etc/rules.d/hot.sql').read_text()
    for limit in ('-10', '20', '500'):
        (tmp_path / 'hot.sql').write_text(text.replace('temperature > 160',
                                                       f'temperature > {limit}'))
        (tmp_path / 'hot.test').write_text((ROOT / 'etc/rules.d/hot.test').read_text())
        done = headgate('check', str(tmp_path))
        assert done.returncode == 0, done.stderr


def test_check_tells_failing_tests_and_update_mends_them(tmp_path):
    rule, test = tmp_path / 'hot.sql', tmp_path / 'hot.test'
    rule.write_text("INSERT INTO 'out' SELECT a FROM 'in' WHERE a > 5;")
    test.write_text('# mine\nin {"a": 6}\n=>  out {"a": 7}\n')
    test.chmod(0o640)
    done = headgate('check', str(tmp_path))
    assert done.returncode == 1
    assert f"{test}:3:15: error: expected, but rule 'hot' gives => out {{\"a\":6}}" in done.stderr
    done = headgate('test', str(tmp_path))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, '0 passed, 1 failed')
    done = headgate('test', '--json', str(test))
    found = json.loads(done.stdout)
    assert (found['failed'], found['tests'][0]['errors'][0]['line']) == (1, 3)
    done = headgate('test', '--update', str(rule))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, '1 passed, 0 failed')
    assert f'{test}:3: updated\n  - =>  out {{"a": 7}}\n  + =>  out {{"a":6}}' in done.stdout
    assert test.read_text() == '# mine\nin {"a": 6}\n=>  out {"a":6}\n'
    assert test.stat().st_mode & 0o777 == 0o640
    assert headgate('test', str(tmp_path)).returncode == 0


def test_what_is_no_test_is_told(tmp_path):
    done = headgate('test', str(tmp_path))
    assert done.returncode == 1
    assert 'there is no test in' in done.stderr and 'hint: write NAME.test' in done.stderr
    (tmp_path / 'lost.test').write_text('a x\n')
    done = headgate('test', str(tmp_path))
    assert done.returncode == 1
    assert 'lost.test: error: a test without rules' in done.stdout
    assert headgate('test', str(tmp_path / 'gone.sql')).returncode == 1


def test_a_folder_that_was_named_and_is_not_there_fails_the_check(tmp_path):
    done = headgate('check', str(tmp_path / 'rules.d'))
    assert done.returncode == 1
    assert 'there is no such file or folder' in done.stderr
