"""headgate test --from: an edited rule over what was received."""
import datetime
import json
import time

import pytest

from gateway import Gateway, wait_until


@pytest.fixture
def gateway(tmp_path, broker):
    with Gateway(tmp_path, broker) as prepared:
        yield prepared


HOT = """
CREATE RULE hot AS
INSERT INTO 'alerts/${{topic(2)}}' SELECT id, v FROM 'in/+' WHERE v > {limit};
CREATE TABLE readings (id STRING, v INTEGER, ts BIGINT, at AS TO_TIMESTAMP_LTZ(ts, 3),
    WATERMARK FOR at AS at) WITH ('connector' = 'mqtt', 'topic' = 'in/+');
CREATE RULE sums AS
INSERT INTO 'sums' SELECT COUNT(*) AS n, {aggregate} AS s FROM readings
GROUP BY TUMBLE(at, INTERVAL '10' SECOND);
"""


def history(gateway, *arguments):
    done = gateway.run('test', *arguments, check=False)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_an_edited_rule_is_run_over_what_was_received(broker, gateway):
    """Against what the gateway has loaded, and after the reload against what it had before."""
    gateway.write_rule('hot', HOT.format(limit=20, aggregate='SUM(v)'))
    gateway.start()
    start = 1770000000000
    rows = [{'id': f's{n}', 'v': n, 'ts': start + n * 1000} for n in range(30)]
    for row in rows:
        broker.publish(f'in/{row["id"]}', json.dumps(row))
    wait_until(lambda: gateway.rule('hot')['messages'] == 30, 'all messages')
    same, lines, _ = history(gateway, str(gateway.rules / 'hot.sql'), '--from', '-1h')
    assert same == 1 and lines[0].startswith('# the gateway keeps no other version of hot.sql')

    edited = gateway.folder / 'hot.sql'
    edited.write_text(HOT.format(limit=25, aggregate='MAX(v)'))
    code, before, _ = history(gateway, str(edited), '--from', '-1h')
    gateway.write_rule('hot', edited.read_text())
    wait_until(lambda: gateway.status()['rule_files']['reloads'] == 1, 'the edit')
    again, after, _ = history(gateway, str(gateway.rules / 'hot.sql'), '--from', '-1h')
    assert code == again == 1 and before == after
    gone = [line for line in before if line.startswith('-hot ')]
    assert gone == [f'-hot alerts/s{n} {{"id":"s{n}","v":{n}}}' for n in range(21, 26)]
    assert '-sums sums {"n":10,"s":45}' in before and '+sums sums {"n":10,"s":9}' in before
    assert before[-1] == '30 messages; of the outputs 4 the same, 8 gone, 3 new'
    code, lines, _ = history(gateway, str(edited), 'hot', '--from', '-1h', '--against', str(edited))
    assert code == 0 and lines[-1] == '30 messages; of the outputs 4 the same, 0 gone, 0 new'
    code, _, said = history(gateway, str(edited), 'hat', '--from', '-1h')
    assert code == 2 and "has no rule named hat" in said
    code, _, said = history(gateway, str(edited), '--from', 'noon')
    assert code == 2 and "'--from noon' is no time" in said


@pytest.mark.parametrize('history_option, least, most', [('0s', 0, 1999), ('1h', 2000, 2000)])
def test_the_journal_keeps_as_much_history_as_it_is_told(tmp_path, broker, history_option, least,
                                                         most):
    with Gateway(tmp_path, broker, segment_size='64k', journal_history=history_option) as gateway:
        gateway.write_rule('all', "INSERT INTO 'out' SELECT n FROM 'in/all' WHERE n < 0;")
        gateway.start()
        rows = ''.join(json.dumps({'n': n, 'text': 'x' * 100}) + '\n' for n in range(2000))
        broker.publish('in/all', rows, lines=True)
        wait_until(lambda: gateway.rule('all')['messages'] == 2000, 'all messages')

        def messages():
            """Space is given back to what the checkpoint before the last one needs."""
            broker.publish('in/all', '{"n": 0}')
            _, lines, _ = history(gateway, str(gateway.rules / 'all.sql'), '--from', '-1h',
                                  '--to', end)
            return int(lines[-1].split()[0]), lines
        time.sleep(0.01)  # later than the last message
        end = datetime.datetime.now(datetime.timezone.utc).isoformat()
        time.sleep(2.5)  # two checkpoints, should anything be given back
        wait_until(lambda: messages()[0] <= most, 'what is not kept to be given back')
        count, lines = messages()
        assert least <= count <= most
        assert any(line.startswith('# the journal reaches back to ') for line in lines)
