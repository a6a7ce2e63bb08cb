"""`headgate journal`, and a journal that was damaged on the card."""
import json
import pathlib

from gateway import Broker, Gateway, Subscription, wait_until

FORWARD = "INSERT INTO 'out/${topic(2)}' SELECT * FROM 'in/+';"


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def received(gateway, count):
    wait_until(lambda: gateway.status()['engine']['records'] >= count, f'{count} records')


def test_a_running_journal_is_listed_printed_and_verified(tmp_path):
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('forward', FORWARD)
        gateway.start()
        for number in range(5):
            broker.publish(f'in/{number}', json.dumps({'number': number}))
        broker.publish('in/raw', b'\xff\x00line\nbreak')
        received(gateway, 6)
        log, = [each for each in lines_of(gateway.run('journal', 'ls', '--json').stdout)
                if each['name'] == 'mqtt']
        assert (log['records'], log['gaps'], log['torn_bytes'], log['quarantined']) == (6, [], 0, 0)
        records = lines_of(gateway.run('journal', 'cat', '--json').stdout)
        assert [each['topic'] for each in records] == [f'in/{n}' for n in range(5)] + ['in/raw']
        assert records[2]['payload'] == '{"number": 2}' and records[2]['qos'] == 1
        assert records[5]['payload_base64'] == '/wBsaW5lCmJyZWFr'
        positions = [str(each['position']) for each in records]
        part = gateway.run('journal', 'cat', 'mqtt', '--from', positions[1], '--to', positions[3])
        assert [line.split(' ', 3)[0] for line in part.stdout.splitlines()] == positions[1:3]
        since = lines_of(gateway.run('journal', 'cat', '--json', '--from',
                                     records[3]['time']).stdout)
        assert [each['position'] for each in since] == [each['position'] for each in records[3:]]
        last = gateway.run('journal', 'cat').stdout.splitlines()[-1]
        assert last.endswith(r'in/raw \xff\x00line\x0abreak')
        assert 'mqtt: 6 records' in gateway.run('journal', 'verify').stdout


def test_wrong_words_are_explained(tmp_path):
    gateway = Gateway(tmp_path, 'mqtt://127.0.0.1:1')
    done = gateway.run('journal', 'eat', check=False)
    assert done.returncode == 2 and 'ls | cat | verify' in done.stderr
    done = gateway.run('journal', 'cat', '--from', 'noon', check=False)
    assert done.returncode == 2 and "'--from noon' is neither a position nor a time" in done.stderr
    done = gateway.run('journal', 'verify', 'mqtt', check=False)
    assert done.returncode == 1 and "there is no log 'mqtt'" in done.stderr


def test_a_damaged_record_costs_itself_and_is_kept_in_quarantine(tmp_path):
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker) as gateway:
        gateway.write_rule('forward', FORWARD)
        gateway.start()
        gateway.stop()  # from now on the broker queues
        broker.publish('in/a', '\n'.join(f'{{"n": {n}}}' for n in range(30)), lines=True)
        # taken over by a gateway whose rules are away: nothing is read, everything is in the journal
        gateway.start()
        received(gateway, 30)
        gateway.stop()
        records = lines_of(gateway.run('journal', 'cat', '--json').stdout)
        assert len(records) == 30
        damage(gateway.data / 'journal/mqtt', records[20]['position'] + 10)
        forget_checkpoint(gateway)
        done = gateway.run('journal', 'verify', 'mqtt', check=False)
        gap = f"from {records[20]['position']} to {records[21]['position']}"
        assert done.returncode == 1
        assert f'mqtt: damaged or missing bytes {gap}' in done.stdout
        with Subscription(broker, 'out/#') as out:
            gateway.start()
            seen = {json.loads(payload)['n'] for _, payload in out.wait_for(29)}
            assert seen == set(range(30)) - {20}
        status = gateway.status()
        assert status['journal']['quarantined'] == 1 and status['engine']['gaps'] == 1
        assert '1 damaged stretches in quarantine' in gateway.run('status').stdout
        kept, = (gateway.data / 'journal/mqtt/quarantine').iterdir()
        assert kept.name == f"{records[20]['position']:020}-{records[21]['position']:020}.bin"
        assert b'"n": 20' in kept.read_bytes()
        assert 'damaged bytes' in gateway.output()


def damage(folder, position):
    segments = sorted(folder.glob('*.seg'))
    segment = [each for each in segments if int(each.stem) <= position][-1]
    with open(segment, 'r+b') as file:
        file.seek(position - int(segment.stem))
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 0x20]))


def forget_checkpoint(gateway):
    """So that the journal is read from its beginning."""
    for path in pathlib.Path(gateway.data).glob('checkpoint-*'):
        path.unlink()
