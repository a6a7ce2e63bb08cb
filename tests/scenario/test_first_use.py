"""What a new user does in the first hour, with mosquitto_pub and mosquitto_sub.

Not here: crashes (test_crash), the shipped rules (test_seeds), the quick start (test_quickstart).
"""
import collections
import http.server
import json
import re
import threading

import pytest

from gateway import Broker, Gateway, Subscription, free_port, hold, wait_until

HOT = """\
INSERT INTO 'alerts/${{topic(2)}}'
SELECT sensor_id, temperature
FROM   'sensors/+/data'
WHERE  temperature > {limit};
"""

READINGS = """\
CREATE TABLE readings WITH ('connector' = 'timeseries');
INSERT INTO readings SELECT sensor_id, temperature FROM 'sensors/+/data';
"""


@pytest.fixture
def gateway(tmp_path, broker):
    with Gateway(tmp_path, broker) as prepared:
        prepared.write_rule('hot', HOT.format(limit=60))
        prepared.write_rule('readings', READINGS)
        yield prepared


def reading(sensor, temperature):
    return json.dumps({'sensor_id': sensor, 'temperature': temperature})


def test_an_alert_and_a_row(broker, gateway):
    gateway.start()
    with Subscription(broker, 'alerts/#') as alerts:
        broker.publish('sensors/7/data', reading('s7', 61))
        broker.publish('sensors/8/data', reading('s8', 60))
        (topic, payload), = alerts.wait_for(1)
        assert (topic, json.loads(payload)) == ('alerts/7', {'sensor_id': 's7', 'temperature': 61})

    def rows():
        found = gateway.query('SELECT sensor_id, measure_value::bigint AS temperature '
                              "FROM readings WHERE measure_name = 'temperature' ORDER BY sensor_id")
        return len(found) == 2 and found
    assert wait_until(rows, 'two rows') == [{'sensor_id': 's7', 'temperature': 61},
                                            {'sensor_id': 's8', 'temperature': 60}]
    counters = hold(gateway, 'hot', 2)
    assert (counters['matched'], counters['filtered'], counters['out']) == (1, 1, 1)


def test_sigterm_stops_it_cleanly_and_rows_can_still_be_asked_for(broker, gateway):
    gateway.start()
    broker.publish('sensors/7/data', reading('s7', 61))
    hold(gateway, 'readings', 1)
    assert gateway.stop(timeout_s=10) == 0
    assert gateway.query('SELECT COUNT(*) AS n FROM readings') == [{'n': 1}]
    gateway.start()
    broker.publish('sensors/7/data', reading('s7', 62))
    wait_until(lambda: gateway.query('SELECT COUNT(*) AS n FROM readings') == [{'n': 2}],
               'the second row')


def alert_comes(broker, alerts, temperature):
    """Publishes until an alert with this temperature has come: a reload takes a moment."""
    def once():
        broker.publish('sensors/7/data', reading('s7', temperature))
        return any(json.loads(payload)['temperature'] == temperature
                   for _, payload in alerts.so_far())
    wait_until(once, f'an alert of {temperature} degrees', every_s=0.1)


def test_an_edited_rule_takes_effect(broker, gateway):
    gateway.start()
    with Subscription(broker, 'alerts/#') as alerts:
        gateway.write_rule('hot', HOT.format(limit=20))
        alert_comes(broker, alerts, 21)


def test_a_new_rule_and_a_removed_one(broker, gateway):
    gateway.start()
    path = gateway.write_rule('cold', "INSERT INTO 'cold' SELECT * FROM 'sensors/+/data' "
                                      'WHERE temperature < 0;')
    wait_until(lambda: gateway.rule('cold'), 'the new rule')
    path.unlink()
    wait_until(lambda: not gateway.rule('cold'), 'the rule to go')
    assert gateway.rule('hot')


def test_editors_temporary_files_are_no_rules(broker, gateway):
    for name in ('.hot.sql.swp', 'hot.sql~', '#hot.sql#', '4913', 'hot.sql.bak'):
        (gateway.rules / name).write_text('this is no SQL')
    gateway.start()
    status = gateway.status()
    assert (status['rule_files']['files'], status['rule_files']['broken']) == (2, 0)


def test_a_broken_rule_file_names_the_place_and_stops_nobody(broker, gateway):
    gateway.start()
    with Subscription(broker, 'alerts/#') as alerts:
        broken = HOT.format(limit=20).replace('temperature\nFROM', 'temperature\nFORM')
        gateway.write_rule('hot', broken)
        wait_until(lambda: gateway.status()['rule_files']['broken'] == 1, 'the error')
        assert re.search(r'hot\.sql:3:\d+: error: ', gateway.output())
        assert '^' in gateway.status()['rule_files']['errors']
        checked = gateway.run('check', str(gateway.rules), check=False)
        assert checked.returncode == 1
        assert re.search(r'hot\.sql:3:\d+: error: ', checked.stderr + checked.stdout)

        broker.publish('sensors/7/data', reading('s7', 21))  # the edit did not get through
        broker.publish('sensors/7/data', reading('s7', 61))
        assert json.loads(alerts.wait_for(1)[0][1])['temperature'] == 61
        hold(gateway, 'readings', 2)

        gateway.write_rule('hot', HOT.format(limit=20))
        alert_comes(broker, alerts, 21)
        assert gateway.status()['rule_files']['broken'] == 0


def test_a_rule_file_that_is_broken_at_the_start(broker, gateway):
    gateway.write_rule('worse', 'SELECT')
    gateway.start()
    with Subscription(broker, 'alerts/#') as alerts:
        broker.publish('sensors/7/data', reading('s7', 61))
        alerts.wait_for(1)
    assert gateway.status()['rule_files']['broken'] == 1


DEEP = 10000
BAD_INPUT = {
    'not JSON': b'temperature is 61',
    'empty': b'',
    '256 KB of text': b'x' * 262144,
    '256 KB of JSON': b'{"blob":"' + b'x' * 262144 + b'"}',
    'nested 10,000 deep': b'{"a":' * DEEP + b'1' + b'}' * DEEP,
    'arrays 10,000 deep': b'[' * DEEP + b']' * DEEP,
    'invalid UTF-8': b'{"temperature":61,"sensor_id":"\xff\xfe\xc3"}',
    'NaN': b'{"temperature":NaN}',
    'Infinity': b'{"temperature":Infinity}',
    'cut off': b'{"temperature":61',
    'two documents': b'{"temperature":61}{"temperature":61}',
    'a NUL': b'{"temperature":61}\0',
    'a lone surrogate': b'{"temperature":61,"x":"\\ud800"}',
}


@pytest.mark.parametrize('name', BAD_INPUT)
def test_bad_input_is_counted_and_the_stream_goes_on(broker, gateway, name):
    gateway.start()
    processes = gateway.processes()
    with Subscription(broker, 'alerts/#') as alerts:
        broker.publish('sensors/6/data', BAD_INPUT[name])
        broker.publish('sensors/7/data', reading('s7', 61))
        assert [topic for topic, _ in alerts.wait_for(1)] == ['alerts/7']
    counters = hold(gateway, 'hot', 2)
    assert counters['matched'] == 1
    if name != '256 KB of JSON':  # which is right, and has no temperature
        assert counters['not_json'] == 1
    assert counters['undefined'] + counters['failed'] == 1
    assert gateway.processes() == processes, 'a process was restarted'


HUGE_NUMBERS = ['1e999', '-1e999', '1e-999', '9' * 70, '0.' + '3' * 70, '9007199254740993',
                '-9223372036854775809']


@pytest.mark.parametrize('number', HUGE_NUMBERS)
def test_huge_numbers_pass_untouched_and_harm_nobody(broker, gateway, number):
    gateway.write_rule('copy', "INSERT INTO 'copy' SELECT * FROM 'sensors/+/data';")
    gateway.start()
    processes = gateway.processes()
    payload = '{"temperature":%s,"sensor_id":"s6"}' % number
    with Subscription(broker, 'copy', 'alerts/7') as copies:
        broker.publish('sensors/6/data', payload)
        broker.publish('sensors/7/data', reading('s7', 61))
        found = copies.wait_for(3)
        assert ('copy', payload) in found
    hold(gateway, 'hot', 2)
    hold(gateway, 'readings', 2)
    assert gateway.processes() == processes, 'a process was restarted'


def test_a_topic_of_64_kb(broker, gateway):
    gateway.write_rule('all', "INSERT INTO 'seen' SELECT topic() AS t FROM '#' "
                              "WHERE topic() <> 'seen';")
    gateway.start()
    processes = gateway.processes()
    with Subscription(broker, 'alerts/#') as alerts:
        broker.publish('long/' + 'x' * 65000, reading('s6', 61))
        broker.publish('sensors/7/data', reading('s7', 61))
        alerts.wait_for(1)
    assert gateway.processes() == processes, 'a process was restarted'


def test_a_payload_above_the_limit_is_dropped_by_name(tmp_path, broker):
    with Gateway(tmp_path, broker, payload_max='64k') as gateway:
        gateway.write_rule('hot', HOT.format(limit=60))
        gateway.start()
        with Subscription(broker, 'alerts/#') as alerts:
            broker.publish('sensors/6/data', b'x' * 65537)
            broker.publish('sensors/7/data', reading('s7', 61))
            alerts.wait_for(1)
        dropped = gateway.status()['ingest']['dropped']
        assert sum(dropped.values()) == 1, dropped


def test_the_broker_is_absent_at_the_start(tmp_path):
    port = free_port()
    with Gateway(tmp_path, broker=f'mqtt://127.0.0.1:{port}') as gateway:
        gateway.write_rule('hot', HOT.format(limit=60))
        gateway.start(ready=False)
        wait_until(lambda: f'cannot reach 127.0.0.1 port {port}: Connection refused'
                   in gateway.output(), 'the log to say why it waits')
        ingest = gateway.status()['ingest']
        assert (ingest['connected'], ingest['state']) == (False, 'waiting for the broker')
        with Broker(tmp_path, port=port) as late:
            gateway.wait_ready()
            with Subscription(late, 'alerts/#') as alerts:
                late.publish('sensors/7/data', reading('s7', 61))
                alerts.wait_for(1)


def test_the_broker_is_restarted_without_its_memory(tmp_path, broker, gateway):
    gateway.start()
    broker.stop()
    wait_until(lambda: not gateway.status()['ingest']['connected'], 'the loss to be noticed')
    broker.start()
    gateway.wait_ready()
    with Subscription(broker, 'alerts/#') as alerts:
        broker.publish('sensors/7/data', reading('s7', 61))
        alerts.wait_for(1)


class Upstream:
    """An HTTP server that takes JSON arrays; `fail_first` requests get 503 before."""

    def __init__(self, port, fail_first=0):
        self.records = []
        self.requests = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802: the name is the library's
                body = self.rfile.read(int(self.headers['Content-Length']))
                outer.requests += 1
                taken = outer.requests > fail_first
                if taken:
                    outer.records += json.loads(body)
                self.send_response(200 if taken else 503)
                self.send_header('Content-Length', '0')
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def test_a_dead_upstream_gets_everything_when_it_is_back(tmp_path, broker):
    port = free_port()
    with Gateway(tmp_path, broker, retry_max='500ms') as gateway:
        gateway.write_rule('up', f"""
            CREATE TABLE upstream WITH ('connector' = 'http',
                                        'url' = 'http://127.0.0.1:{port}/in');
            INSERT INTO upstream SELECT sensor_id, temperature FROM 'sensors/+/data';""")
        gateway.write_rule('hot', HOT.format(limit=60))
        gateway.write_rule('readings', READINGS)
        gateway.start()
        with Subscription(broker, 'alerts/#') as alerts:
            broker.publish('sensors/7/data',
                           ''.join(reading('s7', i) + '\n' for i in range(100)), lines=True)
            assert len(alerts.wait_for(39)) == 39
        wait_until(lambda: gateway.query('SELECT COUNT(*) AS n FROM readings') == [{'n': 100}],
                   'the rows beside the dead sink')
        wait_until(lambda: gateway.sink('upstream')['retried'] > 0, 'an attempt')
        sink = gateway.sink('upstream')
        assert (sink['queued'], sink['delivered'], sink['rejected']) == (100, 0, 0)

        gateway.stop()  # what waits must survive a restart as well
        gateway.start()
        with Upstream(port, fail_first=1) as upstream:
            wait_until(lambda: len(upstream.records) >= 100, 'the backlog to arrive')
            wait_until(lambda: gateway.sink('upstream')['queued'] == 0, 'an empty queue')
        arrived = collections.Counter(record['temperature'] for record in upstream.records)
        assert sorted(arrived) == list(range(100))
        assert list(arrived) == list(range(100)), 'out of order'
