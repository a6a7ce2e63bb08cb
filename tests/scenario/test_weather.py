"""An upstream that misbehaves for minutes: nothing is lost, and the books add up.

A web server answers by a seed: it takes what it gets, or answers 429 with or without Retry-After,
500 or 503, tells in a 207 which records of a request it took, hangs up before or after it has taken
them, or does not answer in time; for stretches it takes nothing at all. Meanwhile messages come at a
steady pace. At the end the weather clears: each record must have been taken at least once, under one
id, and the sink's account must balance without a record that was rejected, parked or dropped.

By default for seconds; the suite `soak` asks for ten minutes (HEADGATE_WEATHER_S). The seed is
printed; HEADGATE_SEED=... repeats weather and answers (not the machine's scheduling).
"""
import contextlib
import http.server
import json
import os
import random
import socket
import subprocess
import threading
import time

from gateway import Broker, Gateway, tool, wait_until

SECONDS = float(os.environ.get('HEADGATE_WEATHER_S') or 20)
RATE = int(os.environ.get('HEADGATE_RATE') or 200)
MESSAGES = int(SECONDS * RATE)
STRETCHES = max(8, int(SECONDS / 10))  # of weather

RULE = """
    CREATE TABLE web WITH ('connector' = 'http', 'url' = '{}', 'envelope' = 'true',
                           'batch.linger' = '10ms', 'batch.records' = '20', 'timeout' = '300ms',
                           'retry.max' = '400ms', 'backlog.max' = '1G');
    INSERT INTO web SELECT seq FROM 'bench/+/data';
"""

# How likely each answer is, by weather.
ANSWERS = ['taken', 'in part', 429, 'busy', 500, 503, 'reset', 'taken, reset', 'late']
WEATHERS = {'fair': [30, 1, 1, 1, 1, 1, 1, 1, 1],
            'changing': [4, 3, 2, 1, 2, 1, 1, 2, 1],
            'storm': [1, 1, 3, 2, 4, 3, 3, 1, 1],
            'dark': [0, 0, 1, 0, 2, 2, 2, 0, 1]}


class BadServer:
    def __init__(self, seed):
        self.random, self.weather = random.Random(seed), 'fair'  # None: it takes everything
        self.lock, self.over = threading.Lock(), threading.Event()
        self.given = dict.fromkeys(ANSWERS, 0)
        self.taken = {}  # id -> seq
        self.ids = {}    # seq -> the ids that it came under
        self.again = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                rows = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
                outer.reply(self, rows)

            def finish(self):
                with contextlib.suppress(OSError):
                    super().finish()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
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

    def set_weather(self, weather):
        with self.lock:
            self.weather = weather

    def take(self, rows):
        for row in rows:
            seq = row['payload']['seq']
            self.again += row['id'] in self.taken
            self.taken[row['id']] = seq
            self.ids.setdefault(seq, set()).add(row['id'])

    def decide(self, rows):
        """(what to do, status, headers, body), under the lock."""
        answer = 'taken'
        if self.weather is not None:
            (answer,) = self.random.choices(ANSWERS, WEATHERS[self.weather])
        self.given[answer] += 1
        if answer == 'in part':
            statuses = [self.random.choice([201, 201, 503]) for _ in rows]
            self.take([row for row, status in zip(rows, statuses) if status == 201])
            return 'answer', 207, {}, json.dumps([{'status': status} for status in statuses])
        if answer in ('taken', 'taken, reset'):
            self.take(rows)
        if answer in ('reset', 'taken, reset', 'late'):
            return answer.split()[-1], 0, {}, ''
        if answer == 'busy':
            return 'answer', 429, {'Retry-After': '1'}, ''
        return 'answer', 200 if answer == 'taken' else answer, {}, ''

    def reply(self, request, rows):
        with self.lock:
            how, status, headers, body = self.decide(rows)
        if how == 'answer':
            request.send_response(status)
            for name, value in {'Content-Length': str(len(body)), **headers}.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(body.encode())
            return
        if how == 'late':
            self.over.wait(0.6)  # the client's patience is 0.3 s
        else:
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                          b'\1\0\0\0\0\0\0\0')
            request.connection.close()
        request.close_connection = True


def publish_in_background(broker):
    return subprocess.Popen(
        [tool('mqtt_publish'), f'port={broker.port}', f'messages={MESSAGES}', f'rate={RATE}'],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def test_nothing_is_lost_in_bad_weather(tmp_path, capsys):
    seed = int(os.environ.get('HEADGATE_SEED') or random.randrange(2 ** 32))
    weathers = random.Random(seed).sample(list(WEATHERS), k=len(WEATHERS))
    with Broker(tmp_path) as broker, BadServer(seed) as server, \
            Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('weather', RULE.format(server.url))
        gateway.start()
        publisher = publish_in_background(broker)
        end = time.monotonic()
        for number in range(STRETCHES):
            server.set_weather(weathers[number % len(weathers)])
            end += SECONDS / STRETCHES
            time.sleep(max(0, end - time.monotonic()))  # not awaiting anything: the weather lasts
            assert gateway.sink('web')['rejected'] == 0, f'seed {seed}'
        assert publisher.wait(60) == 0
        server.set_weather(None)
        sink = wait_until(lambda: gateway.sink('web')['delivered'] == MESSAGES and
                          gateway.sink('web'), f'{MESSAGES} records to be delivered', 60 + SECONDS / 4)
        ledger = gateway.status()['ledger']
    with capsys.disabled():
        print(f'\n# seed {seed}: {MESSAGES} records, {server.again} came again, '
              f'{sink["retried"]} verdicts to try again; answers {server.given}')
    assert set(server.ids) == set(range(MESSAGES)), f'seed {seed}'
    assert all(len(ids) == 1 for ids in server.ids.values()), f'seed {seed}'
    assert len(server.taken) == MESSAGES
    assert sink['pushed'] == MESSAGES and sink['queued'] == 0
    assert (sink['rejected'], sink['parked'], sink['lost']) == (0, 0, 0), f'seed {seed}'
    assert set(sink['dropped'].values()) == {0}
    assert (ledger['unexplained'], ledger['alarms']) == (0, 0)
    assert all(count > 0 for count in server.given.values()), server.given
