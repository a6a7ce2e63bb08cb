"""Delivery over bad weather: an HTTP server that refuses, stalls, hangs up, and comes back.

What the outbox decides alone is in the unit tests outbox, outbox_bounds and outbox_faults; what the
HTTP driver makes of an answer is in the unit test http.
"""
import contextlib
import http.server
import json
import socket
import threading
import time

from gateway import Gateway, Subscription, free_port, wait_until


class Upstream:
    """A web server. `answer(number, body)` is asked for each request: a status, (status, headers),
    'reset' to hang up without an answer, or 'stall' for none within the client's patience."""

    def __init__(self, answer=lambda number, body: 200, port=0):
        self.answer, self.requests, self.over = answer, [], threading.Event()
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                body = self.rfile.read(int(self.headers['Content-Length']))
                if upstream.over.is_set():  # a connection that was kept open
                    self.close_connection = True
                    return
                upstream.requests.append((time.monotonic(), self.headers, body))
                answer = upstream.answer(len(upstream.requests), body)
                if answer == 'reset':
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                               b'\1\0\0\0\0\0\0\0')
                    self.close_connection = True
                    self.connection.close()
                    return
                if answer == 'stall':
                    upstream.over.wait(30)
                    self.close_connection = True
                    return
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                self.send_response(status)
                for name, value in {'Content-Length': '0', **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def finish(self):
                with contextlib.suppress(OSError):
                    super().finish()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', port), Handler)
        self.server.daemon_threads = True
        self.url = f'http://127.0.0.1:{self.server.server_port}/in'
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def values(self):
        """The payloads of all requests, in order of arrival, as numbers."""
        return [row['n'] for _, _, body in list(self.requests) for row in json.loads(body)]


def rule(url, options=''):
    return f"""
        CREATE TABLE web WITH ('connector' = 'http', 'url' = '{url}', 'batch.linger' = '0ms',
                               'retry.max' = '300ms'{options});
        CREATE RULE forward AS INSERT INTO web SELECT n FROM 'count';
        CREATE RULE local AS INSERT INTO 'seen' SELECT n FROM 'count';
    """


def publish(broker, first, end):
    broker.publish('count', ''.join(f'{{"n":{n}}}\n' for n in range(first, end)), lines=True)


def delivered(gateway, count):
    def is_so():
        sink = gateway.sink('web')
        return sink and sink['delivered'] == count and sink
    return wait_until(is_so, f'{count} records to be delivered')


# ---- refusals that pass ----

def test_after_refusals_and_hang_ups_everything_arrives_once_and_in_order(broker, tmp_path):
    weather = [500, 503, 'reset', 429, 408, 'reset', 502]

    def answer(number, body):
        return weather[number - 1] if number <= len(weather) else 200
    with Upstream(answer) as upstream, Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('forward', rule(upstream.url))
        gateway.start()
        publish(broker, 0, 50)
        sink = delivered(gateway, 50)
        assert sink['rejected'] == sink['parked'] == 0
        assert sink['retried'] >= 5  # libcurl itself tries again after a hang-up
        accepted = [json.loads(body) for _, _, body in upstream.requests[len(weather):]]
        assert [row['n'] for rows in accepted for row in rows] == list(range(50))
        # The same records: the same key and the same bytes, whatever the answer was.
        tries = {(headers['Idempotency-Key'], body)
                 for _, headers, body in upstream.requests[:len(weather) + 1]}
        assert len(tries) == 1


def test_a_server_that_asks_for_time_gets_it(broker, tmp_path):
    def answer(number, body):
        return (429, {'Retry-After': '2'}) if number == 1 else 200
    with Upstream(answer) as upstream, Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('forward', rule(upstream.url))
        gateway.start()
        publish(broker, 0, 1)
        delivered(gateway, 1)
        pause_s = upstream.requests[1][0] - upstream.requests[0][0]
        assert 2 <= pause_s < 4


def test_a_server_that_never_answers_is_left_in_time(broker, tmp_path):
    def answer(number, body):
        return 'stall' if number == 1 else 200
    with Upstream(answer) as upstream, Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('forward', rule(upstream.url, ", 'timeout' = '500ms'"))
        gateway.start()
        publish(broker, 0, 3)
        delivered(gateway, 3)
        assert upstream.requests[1][0] - upstream.requests[0][0] < 3
        assert upstream.values()[-1] == 2


def test_only_the_record_that_is_bad_is_given_up(broker, tmp_path):
    def answer(number, body):
        return 500 if b'{"n":7}' in body else 200
    with Upstream(answer) as upstream, Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('forward', rule(upstream.url, ", 'retry.max_attempts' = '4'"))
        gateway.start()
        publish(broker, 0, 20)
        sink = delivered(gateway, 19)
        assert (sink['rejected'], sink['parked']) == (1, 1)
        assert 'given up after 4 attempts: HTTP 500' in gateway.output()


def test_of_a_batch_only_the_bad_record_is_a_dead_letter(broker, tmp_path):
    def answer(number, body):
        return 400 if b'{"n":77}' in body else 200
    with Upstream(answer) as upstream, Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('forward', rule(upstream.url).replace("'0ms'", "'1s'"))
        gateway.start()
        publish(broker, 0, 100)
        sink = delivered(gateway, 99)
        assert (sink['rejected'], sink['parked']) == (1, 0)
        (letter,) = letters(gateway)
        assert letter['payload'] == '{"n":77}' and letter['errorMessage'].startswith('HTTP 400')
        taken = [row['n'] for _, _, body in upstream.requests for row in json.loads(body)
                 if b'{"n":77}' not in body]
        assert taken == [n for n in range(100) if n != 77]


# ---- too much ----

def test_a_full_backlog_holds_up_the_rules_and_loses_nothing(broker, tmp_path):
    with socket.socket() as closed, Gateway(tmp_path, broker) as gateway:
        closed.bind(('127.0.0.1', 0))  # nobody listens
        url = f'http://127.0.0.1:{closed.getsockname()[1]}/in'
        gateway.write_rule('forward', rule(url, ", 'backlog.max' = '100k'"))
        gateway.start()
        with Subscription(broker, 'seen') as seen:
            publish(broker, 0, 5000)
            sink = wait_until(lambda: gateway.sink('web')['holds_up_rules'] and gateway.sink('web'),
                              'the backlog to be full')
            assert set(sink['dropped'].values()) == {0}
            assert len(seen.so_far()) < 5000  # the other rule waits too
            assert 'all rules wait for it' in gateway.run('status').stdout
            assert "no more records may wait for 'web'" in gateway.output()
            gateway.kill(tree=False)
            with Upstream() as upstream:
                gateway.write_rule('forward', rule(upstream.url, ", 'backlog.max' = '100k'"))
                gateway.start()
                wait_until(lambda: len(set(upstream.values())) == 5000, 'all to arrive')
            first = {}
            for place, n in enumerate(upstream.values()):
                first.setdefault(n, place)
            assert list(first) == list(range(5000))
            wait_until(lambda: len({payload for _, payload in seen.so_far()}) == 5000,
                       'the other rule to go on')


def test_with_drop_oldest_the_rules_go_on_and_the_newest_arrive(broker, tmp_path):
    port = free_port()
    options = ", 'backlog.max' = '100k', 'backlog.policy' = 'drop_oldest'"
    with Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('forward', rule(f'http://127.0.0.1:{port}/in', options))
        gateway.start()
        with Subscription(broker, 'seen') as seen:
            publish(broker, 0, 5000)
            seen.wait_for(5000)
        sink = wait_until(lambda: gateway.sink('web')['dropped']['oldest'] > 3000 and
                          gateway.sink('web'), 'the oldest to be dropped')
        assert not sink['holds_up_rules'] and sink['queued_bytes'] <= 100 * 1024
        assert 'records dropped (oldest)' in gateway.run('status').stdout
        with Upstream(port=port) as upstream:
            wait_until(lambda: gateway.sink('web')['queued'] == 0, 'the rest to be delivered')
            sink = gateway.sink('web')
            assert sink['delivered'] + sink['dropped']['oldest'] == sink['pushed'] == 5000
            assert upstream.values() == list(range(5000 - len(upstream.values()), 5000))
        action, = gateway.rule('forward')['actions']
        assert action['success'] + action['dropped'] == 5000


# ---- kill -9 ----

def test_a_backlog_survives_kill_9_in_order(broker, tmp_path):
    port = free_port()
    lines = 'queue_max 64k\n'  # most of it is on disk
    with Gateway(tmp_path, broker, lines=lines) as gateway:
        gateway.write_rule('forward', rule(f'http://127.0.0.1:{port}/in'))
        gateway.start()
        for life in range(3):
            publish(broker, life * 2000, (life + 1) * 2000)
            gateway.kill(tree=True)
            gateway.start()
        with Upstream(port=port) as upstream:
            wait_until(lambda: len(set(upstream.values())) == 6000, 'all to arrive')
            wait_until(lambda: gateway.sink('web')['queued'] == 0, 'the sink to be empty')
        first = {}
        for place, n in enumerate(upstream.values()):
            first.setdefault(n, place)
        assert list(first) == list(range(6000))


# ---- dead letters by hand ----

def letters(gateway, *arguments):
    done = gateway.run('dlq', 'ls', '--json', *arguments)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_dead_letters_are_shown_tried_again_and_dropped(broker, tmp_path):
    bad = {b'[{"n":3}]', b'[{"n":5}]', b'[{"n":8}]'}

    def answer(number, body):
        return 422 if body in bad else 200
    with Upstream(answer) as upstream, Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('forward', rule(upstream.url, ", 'batch.records' = '1'"))
        gateway.start()
        assert gateway.run('dlq', 'ls').stdout == 'no dead letters\n'
        publish(broker, 0, 10)
        delivered(gateway, 7)
        wait_until(lambda: gateway.sink('web')['rejected'] == 3, 'three to be rejected')
        three, five, eight = letters(gateway)
        assert (three['sink'], three['payload'], three['ruleName']) == ('web', '{"n":3}', 'forward')
        assert (three['topic'], three['attempts']) == ('count', 1)
        assert three['errorMessage'].startswith('HTTP 422') and three['id'].startswith('mqtt:')
        lines = gateway.run('dlq', 'ls', 'web').stdout.splitlines()
        assert len(lines) == 3 and 'forward: HTTP 422' in lines[0]
        shown = gateway.run('dlq', 'show', 'web', str(five['position'])).stdout
        assert '\npayload   {"n":5}\n' in shown and f"\nid        {five['id']}\n" in shown

        # The receiver is mended for one of them; another is still refused; the third is dropped.
        bad.remove(b'[{"n":3}]')
        upstream.requests.clear()
        said = gateway.run('dlq', 'retry', 'web', str(three['position'])).stdout
        assert said == '1 letter goes out again\n'
        delivered(gateway, 8)
        assert json.loads(upstream.requests[0][2]) == [{'n': 3}]
        assert upstream.requests[0][1]['Headgate-Id'] == three['id']
        gateway.run('dlq', 'retry', 'web', str(five['position']))
        wait_until(lambda: gateway.sink('web')['rejected'] == 4, 'it to be rejected again')
        assert [letter['payload'] for letter in letters(gateway)] == ['{"n":8}', '{"n":5}']
        said = gateway.run('dlq', 'drop', 'web', str(eight['position']), '--json').stdout
        assert json.loads(said) == {'count': 1}
        (again,) = letters(gateway, 'web')
        assert again['payload'] == '{"n":5}' and again['position'] > five['position']
        assert gateway.sink('web')['resubmitted'] == 2

        # Not there, or not to be done.
        done = gateway.run('dlq', 'drop', 'web', str(eight['position']), check=False)
        assert done.returncode == 1 and 'no dead letter at position' in done.stderr
        done = gateway.run('dlq', 'ls', 'wep', check=False)
        assert done.returncode == 1 and 'there are: ' in done.stderr and 'web' in done.stderr
        assert gateway.run('dlq', 'show', 'web', 'all', check=False).returncode == 2

        # Without a gateway they can be read.
        gateway.stop()
        assert letters(gateway) == [again]
        done = gateway.run('dlq', 'drop', 'web', 'all', check=False)
        assert done.returncode == 1 and 'no gateway answers' in done.stderr
        bad.clear()
        gateway.start()
        assert gateway.run('dlq', 'retry', 'web', 'all').stdout == '1 letter goes out again\n'
        wait_until(lambda: letters(gateway) == [], 'the last to be delivered')


def test_a_letter_of_a_local_store_is_stored_at_last(broker, tmp_path):
    """It comes behind newer records, with an id that the store has passed long ago."""
    declared = "CREATE TABLE readings WITH ('connector' = 'timeseries'{});" \
               "INSERT INTO readings SELECT * FROM 'count';"
    with Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('store', declared.format(", 'version' = 'version'"))
        gateway.start()
        broker.publish('count', '{"n": 1, "version": "no number"}')
        broker.publish('count', '{"n": 2, "version": 1}')
        (letter,) = wait_until(lambda: letters(gateway, 'readings'), 'the first to be rejected')
        wait_until(lambda: gateway.query('SELECT COUNT(*) AS n FROM readings') == [{'n': 1}],
                   'the second to be stored')
        gateway.write_rule('store', declared.format(''))
        wait_until(lambda: 'declaration changed' in gateway.output(), 'the edit to be taken')
        gateway.run('dlq', 'retry', 'readings', 'all')
        wait_until(lambda: letters(gateway) == [], 'the letter to be stored')
        rows = gateway.query("SELECT time FROM readings WHERE measure_name = 'n'")
        assert len(rows) == 2, (letter, rows)


def test_what_waits_for_a_table_that_is_not_declared_any_more(broker, tmp_path):
    port = free_port()
    url = f'http://127.0.0.1:{port}/in'
    only_local = "CREATE RULE local AS INSERT INTO 'seen' SELECT n FROM 'count';"
    with Gateway(tmp_path, broker, lines='queue_max 64k\n') as gateway:
        gateway.write_rule('forward', rule(url))
        gateway.start()
        publish(broker, 0, 3000)
        wait_until(lambda: gateway.sink('web')['queued'] == 3000, 'all to wait')
        gateway.stop()
        gateway.write_rule('forward', only_local)
        gateway.start()
        sink = gateway.sink('web')
        assert (sink['state'], sink['queued']) == ('undeclared', 3000)
        assert 'headgate dlq drop' in gateway.output()
        done = gateway.run('dlq', 'retry', 'web', 'all', check=False)
        assert done.returncode == 1 and 'declare it' in done.stderr

        # Declared again it is delivered.
        with Upstream(port=port) as upstream:
            gateway.write_rule('forward', rule(url))
            wait_until(lambda: len(upstream.values()) == 3000, 'what waited to be delivered')
            assert upstream.values() == list(range(3000))

        # Dropped it is gone, also after a kill, and its room is free.
        publish(broker, 0, 3000)
        wait_until(lambda: gateway.sink('web')['queued'] == 3000, 'all to wait again')
        gateway.stop()
        gateway.write_rule('forward', only_local)
        gateway.start()
        assert gateway.run('dlq', 'drop', 'web', 'waiting').stdout == '3000 records given up\n'
        wait_until(lambda: gateway.sink('web') is None, 'the sink to be forgotten')
        wait_until(lambda: gateway.status()['engine']['checkpoints'] > 0, 'a checkpoint')
        gateway.kill(tree=True)
        gateway.write_rule('forward', rule(url))
        gateway.start()
        assert gateway.sink('web')['queued'] == 0


def test_a_record_that_the_server_never_takes_holds_nobody_up_for_ever(broker, tmp_path):
    """It answers 500 to any request that has it, and the driver keeps the order."""
    def answer(_, body):
        return 500 if any(row['n'] == 7 for row in json.loads(body)) else 200
    with Upstream(answer) as upstream, Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('forward', rule(upstream.url).replace("'300ms'", "'2s'"))
        gateway.start()
        publish(broker, 0, 40)
        wait_until(lambda: gateway.sink('web')['held_up'], 'it to be found')
        status, why = gateway.run('status').stdout, gateway.run('why', 'forward').stdout
        assert '\njournal  1 segment, ' in status
        assert 'headgate_sink_held_up{sink="web"} 1\n' in gateway.run('status', '--metrics').stdout
        for said in status, why:
            assert 'held up by one record since 20' in said and 'HTTP 500' in said
            assert "'headgate dlq ls'" in said and 'retry.max_attempts' in said
        gateway.write_rule('forward', rule(upstream.url))  # with shorter pauses
        wait_until(lambda: gateway.sink('web')['delivered'] == 39, 'the others')
        sink = gateway.sink('web')
        assert (sink['parked'], sink['queued'], sink['held_up']) == (1, 0, '')
        letters = gateway.run('dlq', 'ls').stdout
        assert 'while others were taken: HTTP 500' in letters
        accepted = [row['n'] for _, _, body in upstream.requests for row in json.loads(body)
                    if answer(0, body) == 200]
        assert accepted == [n for n in range(40) if n != 7]


def test_what_waits_can_be_given_up_while_the_sink_runs(broker, tmp_path):
    port = free_port()
    with Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('forward', rule(f'http://127.0.0.1:{port}/in'))
        gateway.start()
        publish(broker, 0, 100)
        wait_until(lambda: gateway.sink('web')['queued'] == 100, 'all to wait')
        gateway.run('dlq', 'drop', 'web', 'waiting')
        wait_until(lambda: gateway.sink('web')['queued'] == 0, 'them to be gone')
        dropped = gateway.sink('web')['dropped']
        assert (dropped['by_hand'], dropped['oldest']) == (100, 0)
