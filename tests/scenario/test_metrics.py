"""What Prometheus reads, and the books behind it: in = out + what is named."""
import collections
import http.client
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway import Broker, Gateway, binary, free_port, hold, is_alive, wait_until

RULES = """
CREATE TABLE readings WITH ('connector' = 'timeseries', 'measures' = 'v');
CREATE TABLE upstream WITH ('connector' = 'http', 'url' = '{url}', 'retry.max_attempts' = '3',
                            'retry.max' = '200ms', 'format' = 'single');
CREATE RULE kept AS INSERT INTO readings SELECT v, timestamp() AS time FROM 'in/+' WHERE v > 2;
CREATE RULE sent WITH ('on_error' = 'errors/${{topic(2)}}') AS
    INSERT INTO upstream, 'out/${{topic(2)}}' SELECT v FROM 'in/+';
CREATE TABLE typed (v BIGINT, at AS PROCTIME()) WITH ('connector' = 'mqtt', 'topic' = 'in/+');
CREATE RULE counted AS INSERT INTO readings SELECT COUNT(*) AS v
    FROM typed GROUP BY TUMBLE(at, INTERVAL '1' SECOND);
"""


class Upstream(BaseHTTPRequestHandler):
    """Takes even values, refuses those that end in 1, and is never sure about those in 3."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length'])).decode()
        digit = body.rstrip('}] \n')[-1]
        self.send_response(400 if digit == '1' else 503 if digit == '3' else 200)
        self.send_header('Content-Length', '0')
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def upstream():
    server = ThreadingHTTPServer(('127.0.0.1', 0), Upstream)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}/'
    server.shutdown()
    server.server_close()


def get(port, path, method='GET', body=None):
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=30)
    connection.request(method, path, body)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response, text


def parse(text):
    """{name: {(sorted labels): value}}; what Prometheus' own client cannot read is an error."""
    samples = collections.defaultdict(dict)
    families = set()
    for family in text_string_to_metric_families(text):
        assert family.name not in families, f'{family.name} comes twice'
        assert family.documentation and family.type in ('counter', 'gauge'), family
        families.add(family.name)
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in samples[sample.name], f'{sample} comes twice'
            samples[sample.name][labels] = sample.value
    return dict(samples)


def total(samples, name, **labels):
    found = samples.get(name, {}).items()
    return sum(value for key, value in found if labels.items() <= dict(key).items())


def balance(samples, reborn=None):
    """The equations of gateway/ledger.h, from the outside. A reborn rule has counters of its own."""
    assert total(samples, 'headgate_ledger_unexplained') == 0
    assert 'headgate_ledger_difference' not in samples
    assert total(samples, 'headgate_ingest_messages_total') == \
        total(samples, 'headgate_ingest_accepted_total') + \
        total(samples, 'headgate_ingest_not_kept_total') + \
        total(samples, 'headgate_ingest_held_messages')
    for key, messages in samples['headgate_rule_messages_total'].items():
        rule = dict(key)['rule']
        assert total(samples, 'headgate_rule_outcomes_total', rule=rule) == messages, rule
        assert rule == reborn or total(samples, 'headgate_action_pushed_total', rule=rule) == \
            total(samples, 'headgate_rule_rows_total', rule=rule) + \
            total(samples, 'headgate_rule_error_rows_total', rule=rule), rule
    for key in samples['headgate_sink_state']:
        sink = dict(key)['sink']
        assert total(samples, 'headgate_sink_in_total', sink=sink) == \
            total(samples, 'headgate_sink_out_total', sink=sink) + \
            total(samples, 'headgate_sink_queued_records', sink=sink), sink


def drained(gateway, port):
    """The metrics once nothing waits anywhere; windows too."""
    def look():
        samples = parse(get(port, '/metrics')[1])
        waits = total(samples, 'headgate_sink_queued_records') + \
            total(samples, 'headgate_reader_lag_bytes') + \
            total(samples, 'headgate_rule_state_bytes') + total(samples, 'headgate_checkpoint_due')
        return samples if waits == 0 else None
    return wait_until(look, 'nothing to wait')


def test_the_metrics_are_what_prometheus_reads_and_balance(tmp_path, upstream):
    port = free_port()
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker, payload_max='200',
                                             http=f'127.0.0.1:{port}') as gateway:
        gateway.write_rule('r', RULES.format(url=upstream))
        gateway.start()
        for i in range(5):
            broker.publish(f'in/{i}', f'{{"v":{i}}}')
        broker.publish('in/bad', 'no json')
        broker.publish('in/large', '{"v":"' + 'x' * 300 + '"}')
        hold(gateway, 'kept', 6)
        samples = drained(gateway, port)
        balance(samples)
        assert total(samples, 'headgate_broker_connected') == 1
        assert total(samples, 'headgate_ingest_messages_total') == 7
        assert total(samples, 'headgate_ingest_not_kept_total', reason='too_large') == 1
        assert total(samples, 'headgate_rule_outcomes_total', rule='kept', outcome='matched') == 2
        assert total(samples, 'headgate_rule_outcomes_total', rule='kept', outcome='filtered') == 3
        assert total(samples, 'headgate_rule_outcomes_total', rule='kept', outcome='undefined') == 1
        assert total(samples, 'headgate_rule_rejected_rows_total', rule='counted', reason='bad') == 1
        assert total(samples, 'headgate_sink_out_total', sink='upstream', outcome='delivered') == 4
        assert total(samples, 'headgate_sink_out_total', sink='upstream', outcome='rejected') == 2
        assert total(samples, 'headgate_sink_parked_total', sink='upstream') == 1
        assert total(samples, 'headgate_sink_dead_letter_bytes', sink='upstream') > 0
        assert total(samples, 'headgate_action_records_total', rule='sent', sink='topic',
                     outcome='delivered') == 6 + 2
        assert total(samples, 'headgate_journal_bytes') > 0
        assert total(samples, 'headgate_checkpoints_total') > 0
        assert total(samples, 'headgate_ledger_checks_total') > 0
        assert total(samples, 'process_open_fds') > 5
        assert 1e6 < total(samples, 'process_resident_memory_bytes') < 1e9
        assert total(samples, 'headgate_process_resident_memory_bytes', process='ingest') > 1e6
        # the same over the control socket, and the list of them
        printed = parse(gateway.run('status', '--metrics').stdout)
        assert printed.keys() == samples.keys()
        listed = subprocess.run([binary(), 'help', 'metrics'], capture_output=True, text=True,
                                check=True).stdout
        assert [name for name in samples if name not in listed] == []


def test_the_books_hold_over_kills_reloads_and_letters(tmp_path, upstream):
    """Rejected, parked, retried, dropped; an edited, a removed and a new rule; kill -9 of a part, of
    all; a restart. The harness looks for alarms at the end."""
    port = free_port()
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker, checkpoint_interval='100ms',
                                             http=f'127.0.0.1:{port}') as gateway:
        gateway.write_rule('r', RULES.format(url=upstream))
        gateway.write_rule('more', "INSERT INTO 'more' SELECT * FROM 'in/+';")
        gateway.start()

        def send(count):
            lines = '\n'.join(f'{{"v":{i}}}' for i in range(count))
            broker.publish('in/1', lines, lines=True)

        send(40)
        ingest = next(pid for pid in gateway.processes()
                      if b'ingest' in open(f'/proc/{pid}/cmdline', 'rb').read())
        os.kill(ingest, signal.SIGKILL)
        wait_until(lambda: not is_alive(ingest), 'the process to end')
        send(40)
        (gateway.rules / 'more.sql').unlink()
        wait_until(lambda: gateway.rule('more') is None, 'the rule to go')
        send(40)
        gateway.write_rule('more', "INSERT INTO 'more', upstream SELECT v FROM 'in/+' WHERE v > 30;")
        wait_until(lambda: gateway.rule('more'), 'the rule to come back')
        send(40)
        balance(drained(gateway, port), reborn='more')
        gateway.run('dlq', 'retry', 'upstream', 'all')
        gateway.kill(tree=True)
        gateway.start()
        send(40)
        gateway.run('dlq', 'retry', 'upstream', 'all')
        gateway.run('dlq', 'drop', 'upstream', 'waiting')
        samples = drained(gateway, port)
        balance(samples)
        assert total(samples, 'headgate_sink_in_total', sink='upstream', source='dead_letters') > 0
        assert total(samples, 'headgate_ledger_alarms_total') == 0
        assert gateway.status()['ledger']['unexplained'] == 0


def test_the_books_know_sinks_that_were_closed(tmp_path):
    """A rule goes on without one of its tables, and gets it back: a new sink of that name."""
    both = ("CREATE TABLE aside WITH ('connector' = 'null');\n"
            "CREATE RULE r AS INSERT INTO aside, 'out' SELECT * FROM 'in/+';")
    one = "CREATE RULE r AS INSERT INTO 'out' SELECT * FROM 'in/+';"
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker,
                                             checkpoint_interval='100ms') as gateway:
        gateway.write_rule('r', both)
        gateway.start()
        for count, text in ((1, one), (2, both), (3, one), (4, both)):
            broker.publish('in/1', '{"v":1}')
            hold(gateway, 'r', count)
            gateway.write_rule('r', text)
            wait_until(lambda: (gateway.sink('aside') is None) == (text == one),
                       'the table to come or go')

        def looked_at():
            status = gateway.status()
            return status['engine']['checkpoints'] > before and status['ledger']
        time.sleep(1)  # a look is taken once a second
        before = gateway.status()['engine']['checkpoints']
        broker.publish('in/1', '{"v":1}')
        hold(gateway, 'r', 5)
        assert wait_until(looked_at, 'a checkpoint')['alarms'] == 0
        assert gateway.rule('r')['out'] == 2 + 1 + 2 + 1 + 2


def test_the_books_know_a_rule_that_becomes_another_kind(tmp_path):
    """From topic SQL to stream SQL and back: the counters under its name go on."""
    table = "CREATE TABLE t (v BIGINT) WITH ('connector' = 'mqtt', 'topic' = 'in/+');\n"
    kinds = ("CREATE RULE r AS INSERT INTO 'out' SELECT v FROM 'in/+' WHERE v > 1;",
             table + "CREATE RULE r AS INSERT INTO 'out' SELECT v FROM t;")
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('r', kinds[0])
        gateway.start()
        for i in range(4):
            broker.publish('in/1', f'{{"v":{i}}}')
            wait_until(lambda: gateway.rule('r')['messages'] == i + 1, 'the message')
            checks = gateway.status()['ledger']['checks']
            wait_until(lambda: gateway.status()['ledger']['checks'] > checks + 2, 'a look')
            assert gateway.status()['ledger']['alarms'] == 0
            gateway.write_rule('r', kinds[(i + 1) % 2])
            wait_until(lambda: ('stream' in gateway.rule('r')) == (i % 2 == 0), 'the edit')


@pytest.mark.parametrize('leak, account, text', [
    ((3, 0), 'ingest', 'received 4 in, but accepted 1 out: 3 missing'),
    ((3, 3), 'journal', 'accepted 4 in, but through the rules 1 out: 3 missing')])
def test_a_planted_leak_is_an_alarm(tmp_path, leak, account, text):
    """Three messages that the process which receives counts as received, or as kept, and nowhere
    else: the page that it shares with the core is written to."""
    port = free_port()
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker,
                                             http=f'127.0.0.1:{port}') as gateway:
        gateway.expects_alarm = True
        gateway.write_rule('r', "INSERT INTO 'out' SELECT * FROM 'in/+';")
        gateway.start()
        broker.publish('in/1', '{"v":"' + 'x' * 2000 + '"}')  # so that its size is found
        hold(gateway, 'r', 1)
        folder = f'/proc/{gateway.process.pid}/fd'
        page_file = next(f'{folder}/{fd}' for fd in os.listdir(folder)
                         if 'headgate-ingest' in os.readlink(f'{folder}/{fd}'))
        with open(page_file, 'r+b', buffering=0) as page:
            words = struct.unpack(f'{os.fstat(page.fileno()).st_size // 8}Q', page.read())
            received = words.index(2008) - 1  # received, received_bytes, accepted
            assert words[received] == words[received + 2] == 1
            page.seek(received * 8)
            page.write(struct.pack('3Q', 1 + leak[0], 2008, 1 + leak[1]))
        status = wait_until(lambda: gateway.status()['ledger']['open'] and gateway.status(),
                            'the alarm')
        assert status['ledger']['open'] == [{'account': account, 'name': 'mqtt',
                                             'difference': 3, 'text': text}]
        assert status['ledger']['unexplained'] == 3
        assert f"ALARM    the ledger of {account} 'mqtt' does not balance: {text}" in \
            gateway.run('status').stdout
        assert f"the ledger of {account} 'mqtt' does not balance: {text}" in gateway.output()
        samples = parse(get(port, '/metrics')[1])
        assert total(samples, 'headgate_ledger_unexplained') == 3
        assert samples['headgate_ledger_difference'] == {
            (('account', account), ('name', 'mqtt')): 3}
        response, told = get(port, '/healthz')
        assert response.status == 503 and text in told


def test_health_says_why_not(tmp_path):
    port = free_port()
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker,
                                             http=f'127.0.0.1:{port}') as gateway:
        gateway.start()
        response, text = get(port, '/healthz')
        assert (response.status, text) == (200, 'ok\n')
        broker.stop()

        def is_ill():
            response, text = get(port, '/healthz')
            return response.status == 503 and 'the broker is not connected' in text
        wait_until(is_ill, 'the health check to fail')


def test_it_answers_nothing_else(tmp_path):
    port = free_port()
    with Gateway(tmp_path, 'mqtt://127.0.0.1:1', http=f'127.0.0.1:{port}') as gateway:
        gateway.start(ready=False)
        wait_until(lambda: get(port, '/healthz')[0].status == 503, 'the server')
        response, text = get(port, '/')
        assert response.status == 404 and '/metrics' in text
        assert get(port, '/metrics/../../etc/passwd')[0].status == 404
        for method in ('POST', 'PUT', 'DELETE', 'OPTIONS'):
            assert get(port, '/metrics', method, b'x' * 100)[0].status == 405
        response, text = get(port, '/metrics', 'HEAD')
        assert response.status == 200 and text == ''
        assert int(response.getheader('Content-Length')) > 1000
        assert response.getheader('Content-Type').startswith('text/plain; version=0.0.4')


def test_connections_are_bounded_and_end(tmp_path):
    """Many that say nothing, one that never ends its headers: they are let go, messages flow."""
    port = free_port()
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker,
                                             http=f'127.0.0.1:{port}') as gateway:
        gateway.write_rule('r', "INSERT INTO 'out' SELECT * FROM 'in/+';")
        gateway.start()
        before = len(os.listdir(f'/proc/{gateway.process.pid}/fd'))
        idle = [socket.create_connection(('127.0.0.1', port), timeout=30) for _ in range(40)]
        try:
            idle[0].sendall(b'GET /metrics HTTP/1.1\r\nX: ' + b'y' * 5000)
            broker.publish('in/1', '{"v":1}')
            hold(gateway, 'r', 1)
            assert len(os.listdir(f'/proc/{gateway.process.pid}/fd')) <= before + 20
            wait_until(lambda: get(port, '/healthz')[0].status == 200, 'a place to be free', 60)
        finally:
            for each in idle:
                each.close()
        large = socket.create_connection(('127.0.0.1', port), timeout=30)
        with large:
            large.sendall(b'GET /metrics HTTP/1.1\r\nX: ' + b'y' * 100000 + b'\r\n\r\n')
            answer = large.recv(100)
            assert b'200' not in answer.split(b'\r\n')[0]


def test_an_address_that_is_taken_costs_the_metrics_only(tmp_path):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Broker(tmp_path) as broker, Gateway(tmp_path, broker,
                                                 http=f'127.0.0.1:{port}') as gateway:
            gateway.write_rule('r', "INSERT INTO 'out' SELECT * FROM 'in/+';")
            gateway.start()
            broker.publish('in/1', '{"v":1}')
            hold(gateway, 'r', 1)
            assert f"cannot listen on '127.0.0.1:{port}'" in gateway.output()
            taken.close()
            wait_until(lambda: get(port, '/healthz')[0].status == 200, 'it to be tried again')


@pytest.mark.parametrize('address', ['9464', '127.0.0.1', '127.0.0.1:', 'example.org:80',
                                     '::1:9464', '127.0.0.1:http', '127.0.0.1:99999'])
def test_an_address_that_is_none_is_an_error(tmp_path, address):
    with Gateway(tmp_path, 'mqtt://127.0.0.1:1', http=address) as gateway:
        gateway.start(ready=False)
        assert gateway.process.wait(60) != 0
        assert f"'{address}' is no address to listen on" in gateway.output()


def test_nothing_listens_by_default(tmp_path):
    with Gateway(tmp_path, 'mqtt://127.0.0.1:1') as gateway:
        gateway.start(ready=False)
        wait_until(gateway.status, 'the gateway')
        tables = open(f'/proc/{gateway.process.pid}/net/tcp').read().splitlines()[1:]
        inodes = {line.split()[9] for line in tables if line.split()[3] == '0A'}
        links = [os.readlink(f'/proc/{gateway.process.pid}/fd/{fd}')
                 for fd in os.listdir(f'/proc/{gateway.process.pid}/fd')]
        assert not [link for link in links if link.strip('socket:[]') in inodes]
