"""The shipped rules (etc/rules.d) on the messages of two published examples.

Sensors: 169 readings of six sensors within a minute, after github.com/danilop's "time series and
data lakes". Devices: the message of the AWS recipe "analyzing time series data with Timestream",
whose rule writes six rows with exactly these types.
"""
import collections
import json
import pathlib
import time

import pytest

from gateway import ROOT, Gateway, Subscription, wait_until

SENSOR_READINGS = [json.loads(line) for line in
                   (pathlib.Path(__file__).parent / 'seed0.jsonl').read_text().splitlines()]


@pytest.fixture
def gateway(tmp_path, broker):
    with Gateway(tmp_path, broker, rules_dir=ROOT / 'etc/rules.d') as running:
        yield running.start()


def count(gateway, table):
    return gateway.query(f'SELECT COUNT(*) AS n FROM {table}')[0]['n']


def test_sensor_readings(broker, gateway):
    # The readings are from 2021; the table keeps seven days. Their distances stay as they are.
    shift_ms = int(time.time() * 1000) - 120_000 - SENSOR_READINGS[0]['event_time']
    by_sensor = collections.defaultdict(list)
    for reading in SENSOR_READINGS:
        reading = dict(reading, event_time=reading['event_time'] + shift_ms)
        by_sensor[reading['sensor_id']].append(json.dumps(reading))
    hot = [reading for reading in SENSOR_READINGS if reading['temperature'] > 160]
    with Subscription(broker, 'alerts/#') as alerts:
        for sensor, lines in by_sensor.items():
            broker.publish(f'sensors/{sensor}', '\n'.join(lines) + '\n', lines=True)
        found = [(topic, json.loads(payload)['temperature'])
                 for topic, payload in alerts.wait_for(len(hot))]
    assert collections.Counter(found) == collections.Counter(
        (f"alerts/{reading['sensor_id']}", reading['temperature']) for reading in hot)

    wait_until(lambda: count(gateway, 'readings') == 169, '169 rows')
    assert gateway.query('SELECT status, COUNT(*) AS n FROM readings '
                         "WHERE measure_name = 'temperature' GROUP BY status ORDER BY status") == [
        {'status': 'ERROR', 'n': 44}, {'status': 'OK', 'n': 103}, {'status': 'WARNING', 'n': 22}]
    assert gateway.query('SELECT sensor_id, MAX(measure_value::double) AS high FROM readings '
                         'GROUP BY sensor_id ORDER BY high DESC, sensor_id') == [
        {'sensor_id': f'sensor-0{i}', 'high': high}
        for i, high in ((4, 179.0), (1, 178.0), (0, 171.0), (2, 171.0), (3, 167.0), (5, 162.0))]
    first, = gateway.query('SELECT sensor_id, status, measure_value::double AS v, time '
                           'FROM readings ORDER BY time LIMIT 1')
    assert (first['sensor_id'], first['status'], first['v']) == ('sensor-01', 'OK', 98.0)
    expected_ms = SENSOR_READINGS[0]['event_time'] + shift_ms
    assert first['time'] == time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(expected_ms // 1000)) \
        + f'.{expected_ms % 1000:03}000000'


def test_a_device_message_gives_six_rows_with_their_types(broker, gateway):
    broker.publish('topic/sensors', json.dumps({
        'device_id': 'iot-sensor-001', 'location': 'production-line-1',
        'timestamp': '2024-01-01T12:00:00Z', 'temperature': 26.5, 'humidity': 72.0,
        'pressure': 1012.0}))
    wait_until(lambda: count(gateway, 'devices') >= 6, 'six rows')
    rows = gateway.query(
        'SELECT device_id, location, measure_name, measure_value::double AS d, '
        'measure_value::bigint AS b, measure_value::varchar AS v FROM devices ORDER BY time')
    assert {(row['device_id'], row['location']) for row in rows} == {
        ('iot-sensor-001', 'production-line-1')}
    values = {row['measure_name']: (row['d'], row['b'], row['v']) for row in rows}
    assert len(rows) == 6 and values == {
        'device_id': (None, None, 'iot-sensor-001'),
        'location': (None, None, 'production-line-1'),
        'timestamp': (None, None, '2024-01-01T12:00:00Z'),
        'temperature': (26.5, None, None),
        'humidity': (None, 72, None),
        'pressure': (None, 1012, None),
    }
    assert isinstance(values['humidity'][1], int)
