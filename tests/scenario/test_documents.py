"""AWS rule JSON in rules.d: runs beside rules in SQL, is edited, refused, and exported.

What actions make of rows is tested in unit/test_action, errors in unit/test_document.
"""
import json

import pytest

from gateway import Gateway, Subscription, wait_until

TABLES = ("CREATE TABLE readings WITH ('connector' = 'timestream', 'dimensions' = 'id');\n"
          "CREATE TABLE items WITH ('connector' = 'dynamodb', 'partition_key' = 'id');\n")


@pytest.fixture
def gateway(tmp_path, broker):
    with Gateway(tmp_path, broker) as prepared:
        yield prepared


def write_document(gateway, name, *actions, **more):
    document = {'sql': "SELECT id, temperature FROM 'sensors/+/data' WHERE temperature > 60",
                'awsIotSqlVersion': '2016-03-23', 'actions': list(actions), **more}
    part = gateway.rules / f'.{name}.part'
    part.write_text(json.dumps(document, indent=2))
    part.rename(gateway.rules / f'{name}.json')


def republish(topic):
    return {'republish': {'topic': topic, 'roleArn': 'arn:aws:iam::123456789012:role/r'}}


def test_actions_run(broker, gateway):
    gateway.write_rule('tables', TABLES)
    write_document(gateway, 'hot', republish('alerts/${topic(2)}'),
                   {'dynamoDBv2': {'putItem': {'tableName': 'items'}}},
                   {'dynamoDB': {'tableName': 'latest', 'hashKeyField': 'device',
                                 'hashKeyValue': '${topic(2)}', 'payloadField': 'row'}})
    gateway.start()
    with Subscription(broker, 'alerts/#') as alerts:
        broker.publish('sensors/7/data', '{"id": "s7", "temperature": 71}')
        assert alerts.wait_for(1) == [('alerts/7', '{"id":"s7","temperature":71}')]
    wait_until(lambda: gateway.sink('latest')['delivered'] == 1, 'the item to be stored')
    assert gateway.query('SELECT id, temperature FROM items') == [{'id': 's7', 'temperature': 71}]
    assert gateway.query('SELECT device FROM latest') == [{'device': '7'}]


def test_edits_take_effect_and_broken_ones_keep_the_last(broker, gateway):
    write_document(gateway, 'hot', republish('one'))
    gateway.start()
    with Subscription(broker, 'one', 'two') as alerts:
        broker.publish('sensors/7/data', '{"temperature": 71}')
        assert alerts.wait_for(1)[0][0] == 'one'
        write_document(gateway, 'hot', republish('two'))
        wait_until(lambda: gateway.status()['rule_files']['reloads'] > 0, 'the edit')
        broker.publish('sensors/7/data', '{"temperature": 72}')
        assert alerts.wait_for(2)[1][0] == 'two'
        write_document(gateway, 'hot', {'stepFunctions': {'stateMachineName': 'm'}})
        wait_until(lambda: gateway.status()['rule_files']['broken'] == 1, 'the broken edit')
        assert 'stepFunctions cannot run here' in gateway.run('status').stdout
        broker.publish('sensors/7/data', '{"temperature": 73}')
        assert alerts.wait_for(3)[2][0] == 'two'


def test_a_disabled_rule_is_shown_and_does_not_run(broker, gateway):
    write_document(gateway, 'off', republish('out'), ruleDisabled=True)
    write_document(gateway, 'on', republish('out'))
    gateway.start()
    with Subscription(broker, 'out') as out:
        broker.publish('sensors/7/data', '{"temperature": 71}')
        out.wait_for(1)
    assert gateway.rule('on')['messages'] == 1
    assert gateway.rule('off')['messages'] == 0
    assert gateway.rule('off')['disabled']
    lines = gateway.run('status').stdout.splitlines()
    assert any(line.startswith('off ') and line.endswith('disabled') for line in lines)


def test_a_rule_without_from_is_reached_by_its_name(broker, gateway):
    write_document(gateway, 'direct', republish('out/${topic()}'), sql='SELECT a')
    write_document(gateway, 'hot', republish('hot'))
    gateway.write_rule('all', "INSERT INTO 'all' SELECT * FROM '$aws/#';")
    gateway.start()
    with Subscription(broker, 'out/#', 'hot', 'all') as out:
        broker.publish('$aws/rules/direct/x/y', '{"a": 1}')
        broker.publish('$aws/rules/hot', '{"temperature": 61}')
        broker.publish('$aws/rules/nobody', '{"a": 2}')
        assert sorted(out.wait_for(2)) == [('hot', '{"temperature":61}'), ('out/x/y', '{"a":1}')]
        wait_until(lambda: "no rule 'nobody'" in gateway.output(), 'the log to tell')
        assert gateway.status()['engine']['rules_not_found'] == 1
        assert '1 to $aws/rules/ without such a rule' in gateway.run('status').stdout
        assert len(out.so_far()) == 2


def test_export_prints_what_loads_again(gateway):
    gateway.write_rule('tables', TABLES)
    gateway.write_rule('sql', "INSERT INTO 'alerts/${topic(2)}', readings, items\n"
                              "SELECT id, temperature FROM 'sensors/+/data'; -- all of it\n")
    write_document(gateway, 'hot', republish('alerts/${topic(2)}'))
    first = gateway.run('export', '--to', 'aws').stdout
    rules = json.loads(first)
    assert [rule['ruleName'] for rule in rules] == ['hot', 'sql']
    assert list(rules[1]['topicRulePayload']['actions'][1]['timestream']['dimensions']) == [
        {'name': 'id', 'value': '${id}'}]
    for name in ('sql.sql', 'hot.json'):
        (gateway.rules / name).unlink()
    (gateway.rules / 'all.json').write_text(first)
    assert gateway.run('check').returncode == 0
    assert gateway.run('export', '--to', 'aws').stdout == first


def test_export_says_what_it_cannot(gateway):
    gateway.write_rule('a', "CREATE TABLE c WITH ('connector' = 'console');\n"
                            "INSERT INTO c SELECT * FROM 'a';")
    done = gateway.run('export', '--to', 'aws', check=False)
    assert done.returncode == 1
    assert "AWS has no action for the connector 'console'" in done.stderr
    assert gateway.run('export', check=False).returncode == 2
    assert gateway.run('export', '--to', 'kafka', check=False).returncode == 2
