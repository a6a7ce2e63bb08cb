"""`headgate doctor` beside a real mosquitto and a real gateway: what it says of them is so.

Each finding alone: unit tests doctor_*. Clock, disk and limits are those of the machine that runs
the tests, so only their form is looked at here.
"""
import json
import os
import subprocess

from gateway import PATIENCE_S, ROOT, Broker, Gateway, wait_until

SHIPPED = (ROOT / 'etc/mosquitto/headgate.conf').read_text()


class PlainBroker(Broker):
    """mosquitto with its defaults, but for what makes it run here, and `lines`."""

    def __init__(self, folder, lines=''):
        super().__init__(folder)
        user = 'user root\n' if os.geteuid() == 0 else ''
        self.config.write_text(f'{user}listener {self.port} 127.0.0.1\nallow_anonymous true\n'
                               f'persistence true\npersistence_location {self.folder}/\n{lines}')


def examine(gateway, broker):
    """(exit code, findings that are no facts) of the area broker, and of all."""
    done = gateway.run('doctor', '--json', '--broker-config', str(broker.config), check=False)
    assert done.stderr == ''
    report = json.loads(done.stdout)
    found = [finding for finding in report['findings'] if finding['level'] != 'ok']
    assert report['errors'] + report['warnings'] == len(found)
    assert done.returncode == (1 if report['errors'] else 0)
    for finding in found:
        assert finding['why'] and finding['fix'], finding
    return [finding for finding in found if finding['area'] == 'broker'], report['findings']


def words(findings):
    return ' | '.join(f"{finding['level']}: {finding['what']}" for finding in findings)


def keep(broker, *more):
    """mosquitto_sub with a session that outlives it; what it prints, by lines."""
    done = subprocess.run(
        ['mosquitto_sub', '-h', '127.0.0.1', '-p', str(broker.port), '-i', 'keeper', '-c', '-q',
         '1', '-t', 'queue/#', *more], capture_output=True, text=True, timeout=PATIENCE_S,
        check=False)
    return done.stdout.split()


def test_the_settings_that_we_ship_have_no_finding(tmp_path):
    with PlainBroker(tmp_path, SHIPPED) as broker, Gateway(tmp_path, broker) as gateway:
        gateway.start()
        broker.publish('sensors/1', '{"a":1}')
        found, everything = examine(gateway, broker)
        assert found == []
        facts = words(finding for finding in everything if finding['area'] == 'broker')
        assert '64 MB may wait' in facts and 'mosquitto 2.' in facts
        assert 'a gateway answers' in words(everything)


def test_mosquittos_defaults_are_errors_and_really_lose(tmp_path):
    with PlainBroker(tmp_path) as broker, Gateway(tmp_path, broker) as gateway:
        found, everything = examine(gateway, broker)
        assert 'error: 1000 messages wait for the gateway' in words(found)
        assert 'error: the broker saves its queues every 30 minutes' in words(found)
        assert 'no gateway runs with' in words(everything)
        keep(broker, '-E')
        broker.publish('queue/a', '\n'.join(map(str, range(1500))) + '\n', lines=True)
        assert len(keep(broker, '-W', '2')) < 1500


def test_the_rate_of_now_says_how_long_the_queue_lasts(tmp_path):
    lines = 'max_queued_messages 2000\nautosave_interval 10\n'
    with PlainBroker(tmp_path, lines) as broker, Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('all', "INSERT INTO 'copy' SELECT * FROM 'sensors/+';")
        gateway.start()
        broker.publish('sensors/1', '\n'.join(map(str, range(500))) + '\n', lines=True)
        wait_until(lambda: gateway.status()['uptime_s'] >= 10, 'ten seconds of measured rate')
        found, _ = examine(gateway, broker)
        assert 'messages/s, as now, that is' in words(found), words(found)


def test_included_files_count_in_mosquittos_order(tmp_path):
    broker = PlainBroker(tmp_path)
    folder = broker.folder / 'conf.d'
    folder.mkdir()
    (folder / 'B.conf').write_text('max_queued_messages 5\n')
    (folder / 'a.conf').write_text('max_queued_messages 50\nmax_inflight_messages 2\n')
    broker.config.write_text(broker.config.read_text() + f'include_dir {folder}\n')
    with broker, Gateway(tmp_path, broker) as gateway:
        found, _ = examine(gateway, broker)
        assert 'error: 5 messages wait' in words(found)
        assert 'no more than 2 may be on their way' in words(found)
        keep(broker, '-E')
        broker.publish('queue/a', '\n'.join(map(str, range(100))) + '\n', lines=True)
        assert 5 <= len(keep(broker, '-W', '2')) <= 5 + 2


def test_what_it_says_of_this_release_is_so(tmp_path):
    """A refused message disconnects its device where the release is said to do that, and only there."""
    for lines, says in [('max_queued_messages 0\nmax_queued_bytes 1000000\n', None),
                        ('max_queued_messages 1000000\n', False)]:
        folder = tmp_path / str(says)
        folder.mkdir()
        with PlainBroker(folder, f'message_size_limit 100\n{lines}') as broker:
            gateway = Gateway(folder, broker, payload_max=128)
            found, _ = examine(gateway, broker)
            is_said = '#3244' in words(found)
            assert says is None or is_said == says
            subprocess.run(['mosquitto_pub', '-h', '127.0.0.1', '-p', str(broker.port), '-q', '1',
                            '-i', 'device', '-t', 'a', '-m', 'x' * 200], check=False,
                           capture_output=True, timeout=PATIENCE_S)
            gone = wait_until(lambda: [line for line in broker.output().splitlines()
                                       if 'lient device' in line and 'connected as' not in line
                                       and 'connected from' not in line], 'the device to be gone')
            is_clean = any('Client device disconnected' in line for line in gone)
            assert is_clean != is_said, gone


def test_files_that_rules_name_are_looked_at(tmp_path):
    with PlainBroker(tmp_path, SHIPPED) as broker:
        gateway = Gateway(tmp_path, broker)
        gateway.write_rule('up', "CREATE TABLE up WITH ('connector' = 'http', "
                                 "'url' = 'https://example.com/', 'ca' = '/gone/ca.pem', "
                                 "'token' = 'secret');\nINSERT INTO up SELECT * FROM 'a';")
        (gateway.rules / 'up.sql').chmod(0o644)
        _, everything = examine(gateway, broker)
        found = words(everything)
        assert "error: table 'up': the authority '/gone/ca.pem' cannot be read" in found
        assert "error: table 'up': everybody on this machine may read its password" in found
        (gateway.rules / 'up.sql').chmod(0o600)
        assert 'may read its password' not in words(examine(gateway, broker)[1])


def test_it_is_text_for_people(tmp_path):
    with PlainBroker(tmp_path) as broker:
        gateway = Gateway(tmp_path, broker)
        done = gateway.run('doctor', '--broker-config', str(broker.config), check=False)
        assert done.returncode == 1
        lines = done.stdout.splitlines()
        assert lines[0].startswith('broker: error: 1000 messages wait')
        assert lines[1].startswith('  why: ') and lines[2].startswith('  fix: add the line ')
        assert lines[-1].endswith(('warnings', 'warning'))
        areas = {line.split(':')[0] for line in lines[:-1] if not line.startswith(' ')}
        assert areas == {'broker', 'disk', 'card', 'clock', 'certificates', 'limits', 'access'}
        missing = gateway.run('doctor', '--broker-config', '/gone.conf', check=False)
        assert "broker: warning: cannot read '/gone.conf'" in missing.stdout
