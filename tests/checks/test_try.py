"""`headgate try`: what goes in, what comes out, and the sentence for what does not.

The forms of input lines are tested in unit/test_trial.
"""
import json
import os
import subprocess

import pytest

GATEWAY = os.environ.get('HEADGATE', 'headgate')
FILE = """\
CREATE RULE warm AS INSERT INTO 'warm/${topic(2)}' SELECT s FROM 'sensors/+' WHERE t > 20;
CREATE RULE cold AS INSERT INTO elsewhere SELECT s FROM 'sensors/+' WHERE temp < 0;
"""


def run(*arguments, lines='', check=True):
    done = subprocess.run([GATEWAY, 'try', *arguments], input=lines, capture_output=True,
                          text=True, timeout=60)
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / 'rules.sql'
    path.write_text(FILE)
    return str(path)


def test_a_statement_and_its_summary():
    done = run('--sql', "SELECT x FROM 'a/+' WHERE x > 1", lines='a/b {"x":1}\na/b {"x":2}\n')
    assert done.stdout == '{"x":2}\n'
    assert done.stderr == '2 messages: 1 row, 1 filtered (WHERE was false)\n'


def test_the_rules_of_a_file_name_themselves(rules):
    lines = 'sensors/7 {"s":"s7","t":21}\n'
    done = run('--rule', rules, lines=lines)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {'rule': 'warm', 'target': 'warm/7', 'payload': {'s': 's7'}}]
    assert done.stderr.splitlines()[-1] == ("cold: Nothing came out because no message had the "
                                            "field 'temp'.")
    one = run('--rule', rules, 'warm', lines=lines)
    assert one.stdout == '{"target":"warm/7","payload":{"s":"s7"}}\n'
    assert one.stderr == '1 message: 1 row\n'


def test_an_unknown_rule_of_a_file(rules):
    done = run('--rule', rules, 'worm', check=False)
    assert done.returncode == 1
    assert "has no rule named worm" in done.stderr and "did you mean 'warm'?" in done.stderr


@pytest.mark.parametrize('arguments', [(), ('--sql', 'SELECT 1', '--rule', 'x.sql'),
                                       ('--sql', "SELECT * FROM 'a'", 'name'),
                                       ('--sql', "SELECT * FROM 'a'", '--seed', 'x'),
                                       ('--sql', "SELECT * FROM 'a'", '--now', 'soon')])
def test_command_lines_that_cannot_be_meant(arguments):
    assert run(*arguments, check=False).returncode == 2


def test_bytes_go_in_and_out_as_base64():
    done = run('--sql', "INSERT INTO 'out' SELECT * FROM 'a/b'",
               lines='{"topic":"a/b","base64":"/wA="}\n')
    assert json.loads(done.stdout) == {'target': 'out', 'base64': '/wA='}
    text = run('--sql', "SELECT * FROM 'a/b'", '--topic', 'a/b', lines='no JSON\n')
    assert text.stdout == '"no JSON"\n'


def test_the_same_input_gives_the_same_output():
    sql = "SELECT rand() AS r, newuuid() AS u, timestamp() AS t FROM 'a/b'"
    lines = ('a/b {}\n{"topic":"a/b","payload":{},"at":"2026-01-31T12:00:00Z"}\n'
             '{"tst":"2026-01-31T12:00:01.000Z","topic":"a/b","payload":"{}"}\n')
    options = ('--now', '2026-01-31T11:00:00Z', '--seed', '7')
    first = run('--sql', sql, *options, lines=lines).stdout
    assert first == run('--sql', sql, *options, lines=lines).stdout
    assert first != run('--sql', sql, *options[:2], '--seed', '8', lines=lines).stdout
    assert [json.loads(line)['t'] for line in first.splitlines()] == [
        1769857200000, 1769860800000, 1769860801000]


def test_a_line_that_is_no_message_is_told_and_the_others_go_on():
    done = run('--sql', "SELECT x FROM 'a/b'", lines='a/b\n\na/b {"x":1}\n', check=False)
    assert (done.returncode, done.stdout) == (1, '{"x":1}\n')
    assert '-:1:' in done.stderr


def test_nothing_came_and_a_topic_is_near():
    done = run('--sql', "SELECT x FROM 'sensors/+/data'", lines='sensor/7/data {"x":1}\n')
    assert done.stderr.splitlines()[-1] == (
        "Nothing came out because no message came on a topic that 'sensors/+/data' matches; "
        "1 message came on 'sensor/7/data': level 1 is 'sensor', the filter has 'sensors'.")
