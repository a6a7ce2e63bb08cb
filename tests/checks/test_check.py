"""`headgate check` over a folder: exit codes, order, JSON. The messages are tested in unit/test_lint."""
import json
import os
import subprocess

import pytest

GATEWAY = os.environ.get('HEADGATE', 'headgate')
GOOD = "INSERT INTO 'out' SELECT x FROM 'a/b';\n"
WARNED = "INSERT INTO 'out' SELECT x FROM 'c/*/d';\n"
BROKEN = "INSERT INTO lost SELECT uper(x) AS y FROM 'a/b';\nINSERT INTO lost SELECT x FROM 'a/b';\n"


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def check(folder, *arguments):
    return subprocess.run([GATEWAY, 'check', str(folder), *arguments], capture_output=True,
                          text=True, timeout=60)


def test_a_good_folder(folder):
    (folder / 'a.sql').write_text(GOOD)
    done = check(folder)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout == f'{folder}: 1 file, 1 rule, 0 tables; 0 errors, 0 warnings\n'
    assert check(folder, '--strict').returncode == 0


def test_warnings_fail_only_when_asked_to(folder):
    (folder / 'a.sql').write_text(WARNED)
    done = check(folder)
    assert done.returncode == 0
    assert done.stdout.endswith('0 errors, 1 warning\n')
    assert check(folder, '--strict').returncode == 1


def test_every_entry_of_every_file_in_one_run_in_order(folder):
    (folder / 'b.sql').write_text(BROKEN)
    (folder / 'a.sql').write_text(WARNED + 'INSERT INTO elsewhere SELECT x FROM 1;\n')
    (folder / 'c.sql').write_text("INSERT INTO elsewhere SELECT x FROM 'q';\n")
    done = check(folder, '--json')
    assert done.returncode == 1
    entries = json.loads(done.stdout)
    places = [(os.path.basename(entry['file']), entry['line'], entry['level'])
              for entry in entries]
    assert places == [('a.sql', 1, 'warning'), ('a.sql', 2, 'error'), ('b.sql', 1, 'error'),
                      ('c.sql', 1, 'error')]
    assert entries[2]['message'] == "unknown function 'uper'"
    assert entries[2]['hint'] == "did you mean 'upper'?"
    assert (entries[2]['column'], entries[2]['length']) == (25, 4)
    assert entries[3]['hint'] == ('perhaps it is declared in a file that has errors: mend those '
                                  'first')


def test_a_folder_that_is_not_there(folder):
    done = check(folder / 'nowhere')
    assert done.returncode == 1
    assert 'there is no such file or folder' in done.stderr
