"""A key-value table, from mosquitto_pub to `headgate query`: periods of smart meters."""
import json

import pytest

from gateway import Gateway, hold, wait_until

METERS = """\
CREATE TABLE metered (CustomerID BIGINT, "SensorID-Period" VARCHAR) WITH (
  'connector'     = 'dynamodb',
  'partition_key' = 'CustomerID',
  'sort_key'      = 'SensorID-Period',
  'batch.linger'  = '10ms'
);
INSERT INTO metered SELECT * FROM 'meters/+/period';
"""

KWH = """\
SELECT CustomerID, "SensorID-Period" AS period, "kWh-Amount" AS kwh FROM metered
"""


@pytest.fixture
def gateway(tmp_path, broker):
    with Gateway(tmp_path, broker) as prepared:
        prepared.write_rule('meters', METERS)
        yield prepared.start()


def period(customer, sensor, when, kwh):
    return json.dumps({'CustomerID': customer, 'SensorID-Period': f'{sensor}#{when}',
                       'kWh-Amount': kwh})


def publish_day(broker):
    """Hours, a day and a month of one meter, and a day of another: nine items."""
    lines = [period(10027610, 51246501, f'2022-01-05T{hour:02}', kwh)
             for hour, kwh in zip(range(18, 24), (0.28, 0.29, 0.3, 0.3, 0.29, 0.27))]
    lines += [period(10027610, 51246501, '2022-01-05', 6.21),
              period(10027610, 51246501, '2022-01', 192.51),
              period(10027615, 51246506, '2022-01-22', 5.77)]
    broker.publish('meters/1/period', '\n'.join(lines) + '\n', lines=True)
    return len(lines)


def count(gateway):
    return gateway.query('SELECT COUNT(*) AS n FROM metered')[0]['n']


def test_items_by_their_keys(broker, gateway):
    published = publish_day(broker)
    wait_until(lambda: count(gateway) == published, 'the items')
    assert [row['kwh'] for row in gateway.query(
        KWH + "WHERE CustomerID = 10027610 AND \"SensorID-Period\" BETWEEN "
              "'51246501#2022-01-05T18' AND '51246501#2022-01-05T23' ORDER BY 2")] == [
        0.28, 0.29, 0.3, 0.3, 0.29, 0.27]
    assert gateway.query(KWH + "WHERE \"SensorID-Period\" = '51246506#2022-01-22'") == [
        {'CustomerID': 10027615, 'period': '51246506#2022-01-22', 'kwh': 5.77}]


def test_the_same_day_again_replaces_and_bad_items_are_dead_letters(broker, gateway):
    published = publish_day(broker)
    publish_day(broker)
    broker.publish('meters/1/period', period(10027610, 51246501, '2022-01', 200.5))
    broker.publish('meters/1/period', json.dumps({'CustomerID': '7', 'SensorID-Period': 'x'}))
    hold(gateway, 'meters', 2 * published + 2)
    wait_until(lambda: gateway.sink('metered')['rejected'] == 1, 'the dead letter')
    assert count(gateway) == published
    assert gateway.query(KWH + "WHERE \"SensorID-Period\" = '51246501#2022-01'")[0]['kwh'] == 200.5
    assert gateway.sink('metered')['last_error'] == (
        "member 'CustomerID', the partition key, holds \"7\", expected a number")


def test_items_survive_the_gateway(broker, gateway):
    published = publish_day(broker)
    wait_until(lambda: count(gateway) == published, 'the items')
    before = gateway.query('SELECT * FROM metered')
    gateway.kill(tree=True)
    assert gateway.query('SELECT * FROM metered') == before
    gateway.start()
    broker.publish('meters/1/period', period(10027610, 51246501, '2022-02', 1))
    wait_until(lambda: count(gateway) == published + 1, 'the item behind what is replayed')
    assert gateway.query("SELECT * FROM metered WHERE \"SensorID-Period\" <> '51246501#2022-02'"
                         ) == before


def test_a_query_of_an_unknown_table_says_where_tables_come_from(gateway):
    done = gateway.run('query', 'SELECT * FROM something', check=False)
    assert done.returncode == 1
    assert "unknown table 'something'" in done.stderr
    assert f'the rule files in {gateway.rules} declare 1 table that can be queried' in done.stderr
