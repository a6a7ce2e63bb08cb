"""The broker settings that we ship, on the mosquitto that is installed.

Not here: how the gateway uses the broker (test_first_use, test_crash).
"""
import subprocess

from gateway import PATIENCE_S, ROOT, Broker, wait_until

SHIPPED = (ROOT / 'etc/mosquitto/headgate.conf').read_text()


class ShippedBroker(Broker):
    """mosquitto with etc/mosquitto/headgate.conf alone."""

    def __init__(self, folder):
        super().__init__(folder)
        self.config.write_text(f'listener {self.port} 127.0.0.1\nallow_anonymous true\n'
                               f'user root\npersistence_location {self.folder}/\n{SHIPPED}')


def session(broker, *more):
    """mosquitto_sub with a session that outlives it."""
    return subprocess.run(
        ['mosquitto_sub', '-h', '127.0.0.1', '-p', str(broker.port), '-i', 'keeper', '-c', '-q',
         '1', '-t', 'queue/#', *more], capture_output=True, text=True, timeout=PATIENCE_S,
        check=False)


def test_a_long_queue_waits_for_an_absent_client(tmp_path):
    numbers = [str(i) for i in range(5000)]
    with ShippedBroker(tmp_path) as broker:
        session(broker, '-E')
        broker.publish('queue/a', '\n'.join(numbers) + '\n', lines=True)
        assert session(broker, '-C', '5000').stdout.split() == numbers


def test_the_queue_survives_a_broker_that_is_killed(tmp_path):
    with ShippedBroker(tmp_path) as broker:
        session(broker, '-E')
        broker.publish('queue/a', 'one\n')
        wait_until((broker.folder / 'mosquitto.db').exists, 'the first save of the broker')
        broker.process.kill()
        broker.process.wait()
        broker.start()
        assert session(broker, '-C', '1').stdout == 'one\n\n'


def test_a_message_that_is_refused_costs_no_connection(tmp_path):
    with ShippedBroker(tmp_path) as broker:
        subprocess.run(['mosquitto_pub', '-h', '127.0.0.1', '-p', str(broker.port), '-q', '1',
                        '-i', 'device', '-t', 'a', '-s'], input=b'x' * 1200000, check=False,
                       capture_output=True, timeout=PATIENCE_S)
        gone = wait_until(lambda: [line for line in broker.output().splitlines()
                                   if 'lient device' in line and 'connected as' not in line
                                   and 'connected from' not in line], 'the device to be gone')
        assert [line.partition(': ')[2] for line in gone] == ['Client device disconnected.']
