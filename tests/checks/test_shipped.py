"""What etc/ holds is what the program takes: the configuration and the rules."""
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


def test_a_folder_that_was_named_and_is_not_there_fails_the_check(tmp_path):
    done = headgate('check', str(tmp_path / 'rules.d'))
    assert done.returncode == 1
    assert 'there is no such file or folder' in done.stderr
