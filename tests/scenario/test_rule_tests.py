"""Tests beside rule files, seen by a running gateway: an edit that fails its test is not taken.

The format is in tests/unit/test_ruletest.c, the verb `test` in tests/checks/test_shipped.py.
"""
import json
import re

import pytest

from gateway import Gateway, Subscription, wait_until

HOT = """\
INSERT INTO 'alerts/${{topic(2)}}'
SELECT sensor_id, temperature FROM 'sensors/+/data' WHERE temperature > {limit};
"""

HOT_TEST = """\
sensors/7/data {"sensor_id":"s7","temperature":61}
=> alerts/7 {"sensor_id":"s7","temperature":61}
+1s sensors/7/data {"sensor_id":"s7","temperature":60}
=> filtered
"""


@pytest.fixture
def gateway(tmp_path, broker):
    with Gateway(tmp_path, broker) as prepared:
        write_test(prepared, 'hot', HOT_TEST)
        prepared.write_rule('hot', HOT.format(limit=60))
        prepared.write_rule('copy', "INSERT INTO 'copy' SELECT * FROM 'sensors/+/data';")
        yield prepared


def write_test(gateway, name, text):
    path = gateway.rules / f'{name}.test'
    part = gateway.rules / f'.{name}.test.part'
    part.write_text(text)
    part.rename(path)


def reading(temperature):
    return json.dumps({'sensor_id': 's7', 'temperature': temperature})


def files(gateway):
    return gateway.status()['rule_files']


def alerts_of(broker, alerts, *temperatures):
    """Publishes readings of them and of 1000 degrees; returns which of them gave an alert."""
    seen = len(alerts.so_far())
    for temperature in (*temperatures, 1000):
        broker.publish('sensors/7/data', reading(temperature))

    def until_the_last():
        came = [json.loads(payload)['temperature'] for _, payload in alerts.so_far()[seen:]]
        return came if came and came[-1] == 1000 else None
    return wait_until(until_the_last, 'the last alert')[:-1]


def test_an_edit_that_fails_its_test_is_not_taken(broker, gateway):
    gateway.start()
    assert files(gateway)['broken'] == 0
    with Subscription(broker, 'alerts/#') as alerts:
        assert alerts_of(broker, alerts, 60, 61) == [61]

        gateway.write_rule('hot', HOT.format(limit=20))
        wait_until(lambda: files(gateway)['broken'] == 1, 'the edit to be refused')
        assert files(gateway)['kept'] == 1
        place = r"hot\.test:4:4: error: expected, but rule 'hot' gives => alerts/7 "
        assert re.search(place, files(gateway)['errors'])
        assert re.search(place, gateway.output())
        assert re.search(place, gateway.run('status').stdout)
        assert alerts_of(broker, alerts, 60, 61) == [61]

        tested = gateway.run('test', check=False)  # the folder of its configuration
        assert tested.returncode == 1
        assert re.search(place, tested.stdout)
        assert tested.stdout.splitlines()[-1] == '0 passed, 1 failed'

        # the changed test alone is reason enough to look again
        write_test(gateway, 'hot', HOT_TEST.replace('=> filtered',
                                                    '=> alerts/7 {"sensor_id":"s7","temperature":60}'))
        wait_until(lambda: files(gateway)['broken'] == 0, 'the edit to be taken')
        assert alerts_of(broker, alerts, 20, 60, 61) == [60, 61]

        gateway.run('test')
        write_test(gateway, 'hot', HOT_TEST)
        wait_until(lambda: files(gateway)['broken'] == 1, 'the test to be run again')
        assert alerts_of(broker, alerts, 60) == [60]
        gateway.run('test', '--update')
        wait_until(lambda: files(gateway)['broken'] == 0, 'the updated test to pass')


def test_a_file_that_fails_its_test_at_the_start_is_left_out(broker, gateway):
    gateway.write_rule('hot', HOT.format(limit=20))
    gateway.start()
    assert (files(gateway)['broken'], files(gateway)['kept']) == (1, 0)
    assert gateway.rule('hot') is None and gateway.rule('copy')
    checked = gateway.run('check', check=False)
    assert checked.returncode == 1 and 'hot.test:4:4: error:' in checked.stderr
    gateway.write_rule('hot', HOT.format(limit=60))
    wait_until(lambda: gateway.rule('hot'), 'the rule')
