"""What lies in etc/ is sound: options as in the table, packages, scripts, the unit.

`/usr/bin/python3 tests/checks/test_etc.py --write` writes etc/headgate.conf anew from the table.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONF = ROOT / 'etc/headgate.conf'
UNIT = ROOT / 'etc/systemd/headgate.service'
SCRIPTS = ['etc/quickstart', 'etc/simulate', 'etc/install-packages', 'etc/install-config',
           'tests/run', '.ci/run']

HEAD = """\
# /etc/headgate/headgate.conf
#
# One option a line: its name, a blank, its value. Every option is listed with its default and
# commented out: the gateway works with this file as it is, and without it. Each can also be given
# to every command as --set name=value. `headgate help options` shows the same list.
# Sizes: 512, 64k, 16M, 2G. Durations: 500ms, 2s, 5m, 1h, 7d. Passwords: file:PATH or env:NAME.
"""

OPTION = re.compile(
    r'OPTION\((?P<name>\w+), (?P<type>\w+), [\w *]+, (?P<fallback>NULL|"[^"]*"), '
    r'(?P<min>\d+), (?P<max>\d+), (?P<choices>NULL|"[^"]*"),\s*'
    r'(?P<doc>(?:"(?:[^"\\]|\\.)*"\s*)+)\)')


def options():
    """The rows of gateway/options.def as dicts."""
    text = re.sub(r'/\*.*?\*/', '', (ROOT / 'gateway/options.def').read_text(), flags=re.DOTALL)
    found = [match.groupdict() for match in OPTION.finditer(text)]
    assert len(found) == text.count('OPTION('), 'a row of options.def was not understood'
    for option in found:
        option['doc'] = ''.join(re.findall(r'"((?:[^"\\]|\\.)*)"', option['doc']))
        for key in ('fallback', 'choices'):
            option[key] = None if option[key] == 'NULL' else option[key].strip('"')
    return found


def conf_text():
    blocks = [HEAD]
    for option in options():
        doc = option['doc']
        if option['choices']:
            doc += f" One of: {option['choices'].replace('|', ', ')}."
        lines = textwrap.wrap(doc, 98, initial_indent='# ', subsequent_indent='# ')
        value = ' ' + option['fallback'] if option['fallback'] is not None else ''
        blocks.append('\n'.join(lines) + f"\n#{option['name']}{value}\n")
    return '\n'.join(blocks)


def test_headgate_conf_lists_every_option_with_its_default():
    assert CONF.read_text() == conf_text(), 'run tests/checks/test_etc.py --write'


@pytest.mark.parametrize('script', SCRIPTS)
def test_scripts_are_clean(script):
    assert os.access(ROOT / script, os.X_OK)
    if not shutil.which('shellcheck'):
        subprocess.run(['bash', '-n', str(ROOT / script)], check=True)
        pytest.skip('shellcheck is not installed; bash -n is content')
    subprocess.run(['shellcheck', str(ROOT / script)], check=True)


def test_packages_are_listed_once_and_known_purposes_only():
    text = (ROOT / 'etc/packages').read_text()
    for section in re.split(r'^\[.*\]$', text, flags=re.MULTILINE)[1:]:
        names = [line for line in section.splitlines() if line and not line.startswith('#')]
        assert names and len(names) == len(set(names))
    assert re.findall(r'^\[(.*)\]$', text, flags=re.MULTILINE) == ['run', 'build', 'test',
                                                                    'test-all']


def test_the_unit_is_valid_and_hardened(tmp_path):
    if not shutil.which('systemd-analyze'):
        pytest.skip('systemd-analyze is not installed')
    copy = tmp_path / 'headgate.service'
    copy.write_text(re.sub(r'^ExecStart=.*$', 'ExecStart=/bin/true', UNIT.read_text(),
                           flags=re.MULTILINE))
    subprocess.run(['systemd-analyze', 'verify', '--man=no', '--recursive-errors=no', str(copy)],
                   check=True)
    # The threshold is the exposure times ten: 20 means at most 2.0.
    subprocess.run(['systemd-analyze', 'security', '--offline=yes', '--threshold=20', str(copy)],
                   check=True, stdout=subprocess.DEVNULL)


def test_an_installation_keeps_what_was_edited(tmp_path):
    def install():
        subprocess.run([str(ROOT / 'etc/install-config'), '/etc/headgate'], check=True,
                       env=dict(os.environ, DESTDIR=str(tmp_path)))
    install()
    place = tmp_path / 'etc/headgate'
    assert (place / 'headgate.conf').read_text() == CONF.read_text()
    assert {path.name for path in (place / 'rules.d').iterdir()} == \
        {path.name for path in (ROOT / 'etc/rules.d').iterdir()}
    (place / 'rules.d/hot.sql').write_text('-- mine')
    (place / 'rules.d/hot.test').unlink()
    (place / 'rules.d/readings.test').unlink()
    install()
    assert (place / 'rules.d/hot.sql').read_text() == '-- mine'
    assert not (place / 'rules.d/hot.test').exists(), 'would keep the edited rule from loading'
    assert (place / 'rules.d/readings.test').exists()


if __name__ == '__main__' and sys.argv[1:] == ['--write']:
    CONF.write_text(conf_text())
