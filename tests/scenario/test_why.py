"""`headgate why`: a rule that stays silent, and the sentence that says why.

What is counted and how names are compared is tested in unit/test_explain; the reasons that need a
broken broker in unit/test_why.
"""
import json

import pytest

from gateway import Gateway, hold, wait_until

TABLE = "CREATE TABLE readings WITH ('connector' = 'null');\n"


@pytest.fixture
def gateway(tmp_path, broker):
    with Gateway(tmp_path, broker) as prepared:
        yield prepared


def why(gateway, *arguments, check=True):
    """The text, without line breaks, so that a long line is one."""
    return gateway.run('why', *arguments, check=check).stdout


def reason(gateway, *arguments):
    return json.loads(gateway.run('why', '--json', *arguments).stdout)['reason']


def test_a_misspelt_field(broker, gateway):
    gateway.write_rule('hot', "INSERT INTO 'alerts' SELECT sensor_id FROM 'sensors/+/data'\n"
                              "WHERE temprature > 60;")
    gateway.start()
    for number in range(3):
        broker.publish(f'sensors/{number}/data', '{"sensor_id": "s1", "temperature": 71}')
    hold(gateway, 'hot', 3)
    text = why(gateway, 'hot')
    assert text.splitlines()[-1] == ("Nothing came out because no message had the field "
                                     "'temprature'; 'temperature' was there 3 times.")
    assert "FROM 'sensors/+/data': subscribed, QoS 1" in text
    assert "by WHERE temprature > 60: Undefined 3 times; last temprature: missing" in text
    assert "never seen; 'temperature' was, in 3" in text


def test_a_condition_that_was_never_true(broker, gateway):
    gateway.write_rule('hot', "INSERT INTO 'alerts' SELECT sensor_id FROM 'sensors/+/data'\n"
                              "WHERE status = 'on' AND temperature > 60;")
    gateway.start()
    for temperature in (20, 21, 21.5):
        broker.publish('sensors/7/data',
                       json.dumps({'sensor_id': 's', 'status': 'on', 'temperature': temperature}))
    hold(gateway, 'hot', 3)
    assert reason(gateway, 'hot') == ('Nothing came out because `temperature > 60` was false for '
                                      'all 3 messages; the last had temperature: 21.5.')


def test_a_wrong_type(broker, gateway):
    gateway.write_rule('hot', "INSERT INTO 'alerts' SELECT sensor_id FROM 'sensors/+/data'\n"
                              "WHERE temperature > 60;")
    gateway.start()
    broker.publish('sensors/7/data', '{"sensor_id": "s", "temperature": "71 C"}')
    hold(gateway, 'hot', 1)
    assert reason(gateway, 'hot') == ("Nothing came out because 'temperature' was a string (the "
                                      'last: "71 C"), and `temperature > 60` wants a number.')


def test_payloads_that_are_not_json(broker, gateway):
    gateway.write_rule('hot', "INSERT INTO 'alerts' SELECT sensor_id FROM 'sensors/+/data'\n"
                              "WHERE temperature > 60;")
    gateway.start()
    broker.publish('sensors/7/data', 'temperature=71')
    hold(gateway, 'hot', 1)
    assert reason(gateway, 'hot').startswith(
        'Nothing came out because the payload of 1 of 1 message is not JSON: ')
    gateway.write_rule('hot', "INSERT INTO 'alerts' SELECT sensor_id FROM 'sensors/+/data'\n"
                              "WHERE temperature > 50;")
    wait_until(lambda: 'temperature > 50' in gateway.run('why', '--json', 'hot').stdout, 'the edit')
    assert reason(gateway, 'hot') == (
        'Nothing came out because the payload of 1 of 1 message is not JSON.')


def test_a_topic_that_nearly_matches(broker, gateway):
    gateway.write_rule('hot', "INSERT INTO 'alerts' SELECT * FROM 'sensors/+/data';")
    gateway.write_rule('all', TABLE + "INSERT INTO readings SELECT * FROM 'Sensors/#';")
    gateway.start()
    for number in range(14):
        broker.publish('Sensors/7/data', '{}')
    hold(gateway, 'all', 14)
    assert reason(gateway, 'hot') == (
        "Nothing came out because no message came on a topic that 'sensors/+/data' matches; "
        "14 messages came on 'Sensors/7/data': level 1 is 'Sensors', the filter has 'sensors'.")


def test_listening_hears_what_no_rule_subscribes_to(broker, gateway):
    gateway.write_rule('hot', "INSERT INTO 'alerts' SELECT * FROM 'sensors/+/data';")
    gateway.start()
    assert '--listen 10s' in why(gateway, 'hot')
    broker.publish('sensor/7/data', '{}', retain=True)  # comes with the subscription
    text = why(gateway, 'hot', '--listen', '500ms')
    assert "1 message came on 'sensor/7/data': level 1 is 'sensor'" in text
    assert 'heard on all topics in 1 second: 1 message, 0 of them' in text


def test_listening_without_a_gateway_runs_the_rule_on_what_it_hears(broker, gateway):
    gateway.write_rule('hot', "INSERT INTO 'alerts' SELECT * FROM 'sensors/+' WHERE hot = true;")
    broker.publish('sensors/7', '{"hot": "true"}', retain=True)
    assert reason(gateway, 'hot', '--listen', '500ms') == (
        "Nothing came out because 'hot' was a string (the last: \"true\"), and `hot = true` "
        'wants a boolean.')


def test_a_broken_file_comes_first(broker, gateway):
    gateway.write_rule('hot', "INSERT INTO 'alerts' SELECT * FROM 'sensors/+/data';")
    gateway.start()
    gateway.write_rule('hot', "INSERT INTO 'alerts' SELECT uper(x) AS x FROM 'sensors/+/data';")
    wait_until(lambda: gateway.status()['rule_files']['broken'] == 1, 'the broken file to be read')
    text = why(gateway, 'hot')
    assert 'the newest version has errors, the last good one runs' in text
    assert "hint: did you mean 'upper'?" in text
    assert text.splitlines()[-2].startswith('The rule that runs is an older version')
    gateway.write_rule('cold', 'INSERT INTO')
    wait_until(lambda: gateway.status()['rule_files']['broken'] == 2, 'the next one too')
    never_good = gateway.run('why', 'cold', check=False)
    assert never_good.returncode == 1
    assert 'The rule does not run because its file has an error: ' in never_good.stdout


def test_an_unknown_rule(gateway):
    gateway.write_rule('hot', "INSERT INTO 'alerts' SELECT * FROM 'sensors/+/data';")
    gateway.start()
    done = gateway.run('why', 'hto', check=False)
    assert (done.returncode, done.stdout) == (1, "There is no rule 'hto'; did you mean 'hot'?\n")


def test_a_target_that_takes_nothing(broker, gateway):
    gateway.write_rule('post', "CREATE TABLE api WITH ('connector' = 'http', "
                               "'url' = 'http://127.0.0.1:9/x', 'token' = 'geheim');\n"
                               "INSERT INTO api SELECT * FROM 'a/b';")
    gateway.start()
    broker.publish('a/b', '{"x": 1}')

    def stuck():
        text = why(gateway, 'post')
        return 'does not take them' in text and text
    text = wait_until(stuck, 'the target to be named')
    assert "1 row came out of 1 message, but 'api' does not take them: " in text
    assert 'geheim' not in text


def test_without_a_gateway(gateway):
    gateway.write_rule('hot', "INSERT INTO 'alerts' SELECT * FROM 'sensors/+/data';")
    done = gateway.run('why', 'hot', check=False)
    assert done.returncode == 1
    assert 'no gateway runs here' in done.stdout
    assert "start one with 'headgate run'" in done.stderr


def test_given_messages_are_explained_without_a_gateway(tmp_path, gateway):
    gateway.write_rule('hot', "INSERT INTO 'alerts' SELECT * FROM 'sensors/+/data'\n"
                              "WHERE data.temp > 60;")
    capture = tmp_path / 'capture.txt'
    capture.write_text('sensors/1/data {"temp": 71}\nsensors/2/data {"temp": 72}\n'
                       'sensors/2/dta {"temp": 72}\n')
    text = why(gateway, 'hot', '--input', str(capture))
    assert text.splitlines()[-1] == ("Nothing came out because no message had the field "
                                     "'data.temp'; 'temp' was there 2 times.")
    assert "sensors/2/dta  1 message, last 0 s ago: level 3 is 'dta', the filter has 'data'" in text


def test_a_rule_that_works_says_so(broker, gateway):
    gateway.write_rule('all', TABLE + "INSERT INTO readings SELECT a FROM 'a/b' WHERE a > 1;")
    gateway.start()
    broker.publish('a/b', '{"a": 2}')
    hold(gateway, 'all', 1)
    assert reason(gateway, 'all') == '1 row came out of 1 message: the rule works.'
    broker.publish('a/b', '{"a": 1}')
    hold(gateway, 'all', 2)
    assert reason(gateway, 'all') == ('1 row came out of 2 messages; the others did not because '
                                      '`a > 1` was false for 1 of 2 messages; the last had a: 1.')
