"""What a broker does to its subscribers, and what they do to it: retained messages, copies, sessions
that are gone, silence."""
import os
import signal
import time

from gateway import Broker, Gateway, Subscription, hold, wait_until


def test_a_rule_may_ignore_retained_messages(tmp_path):
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker) as gateway, \
            Subscription(broker, 'out/#') as out:
        broker.publish('a/1', '{"v":1}', retain=True)
        gateway.write_rule('all', "INSERT INTO 'out/all' SELECT v FROM 'a/+';")
        gateway.write_rule('live', "CREATE RULE live WITH ('retained' = 'ignore') AS "
                                   "INSERT INTO 'out/live' SELECT v FROM 'a/+';")
        gateway.start()
        assert out.wait_for(1) == [('out/all', '{"v":1}')]
        broker.publish('a/1', '{"v":2}', retain=True)  # of a live subscription it is new
        assert sorted(out.wait_for(3)[1:]) == [('out/all', '{"v":2}'), ('out/live', '{"v":2}')]
        hold(gateway, 'all', 2)
        hold(gateway, 'live', 1)
        assert gateway.rule('live')['retained_ignored'] == 1
        assert gateway.rule('all')['retained_ignored'] == 0


def test_another_policy_is_refused(tmp_path):
    with Gateway(tmp_path) as gateway:
        path = gateway.write_rule('r', "CREATE RULE r WITH ('retained' = 'maybe') AS "
                                       "INSERT INTO 'b' SELECT * FROM 'a';")
        done = gateway.run('check', str(path), check=False)
        assert done.returncode != 0
        assert "option 'retained' is 'use' or 'ignore'" in done.stdout + done.stderr


def test_overlapping_filters_give_a_message_once(tmp_path):
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker) as gateway, \
            Subscription(broker, 'out/#') as out:
        for name, topic in (('one', 'a/+/c'), ('two', 'a/b/+'), ('three', 'a/b/c'),
                            ('four', 'a/#')):
            gateway.write_rule(name, f"INSERT INTO 'out/{name}' SELECT * FROM '{topic}';")
        gateway.start()
        broker.publish('a/b/c', '{"v":1}')
        broker.publish('a/b/c', '{"v":1}')  # a device that says it twice
        for name in ('one', 'two', 'three', 'four'):
            hold(gateway, name, 2)
        assert len(out.wait_for(8)) == 8
        assert gateway.status()['ingest']['accepted'] == 2


def test_a_lost_session_is_counted_and_said(tmp_path):
    with Broker(tmp_path) as broker, Gateway(tmp_path, broker, reconnect_max='1s') as gateway:
        gateway.write_rule('r', "INSERT INTO 'out' SELECT * FROM 'a';")
        gateway.start()
        assert gateway.status()['ingest']['sessions_lost'] == 0
        broker.stop()
        broker.start()  # it keeps nothing on disk
        wait_until(lambda: gateway.status()['ingest']['sessions_lost'] == 1, 'the loss')
        gateway.wait_ready()
        assert "the broker lost the session 'headgate'" in gateway.output()
        with Subscription(broker, 'out') as out:
            wait_until(lambda: gateway.status()['ingest']['state'] == 'ready', 'subscriptions')
            broker.publish('a', '{"v":1}')
            assert out.wait_for(1) == [('out', '{"v":1}')]


def test_a_stopped_core_costs_neither_connection_nor_messages(tmp_path):
    """The ingest process goes on for as long as the broker would wait, and longer."""
    count = 3000
    with Broker(tmp_path) as broker, \
            Gateway(tmp_path, broker, broker_keepalive='5s') as gateway:
        gateway.write_rule('r', "INSERT INTO 'out' SELECT * FROM 'a' WHERE v < 0;")
        gateway.start()
        core = gateway.process.pid
        os.kill(core, signal.SIGSTOP)
        try:
            begin = time.monotonic()
            broker.publish('a', ''.join(f'{{"v":{i}}}\n' for i in range(count)), lines=True)
            time.sleep(max(0, begin + 9 - time.monotonic()))  # 1.5 x keep-alive, and more
        finally:
            os.kill(core, signal.SIGCONT)
        hold(gateway, 'r', count)
        ingest = gateway.status()['ingest']
        assert (ingest['connects'], ingest['accepted'], ingest['restarts']) == (1, count, 0)
