"""Messages that rules publish: their MQTT 5 properties, and that they do not go round for ever.

Not here: what makes the parameters of the action (unit test_action).
"""
import json
import subprocess
import threading

import pytest

from gateway import PATIENCE_S, Gateway, Subscription, wait_until

ROLE = 'arn:aws:iam::123456789012:role/r'
HEADERS = {
    'payloadFormatIndicator': 'UTF8_DATA', 'contentType': 'text/${kind}',
    'responseTopic': 'answers/${topic(2)}', 'correlationData': "${encode(topic(2), 'base64')}",
    'messageExpiry': '3600', 'userProperties': [{'key': 'from', 'value': '${topic()}'},
                                                {'key': 'from', 'value': 'rule'}],
}


def write_document(gateway, name, sql, **republish):
    (gateway.rules / f'{name}.json').write_text(json.dumps({
        'sql': sql, 'awsIotSqlVersion': '2016-03-23',
        'actions': [{'republish': {'roleArn': ROLE, **republish}}]}))


def receive(broker, topic, form, publish):
    """What mosquitto_sub prints with MQTT 5 of the first message after `publish`."""
    with subprocess.Popen(
            ['stdbuf', '-oL', 'mosquitto_sub', '-h', '127.0.0.1', '-p', str(broker.port),
             '-V', '5', '-q', '1', '-t', topic, '-d', '-F', f'>{form}'],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as listener:
        timer = threading.Timer(PATIENCE_S, listener.kill)
        timer.start()
        try:
            for line in listener.stdout:
                if line.startswith('Subscribed '):
                    publish()
                elif line.startswith('>'):
                    return line[1:].rstrip('\n')
        finally:
            timer.cancel()
            listener.kill()
    raise AssertionError(f'nothing came on {topic}')


def test_headers_become_properties(broker, tmp_path):
    with Gateway(tmp_path, broker) as gateway:
        write_document(gateway, 'r', "SELECT v FROM 'in/+'", topic='out/${topic(2)}', qos=1,
                       headers=HEADERS)
        gateway.start()
        shown = receive(broker, 'out/7', '%p|%C|%R|%D|%E|%F|%q|%P',
                        lambda: broker.publish('in/7', '{"v": 1, "kind": "plain"}'))
        payload, content, answer, correlation, expiry, text, qos, users = shown.split('|')
        assert payload == '{"v":1}'
        assert (content, answer, correlation) == ('text/plain', 'answers/7', '7')
        assert 3500 < int(expiry) <= 3600
        assert (text, qos) == ('1', '1')
        assert users.startswith('from:in/7 from:rule headgate-id:mqtt:')
        assert users.endswith('headgate-hops:1')


def test_an_old_broker_gets_the_message_without_headers(broker, tmp_path):
    with Gateway(tmp_path, broker, broker_protocol='3.1.1') as gateway:
        write_document(gateway, 'r', "SELECT v FROM 'in/+'", topic='out/${topic(2)}',
                       headers=HEADERS)
        gateway.start()
        with Subscription(broker, 'out/#') as out:
            for number in range(3):
                broker.publish('in/7', json.dumps({'v': number, 'kind': 'plain'}))
            assert [payload for _, payload in out.wait_for(3)] == [
                f'{{"v":{number}}}' for number in range(3)]
        lines = [line for line in gateway.output().splitlines() if 'are left out' in line]
        assert len(lines) == 1 and "a message to 'out/7'" in lines[0]


@pytest.mark.parametrize('kind', ['sql', 'json'])
def test_a_rule_that_reads_what_it_publishes_stops(broker, tmp_path, kind):
    with Gateway(tmp_path, broker) as gateway:
        if kind == 'sql':
            gateway.write_rule('echo', "INSERT INTO 'loop/${topic(2)}' SELECT * FROM 'loop/+';")
        else:
            write_document(gateway, 'echo', "SELECT * FROM 'loop/+'", topic='loop/${topic(2)}')
        gateway.start()
        with Subscription(broker, 'loop/#') as seen:
            broker.publish('loop/1', '{"v": 1}')

            def stopped():
                rule = gateway.rule('echo')
                return rule['failed'] == 1 and rule
            rule = wait_until(stopped, 'the circle to be cut')
            assert (rule['messages'], rule['matched']) == (6, 5)
            assert len(seen.wait_for(6)) == 6
        assert "rule 'echo' failed on a message on 'loop/1': the message has come through five " \
            'rules' in gateway.output()


def test_a_rule_reaches_another_by_its_name(broker, tmp_path):
    with Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('first', "INSERT INTO '$$aws/rules/second/x' SELECT * FROM 'in';")
        gateway.write_rule('second', "INSERT INTO 'out/${topic()}' SELECT * FROM 'nothing';")
        gateway.start()
        with Subscription(broker, 'out/#') as out:
            broker.publish('in', '{"v": 1}')
            assert out.wait_for(1) == [('out/x', '{"v": 1}')]
