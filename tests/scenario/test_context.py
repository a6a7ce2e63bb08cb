"""What rules know of a message beside its payload, and what they ask of the gateway.

A real broker and real clients; the details of every function are in tests/unit and tests/vectors.
"""
import base64
import json
import os
import subprocess

from gateway import PATIENCE_S, Gateway, Subscription, binary, wait_until


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


SHADOWS = """\
CREATE TABLE thing_shadows (thing VARCHAR, shadow VARCHAR)
WITH ('connector' = 'dynamodb', 'partition_key' = 'thing', 'sort_key' = 'shadow');

INSERT INTO thing_shadows
SELECT topic(3) AS thing, 'classic' AS shadow, current.state AS state, current.version AS version
FROM   '$aws/things/+/shadow/update/documents';
"""

ASKING = """\
CREATE TABLE devices WITH ('connector' = 'dynamodb', 'partition_key' = 'id');
INSERT INTO devices SELECT id, site FROM 'devices/+';

INSERT INTO 'out/${topic(2)}'
SELECT get_thing_shadow(topic(2), 'role').state.reported.on AS lit,
       get_dynamodb('devices', 'id', topic(2), 'role').site AS site,
       get_or_default(get_registry_data('DescribeThing', topic(2), 'role').thingTypeName, 'none') AS type
FROM   'ask/+'
WHERE  get_secret('key', 'SecretString', 'role') = password;
"""


def test_rules_ask_shadows_tables_secrets_and_the_inventory(tmp_path, broker):
    secrets = tmp_path / 'secrets'
    secrets.mkdir(mode=0o700)
    (secrets / 'key').write_text('s3cr3t\n')
    things = tmp_path / 'things.json'
    things.write_text(json.dumps({'lamp': {'thingTypeName': 'light'}}))
    with Gateway(tmp_path, broker, secrets_dir=secrets, registry_file=things) as gateway:
        gateway.write_rule('shadows', SHADOWS)
        gateway.write_rule('asking', ASKING)
        gateway.start()
        for name in ('lamp', 'pump'):
            broker.publish(f'$aws/things/{name}/shadow/update/documents', json.dumps(
                {'previous': {}, 'current': {'state': {'reported': {'on': name == 'lamp'}},
                                             'version': 3}}))
        broker.publish('devices/lamp', json.dumps({'id': 'lamp', 'site': 'north'}))
        wait_until(lambda: gateway.sink('thing_shadows')['delivered'] == 2 and
                   gateway.sink('devices')['delivered'] == 1, 'the tables to be filled')
        with Subscription(broker, 'out/#') as out:
            for name in ('lamp', 'pump'):
                broker.publish(f'ask/{name}', '{"password": "wrong"}')
                broker.publish(f'ask/{name}', '{"password": "s3cr3t"}')
            assert [(topic, json.loads(payload)) for topic, payload in out.wait_for(2)] == [
                ('out/lamp', {'lit': True, 'site': 'north', 'type': 'light'}),
                ('out/pump', {'lit': False, 'type': 'none'})]
        broker.publish('ask/nobody', '{"password": "s3cr3t"}')
        wait_until(lambda: gateway.rule('asking.2')['failed'] == 1, 'the rule to fail')
        assert "device 'nobody' has no shadow 'classic'" in gateway.output()
        assert 's3cr3t' not in gateway.output()


def test_try_shows_no_secret(tmp_path):
    (tmp_path / 'key').write_text('s3cr3t')
    done, rows = try_lines("SELECT get_or_default(isUndefined(a)) AS x FROM 'a' WHERE "
                           "get_secret('key', 'SecretString', 'role') = '(secret)'",
                           {'topic': 'a', 'payload': {}}, settings=[f'secrets_dir={tmp_path}'])
    assert rows == [{'x': True}] and 's3cr3t' not in done.stdout + done.stderr


DOUBLE = """\
#include <headgate/handler.h>
#include <stdio.h>
#include <string.h>

int
handle(struct headgate_context *context, const struct headgate_record *records, size_t count)
{
    int x = 0;
    char answer[64];
    if (strstr(records[0].payload, "hang") != NULL) {
        for (;;) {
        }
    }
    sscanf(records[0].payload, "{\\"x\\":%d}", &x);
    snprintf(answer, sizeof answer, "{\\"twice\\": %d}", 2 * x);
    if (x != 13) {
        headgate_emit(context, "answer", answer, strlen(answer));
    }
    return x == 99;
}
"""

CALLING = """\
CREATE FUNCTION double AS 'double.c' LANGUAGE C;
INSERT INTO 'out' SELECT aws_lambda('arn:aws:lambda:r:1:function:double', *).twice AS v FROM 'in';
INSERT INTO 'ml' SELECT machinelearning_predict('double', 'role', {'x': x}).twice AS v FROM 'in';
"""


def test_rules_call_handlers_and_wait_a_little(tmp_path, broker):
    with Gateway(tmp_path, broker) as gateway:
        (gateway.handlers / 'double.c').write_text(DOUBLE)
        gateway.write_rule('calling', CALLING)
        gateway.start()
        wait_until(lambda: gateway.sink('double')['state'] == 'ready', 'the handler to be compiled')
        with Subscription(broker, 'out', 'ml') as out:
            broker.publish('in', '{"x":21}')
            assert sorted(out.wait_for(2)) == [('ml', '{"v":42}'), ('out', '{"v":42}')]
            for payload, reason in (('{"x":13}', "handler 'double': it emitted no answer"),
                                    ('{"x":99}', "handler 'double': it returned 1")):
                broker.publish('in', payload)
                wait_until(lambda r=reason: r in gateway.output() or gateway.rule('calling')['failed'],
                           reason)
            wait_until(lambda: gateway.rule('calling')['failed'] == 2, 'two failures')
            broker.publish('in', '{"x":21}')
            assert len(out.wait_for(4)) == 4
            broker.publish('in', '{"hang":1}')
            broker.publish('in', '{"x":22}')  # at rest: it fails at once
            wait_until(lambda: gateway.rule('calling')['failed'] == 4, 'the engine to go on')
            assert 'at rest for another' in gateway.run('why', 'calling').stdout
        assert gateway.sink('double')['delivered'] == 0  # calls are no records of its sink
