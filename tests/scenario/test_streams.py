"""Stream SQL end to end: tables of topics and of durable streams, windows that survive, patterns.

The statements and readings are those of published examples (tests/vectors/seeds.json): "seed1"
counts readings in sliding windows, "seed0" looks for errors with a few good readings in between.
"""
import json
import pathlib

import pytest

from gateway import ROOT, Broker, Gateway, Subscription, wait_until

SEEDS = json.loads((ROOT / 'tests/vectors/seeds.json').read_text())
SEED1 = SEEDS['seed1']


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path) as running:
        yield running


@pytest.fixture
def gateway(tmp_path, broker):
    with Gateway(tmp_path, broker) as running:
        yield running


def as_lines(rows):
    return ''.join(json.dumps(row) + '\n' for row in rows)


def by_window(rows):
    """Rows of one window may come in any order."""
    return sorted(rows, key=lambda row: (row['hop_time'], row['status']))


def assert_windows(found, expected):
    found, expected = by_window(found), by_window(expected)
    for one in found + expected:
        one['avg_current_temperature'] = pytest.approx(one['avg_current_temperature'], rel=1e-9)
    assert found == expected


# What stands between the broker and the statements as they were published.
BRIDGE = """
INSERT INTO sensor_data SELECT * FROM 'sensors/data';
INSERT INTO 'state' SELECT * FROM sensor_state;
"""


def end_of_input(broker):
    """A reading from an hour later lets every window fire."""
    broker.publish('sensors/data', json.dumps(dict(SEED1['input'][-1], status='END',
                                                   event_time='2021-05-19T12:30:00')))


def payloads(messages):
    return [json.loads(payload) for _, payload in messages]


def test_sliding_windows_of_the_published_statements(broker, gateway):
    gateway.write_rule('seed', SEED1['sql'])
    gateway.write_rule('bridge', """
CREATE TABLE state_out (status STRING, num INTEGER, avg_current_temperature DOUBLE,
                        hop_time TIMESTAMP(3))
WITH ('connector' = 'mqtt', 'topic' = 'state', 'json.timestamp-format.standard' = 'ISO-8601');
INSERT INTO sensor_data SELECT * FROM 'sensors/data';
INSERT INTO state_out SELECT * FROM sensor_state;
""")
    gateway.start()
    with Subscription(broker, 'state') as state:
        broker.publish('sensors/data', as_lines(SEED1['input']), lines=True)
        state.wait_for(SEED1['expect_count_without_end'])
        end_of_input(broker)
        rows = payloads(state.wait_for(len(SEED1['expect_all_after_end'])))
    assert_windows(rows, SEED1['expect_all_after_end'])
    assert sum(row['num'] for row in rows) == 6 * len(SEED1['input'])
