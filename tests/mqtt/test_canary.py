"""A session or a network that stalls without a word: the canary notices."""
import socket
import subprocess
import threading
import time

from world import Broker, Ingest, OddBroker, wait_until


def test_a_session_that_stopped_delivering_is_renewed(tmp_path):
    """The broker acknowledges the canary and never sends it back."""
    with OddBroker() as broker:
        with Ingest(tmp_path, broker.port, ['a'], {'broker_canary': '1s'}) as ingest:
            begin = time.monotonic()
            broker.wait_connection(4, 40)
            assert 14 < time.monotonic() - begin < 25
            assert ingest.stats()['canaries_lost'] == 3
            log = ingest.log()
            assert log.count('warning ingest: the broker delivers nothing') == 2
            assert log.count('error ingest: the broker delivers nothing') == 1


def test_a_canary_behind_a_long_queue_is_waited_for(tmp_path):
    """It does not come back, but other messages do: nothing has stalled."""
    with OddBroker() as broker:
        with Ingest(tmp_path, broker.port, ['a'], {'broker_canary': '1s'}) as ingest:
            ingest.wait_ready()
            for number in range(1, 70):
                broker.connections[0].publish('a', b'x', packet_id=number)
                time.sleep(0.1)
            assert ingest.stats()['canaries_lost'] == 0 and len(broker.connections) == 1


def test_qos_1_goes_on_after_a_flood_of_qos_0(tmp_path):
    """Debian's mosquitto with its default limits may then deliver no QoS 1 any more to us."""
    with Broker(tmp_path, 'max_queued_messages 1000\nmax_inflight_messages 20\n') as broker:
        with Ingest(tmp_path, broker.port, ['flood', 'n', 'probe'], {'broker_canary': '1s'}) as ingest:
            ingest.wait_ready()
            for turn in range(3):
                subprocess.run(
                    ['mosquitto_pub', '-h', '127.0.0.1', '-p', str(broker.port), '-q', '0', '-t',
                     'flood', '-l'], input=b'%0100d\n' % turn * 60000, timeout=60, check=True)
                # while its queue is full the broker drops what comes; then the canary has 20 s
                end = time.monotonic() + 25
                probe = turn * 1000
                while not any(int(r.payload) > turn * 1000 for r in ingest.of_topic('probe')):
                    assert time.monotonic() < end, 'nothing of QoS 1 comes any more'
                    probe += 1
                    broker.publish('probe', str(probe))
                    time.sleep(0.5)
                lines = b''.join(b'%d\n' % number for number in range(turn * 20, turn * 20 + 20))
                broker.publish('n', lines, lines=True)
                wait_until(lambda: {int(r.payload) for r in ingest.of_topic('n')}
                           >= set(range(turn * 20 + 20)), 'every number', 20)


class Relay:
    """Forwards TCP between the gateway and a broker until it is told to swallow everything."""

    def __init__(self, port):
        self.target = port
        self.is_open = True
        self.accepted = 0
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            self.is_open = True
            far = socket.create_connection(('127.0.0.1', self.target))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(source, sink, self.accepted),
                                 daemon=True).start()

    def pump(self, source, sink, number):
        try:
            while data := source.recv(65536):
                if self.is_open or number != self.accepted:
                    sink.sendall(data)
        except OSError:
            pass
        sink.close()


def test_a_black_hole_is_noticed_before_the_keep_alive(tmp_path):
    with Broker(tmp_path) as broker:
        relay = Relay(broker.port)
        with Ingest(tmp_path, relay.port, ['a'], {'broker_canary': '1s'}) as ingest:
            ingest.wait_ready()
            broker.publish('a', '1')
            ingest.wait_records(1)
            relay.is_open = False
            broker.publish('a', '2')
            begin = time.monotonic()
            assert ingest.wait_records(2, 20)[1].payload == b'2'
            assert time.monotonic() - begin < 10
            assert relay.accepted == 2
        relay.listener.close()
