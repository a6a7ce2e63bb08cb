"""A session or a network that stalls without a word: the canary notices."""
import socket
import threading
import time

from world import Broker, Ingest, OddBroker


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
