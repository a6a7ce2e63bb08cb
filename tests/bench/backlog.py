#!/usr/bin/python3
"""Measure a restart with a large backlog, and what other rules notice while it drains.

    tests/bench/backlog.py [--records N] [--pace N] [--seconds N] [--drain-rate N] [--json]

Fills the queue of an http sink whose server is dead with N records of about 100 bytes, kills the
gateway with SIGKILL, and starts it again:
  ready ms     from exec to the line "ready" in its log
  status ms    from exec to the first answer of `headgate status` that shows all N records
  PSS          of the process tree, two seconds later
Then the server comes back. While the backlog drains, another rule republishes --pace messages a
second: its latency, against that without a backlog. Every record must arrive.

The build under test is that of $HEADGATE, or build-release/. Measure a release build.
"""
import argparse
import http.server
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

from run import Subscriber
from gateway import Broker, Gateway, free_port, pss_bytes, tool, wait_until

RULES = """\
CREATE TABLE cloud WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:{port}/in',
                         'batch.records' = '1000', 'retry.max' = '200ms',
                         'drain.rate' = '{drain_rate}');
INSERT INTO cloud SELECT * FROM 'bench/+/data';
CREATE RULE live AS INSERT INTO 'out/${{topic(2)}}' SELECT * FROM 'live/+/data';
"""


class Counter(http.server.BaseHTTPRequestHandler):
    """Counts the records of each request; keeps the connection."""
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.server.sequences.update(row['seq'] for row in json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def publish(broker, topic, messages, rate=0):
    subprocess.run([tool('mqtt_publish'), f'port={broker.port}', f'messages={messages}',
                    f'rate={rate}', f'topic={topic}'],
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


def latency(broker, settings):
    messages = settings.pace * settings.seconds
    subscriber = Subscriber(broker, 'out/#', messages)
    publish(broker, 'live/%d/data', messages, settings.pace)
    seen = subscriber.result()
    return {'p50_us': seen['latency_p50_us'], 'p99_us': seen['latency_p99_us']}


def queued(gateway):
    return gateway.sink('cloud')['queued']


def restart(gateway, records):
    gateway.kill(tree=True)
    lines = gateway.output().count(' ready after ')
    begin = time.monotonic()
    gateway.start(ready=False)
    wait_until(lambda: gateway.output().count(' ready after ') > lines, 'ready', every_s=0.002)
    ready_ms = (time.monotonic() - begin) * 1000
    wait_until(lambda: queued(gateway) == records, 'all records to be there', every_s=0.002)
    status_ms = (time.monotonic() - begin) * 1000
    time.sleep(2)  # nothing is awaited: two seconds of rest are what is measured
    return {'ready_ms': ready_ms, 'status_ms': status_ms,
            'pss_mb': pss_bytes(gateway.process.pid) / 2**20}


def drain(gateway, broker, port, settings):
    server = http.server.ThreadingHTTPServer(('127.0.0.1', port), Counter)
    server.daemon_threads, server.sequences = True, set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    begin = time.monotonic()
    wait_until(lambda: queued(gateway) < settings.records, 'the first to be delivered')
    result = latency(broker, settings)
    result['queued_behind'] = queued(gateway)
    wait_until(lambda: queued(gateway) == 0, 'the backlog to be empty', timeout_s=3600)
    result['rate'] = settings.records / (time.monotonic() - begin)
    server.shutdown()
    if len(server.sequences) != settings.records:
        raise SystemExit(f'{settings.records - len(server.sequences)} records are missing')
    return result


def measure(settings, folder):
    port = free_port()
    with Broker(folder) as broker, Gateway(folder, broker, log_level='notice') as gateway:
        gateway.write_rule('bench', RULES.format(port=port, drain_rate=settings.drain_rate))
        gateway.start()
        result = {'without': latency(broker, settings)}
        begin = time.monotonic()
        publish(broker, 'bench/%d/data', settings.records)
        wait_until(lambda: queued(gateway) == settings.records, 'all records to wait', 600)
        result['fill_rate'] = settings.records / (time.monotonic() - begin)
        backlog = gateway.data / 'sinks/cloud/backlog'
        result['disk_mb'] = sum(file.stat().st_blocks for file in backlog.iterdir()) * 512 / 1e6
        time.sleep(1.5)  # one more checkpoint, so that all of it is behind the cut
        result['restart'] = restart(gateway, settings.records)
        result['drain'] = drain(gateway, broker, port, settings)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--records', type=int, default=1000000)
    parser.add_argument('--pace', type=int, default=1000)
    parser.add_argument('--seconds', type=int, default=5)
    parser.add_argument('--drain-rate', type=int, default=0)
    parser.add_argument('--json', action='store_true')
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='headgate-backlog-') as folder:
        result = measure(settings, pathlib.Path(folder))
    if settings.json:
        print(json.dumps(result))
        return
    again, drained, without = result['restart'], result['drain'], result['without']
    print(f"{settings.records} records: filled at {result['fill_rate']:.0f}/s, "
          f"{result['disk_mb']:.0f} MB on disk\n"
          f"after kill -9: ready in {again['ready_ms']:.0f} ms, all records shown after "
          f"{again['status_ms']:.0f} ms, PSS {again['pss_mb']:.1f} MB\n"
          f"drained at {drained['rate']:.0f}/s; meanwhile another rule's latency "
          f"p50 {drained['p50_us']} us, p99 {drained['p99_us']} us "
          f"(without: {without['p50_us']}, {without['p99_us']})")


if __name__ == '__main__':
    sys.exit(main())
