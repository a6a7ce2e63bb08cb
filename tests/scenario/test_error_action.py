"""What a rule's target cannot take reaches the rule's error action: AWS IoT's errorAction.

Not here: the payload's corner cases (unit test_rule), the disk refusing it (unit test_outbox).
"""
import base64
import collections
import contextlib
import ctypes
import http.server
import json
import pathlib
import random
import threading
import time

import pytest

from gateway import Gateway, Subscription, wait_until

ORIGINAL = '{"v": 1}'


@contextlib.contextmanager
def web_server(status):
    """Answers every POST with `status`; gives its URL and the list of (headers, body)."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers['Content-Length']))
            requests.append((self.headers, body))
            self.send_response(status)
            self.send_header('Content-Length', '4')
            self.end_headers()
            self.wfile.write(b'gone')

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f'http://127.0.0.1:{server.server_port}/in', requests
        finally:
            server.shutdown()
            thread.join()


def rejecting_rule(url):
    return f"""
        CREATE TABLE web WITH ('connector' = 'http', 'url' = '{url}', 'format' = 'single');
        CREATE RULE forward WITH ('on_error' = 'errors/${{topic(2)}}') AS
        INSERT INTO web SELECT v + 1 AS w FROM 'sensors/+/data';
    """


def test_a_rejecting_web_server_reaches_the_error_topic(broker, tmp_path):
    with web_server(410) as (url, requests), Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('forward', rejecting_rule(url))
        gateway.start()
        with Subscription(broker, 'errors/#') as errors:
            broker.publish('sensors/7/data', ORIGINAL)
            (topic, payload), = errors.wait_for(1)
        assert topic == 'errors/7'
        message = json.loads(payload)
        assert list(message) == ['ruleName', 'topic', 'cloudwatchTraceId', 'clientId',
                                 'base64OriginalPayload', 'failures']
        assert message['ruleName'] == 'forward'
        assert message['topic'] == 'sensors/7/data'
        assert base64.b64decode(message['base64OriginalPayload']).decode() == ORIGINAL
        assert message['failures'] == [{'failedAction': 'HttpAction', 'failedResource': url,
                                        'errorMessage': 'HTTP 410: gone'}]
        assert requests[0][1] == b'{"w":2}'

        def told():
            rule = gateway.rule('forward')
            return rule['error_action']['success'] == 1 and rule
        rule = wait_until(told, 'the error message to be counted')
        assert rule['actions'] == [{'sink': 'web', 'pushed': 1, 'success': 0, 'failure': 1,
                                    'dropped': 0, 'resubmitted': 0}]
        assert rule['error_action'] == {'success': 1, 'failure': 0}
        assert gateway.sink('web')['rejected'] == 1
        status = gateway.run('status').stdout
        assert 'forward -> web: 1 failed, 0 succeeded' in status
        assert 'forward -> error action: 0 failed, 1 succeeded' in status
        assert "'web' cannot take a record of rule 'forward': HTTP 410: gone" in gateway.output()


def test_a_target_topic_that_is_none_reaches_the_error_action(broker, tmp_path):
    with Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('fan', """
            CREATE RULE fan WITH ('on_error' = 'errors') AS
            INSERT INTO 'good/${topic(2)}', 'bad/${v}' SELECT * FROM 'sensors/+/data';
        """.replace("'errors'", "'errors/fan'"))
        gateway.start()
        with Subscription(broker, 'errors/#', 'good/#', 'bad/#') as seen:
            broker.publish('sensors/7/data', '{"v": "+"}')
            messages = dict(seen.wait_for(2))
        assert messages['good/7'] == '{"v": "+"}'
        assert json.loads(messages['errors/fan'])['failures'] == [{
            'failedAction': 'RepublishAction', 'failedResource': 'bad/+',
            'errorMessage': 'the target topic is empty or holds a wildcard'}]


def test_an_error_action_of_aws_rule_json(broker, tmp_path):
    role = 'arn:aws:iam::123456789012:role/r'
    with web_server(401) as (url, requests), Gateway(tmp_path, broker) as gateway:
        (gateway.rules / 'forward.json').write_text(json.dumps({
            'sql': "SELECT * FROM 'sensors/+/data'", 'awsIotSqlVersion': '2016-03-23',
            'actions': [{'http': {'url': url, 'headers': [
                {'key': 'X-Device', 'value': '${topic(2)}'}]}}],
            'errorAction': {'republish': {'topic': 'errors/${topic(2)}', 'roleArn': role}}}))
        gateway.start()
        with Subscription(broker, 'errors/#') as errors:
            broker.publish('sensors/7/data', ORIGINAL)
            (topic, payload), = errors.wait_for(1)
        assert topic == 'errors/7'
        assert json.loads(payload)['failures'] == [{
            'failedAction': 'HttpAction', 'failedResource': url, 'errorMessage': 'HTTP 401: gone'}]
        (headers, body), = requests
        assert (headers['X-Device'], body.decode()) == ('7', ORIGINAL)


def test_a_row_that_is_none_for_the_time_series_reaches_the_error_action(broker, tmp_path):
    with Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('store', """
            CREATE TABLE readings WITH ('connector' = 'timestream');
            CREATE RULE store WITH ('on_error' = 'errors/store') AS
            INSERT INTO readings SELECT * FROM 'sensors/+/data';
        """)
        gateway.start()
        with Subscription(broker, 'errors/#') as errors:
            broker.publish('sensors/7/data', '{"v": 1}')
            broker.publish('sensors/7/data', '{"only": "text"}')
            (_, payload), = errors.wait_for(1)
        assert json.loads(payload)['failures'] == [{
            'failedAction': 'TimestreamAction', 'failedResource': 'readings',
            'errorMessage': 'no member holds a measure'}]
        assert gateway.query('SELECT COUNT(*) AS n FROM readings') == [{'n': 1}]


def clock_is_doubted():
    uptime_s = float(pathlib.Path('/proc/uptime').read_text().split()[0])
    timex = ctypes.create_string_buffer(1024)
    return uptime_s < 660 and ctypes.CDLL(None).adjtimex(timex) == 5  # TIME_ERROR


def test_a_timestream_action_stores_and_fails(broker, tmp_path):
    with Gateway(tmp_path, broker) as gateway:
        (gateway.rules / 'store.json').write_text(json.dumps({
            'sql': "SELECT temperature, note FROM 'sensors/+/data'",
            'awsIotSqlVersion': '2016-03-23',
            'actions': [{'timestream': {
                'databaseName': 'db', 'tableName': 'readings', 'roleArn': 'arn:aws:iam::1:role/r',
                'dimensions': [{'name': 'device', 'value': '${topic(2)}'}],
                'timestamp': {'value': '${at}', 'unit': 'MILLISECONDS'}}}],
            'errorAction': {'republish': {'topic': 'errors', 'roleArn': 'arn:aws:iam::1:role/r'}}}))
        gateway.start()
        if clock_is_doubted():
            pytest.skip('this machine has just booted, and nothing keeps its clock')
        at = int(time.time() * 1000)
        with Subscription(broker, 'errors') as errors:
            for when in (at, at + 3_600_000):
                broker.publish('sensors/7/data', json.dumps(
                    {'temperature': 21.5, 'note': 'x', 'at': when}))
            (_, payload), = errors.wait_for(1)
        failure, = json.loads(payload)['failures']
        assert (failure['failedAction'], failure['failedResource']) == (
            'TimestreamAction', 'readings')
        assert f"'{at + 3_600_000} MILLISECONDS' is more than 15 minutes" in failure['errorMessage']
        assert gateway.query('SELECT device, measure_name, to_milliseconds(time) AS at '
                             'FROM readings ORDER BY measure_name') == [
            {'device': '7', 'measure_name': 'note', 'at': at},
            {'device': '7', 'measure_name': 'temperature', 'at': at}]


@pytest.mark.parametrize('tree', [False, True])
def test_no_error_is_lost_by_kills(broker, tmp_path, tree):
    """Killed again and again while messages are rejected: each is told, at least once."""
    count = 300
    with web_server(410) as (url, _), Gateway(tmp_path, broker,
                                              checkpoint_interval='200ms') as gateway:
        gateway.write_rule('forward', rejecting_rule(url))
        gateway.start()
        with Subscription(broker, 'errors/#') as errors:
            told = collections.Counter()

            def all_told():
                told.clear()
                for _, payload in errors.so_far():
                    original = json.loads(payload)['base64OriginalPayload']
                    told[json.loads(base64.b64decode(original))['v']] += 1
                return set(told) >= set(range(count)) and told

            for first in range(0, count, 100):
                seen = len(errors.so_far()) + random.randint(1, 60)
                broker.publish('sensors/7/data', ''.join(
                    f'{{"v": {number}}}\n' for number in range(first, first + 100)), lines=True)
                wait_until(lambda: len(errors.so_far()) > seen, 'error messages', every_s=0.001)
                gateway.kill(tree)
                gateway.start()
            assert set(wait_until(all_told, f'{count} error messages')) == set(range(count))
