"""What rules know of a message beside its payload, and what they ask of the gateway.

A real broker and real clients; the details of every function are in tests/unit and tests/vectors.
"""
import base64
import json
import os
import subprocess

import pytest

from gateway import PATIENCE_S, Broker, Gateway, Subscription, binary, wait_until


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path) as running:
        yield running


def publish(broker, topic, payload, *arguments):
    """One message with MQTT 5 properties: ('content-type', 'a/b'), ('user-property', 'k', 'v')."""
    properties = [word for one in arguments for word in ('-D', 'PUBLISH', *one)]
    subprocess.run(['mosquitto_pub', '-V', '5', '-h', '127.0.0.1', '-p', str(broker.port), '-q',
                    '1', '-t', topic, '-m', payload, *properties], check=True, timeout=PATIENCE_S)


def try_lines(sql, *lines, settings=()):
    """The rows that `headgate try` prints for input lines (dicts)."""
    sets = [word for setting in settings for word in ('--set', setting)]
    done = subprocess.run([binary(), 'try', '--sql', sql, *sets], capture_output=True, text=True,
                          input=''.join(json.dumps(line) + '\n' for line in lines),
                          timeout=PATIENCE_S, env=dict(os.environ, HOME='/nonexistent'))
    return done, [json.loads(row) for row in done.stdout.splitlines()]


def test_properties_of_a_message_reach_the_rules(tmp_path, broker):
    with Gateway(tmp_path, broker, account_id='123456789012',
                 client_id_property='from') as gateway:
        gateway.write_rule('seen', """\
INSERT INTO 'seen/1'
SELECT accountid() AS account, clientid() AS client, principal() AS principal, traceid() AS trace,
       get_mqtt_property('content_type') AS type, get_mqtt_property('correlation_data') AS data,
       get_user_properties('k') AS k
FROM 'in/#';
""")
        gateway.start()
        with Subscription(broker, 'seen/#') as seen:
            publish(broker, 'in/1', '{}', ('content-type', 'a/b'), ('correlation-data', 'xy'),
                    ('user-property', 'k', '1'), ('user-property', 'from', 'pump-7'),
                    ('user-property', 'k', '2'))
            publish(broker, 'in/2', '{}')
            first, second = [json.loads(payload) for _, payload in seen.wait_for(2)]
    traces = {first.pop('trace'), second.pop('trace')}
    assert len(traces) == 2 and {len(trace) for trace in traces} == {36}
    assert first == {'account': '123456789012', 'client': 'pump-7', 'type': 'a/b',
                     'data': base64.b64encode(b'xy').decode(), 'k': ['1', '2']}
    assert second == {'account': '123456789012', 'client': 'n/a'}


def test_try_takes_the_origin_from_its_input():
    sql = ("SELECT accountid() AS account, clientid() AS client, sourceip() AS ip, "
           "get_user_properties('k') AS k FROM 'a'")
    line = {'topic': 'a', 'payload': {}, 'identity': {'client_id': 'c', 'source_ip': '::1'},
            'properties': {'user-properties': {'k': 'v'}}}
    done, rows = try_lines(sql, line, {'topic': 'a', 'payload': {}},
                           settings=['account_id=42'])
    assert done.returncode == 0, done.stderr
    assert rows == [{'account': '42', 'client': 'c', 'ip': '::1', 'k': ['v']},
                    {'account': '42', 'client': 'n/a'}]
