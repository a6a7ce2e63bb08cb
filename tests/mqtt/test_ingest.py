"""From the broker into the journal: versions, properties, limits, subscriptions, restarts."""
import collections
import collections
import itertools
import os
import random
import subprocess
import time

import pytest

from packets import Client
from world import Broker, Ingest, wait_until

QOS_1, RETAINED = 1, 4


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path) as running:
        yield running


@pytest.mark.parametrize('version,protocol', [('5', 5), ('3.1.1', 4)])
def test_messages_are_kept_in_order(tmp_path, broker, version, protocol):
    with Ingest(tmp_path, broker.port, ['a/+'], {'broker_protocol': version},
                environment={'http_proxy': 'http://127.0.0.1:9'}) as ingest:
        assert ingest.wait_ready()['protocol'] == protocol
        broker.publish('a/b', 'one')
        broker.publish('a/c', b'')
        broker.publish('x', 'not wanted')
        broker.publish('a/b', 'three')
        records = ingest.wait_records(3)
        assert [(r.topic, r.payload) for r in records] == [
            (b'a/b', b'one'), (b'a/c', b''), (b'a/b', b'three')]
        assert all(r.flags & 3 == QOS_1 and r.props == b'' for r in records)
        stats = ingest.stats()
        assert stats['accepted'] == stats['received'] == 3
        assert stats['received_bytes'] == 8
        assert ingest.stop() == 0


def test_properties_are_kept_under_version_5(tmp_path, broker):
    with Ingest(tmp_path, broker.port, ['a']) as ingest:
        ingest.wait_ready()
        broker.publish('a', '{}', '-V', '5', '-D', 'publish', 'content-type', 'j',
                       '-D', 'publish', 'response-topic', 'r', '-D', 'publish',
                       'correlation-data', 'c', '-D', 'publish', 'payload-format-indicator', '1',
                       '-D', 'publish', 'user-property', 'k', 'v')
        props = ingest.wait_records(1)[0].props
        assert sorted([props[0:3], props[3:6], props[6:9], props[9:11], props[11:]]) == sorted(
            [b'\1\1j', b'\2\1r', b'\3\1c', b'\4\0', b'\5\3\1kv'])


def test_a_waiting_core_is_woken_at_once(tmp_path, broker):
    with Ingest(tmp_path, broker.port, ['a']) as ingest:
        ingest.wait_ready()
        client = Client(broker.port, 'quick')
        delays = []
        for number in range(1, 21):
            time.sleep(0.02)  # the core goes to sleep
            begin = time.monotonic()
            client.publish('a', b'%d' % number, packet_id=number)
            while len(ingest.records) < number:
                time.sleep(0.0005)
                assert time.monotonic() - begin < 5
            delays.append(time.monotonic() - begin)
        assert sorted(delays)[10] < 0.05, delays  # the harness looks by itself every 200 ms
        client.close()


def test_large_payloads_and_topics(tmp_path, broker):
    long_topic = 'a/' + 'x' * 65000
    with Ingest(tmp_path, broker.port, ['a/#'], {'payload_max': '256k'}) as ingest:
        ingest.wait_ready()
        broker.publish('a/big', b'z' * 262144)
        broker.publish('a/bigger', b'z' * 262145)
        client = Client(broker.port)
        client.publish(long_topic, b'long')
        client.close()
        records = ingest.wait_records(2)
        assert [r.size for r in records] == [262144, 4]
        assert records[1].topic == long_topic.encode()
        assert ingest.stats()['dropped_too_large'] == 1


def test_a_message_comes_once_although_filters_overlap(tmp_path, broker):
    filters = ['a/+/c', 'a/b/+', '+/b/c', 'a/b/c', 'x/#', 'x/y']
    with Ingest(tmp_path, broker.port, filters) as ingest:
        assert ingest.wait_ready()['wanted'] == 5  # three that overlap, x/#, the canary's
        for _ in range(50):
            broker.publish('a/b/c', 'three filters')
        broker.publish('a/b/d', 'one filter')
        broker.publish('x/y', 'covered')
        ingest.wait_records(52)
        stats = ingest.stats()
        assert stats['received'] == 152 and stats['surplus_copies'] == 100
        assert len(ingest.records) == 52


def test_filters_change_while_messages_flow(tmp_path, broker):
    """'a' is wanted all the time; what it is covered by changes 30 times a second."""
    with Ingest(tmp_path, broker.port, ['a']) as ingest:
        ingest.wait_ready()
        client = Client(broker.port)
        sets = itertools.cycle(['a #', 'a b/+', '+ a', 'a'])
        for number in range(1, 4001):
            client.publish('a', b'%d' % number, packet_id=number)
            if number % 40 == 0:
                ingest.say('filters ' + next(sets))
                time.sleep(0.02)
        wait_until(lambda: set(ingest.numbers()) == set(range(1, 4001)), 'every number')
        # what is on its way when filters are given up may come by each of the three: a, +, #
        assert max(collections.Counter(ingest.numbers()).values()) <= 3
        client.close()


def test_filters_of_an_earlier_run_are_given_up(tmp_path, broker):
    with Ingest(tmp_path, broker.port, ['old', 'both']) as ingest:
        ingest.wait_ready()
    broker.publish('both', 'while away')
    with Ingest(tmp_path, broker.port, ['both', 'new']) as ingest:
        ingest.wait_records(1)
        ingest.wait_ready()
        wait_until(lambda: 'Received UNSUBSCRIBE' in (broker.folder / 'log').read_text(),
                   'the unsubscription')
        broker.publish('old', 'not wanted any more')
        broker.publish('new', 'wanted')
        assert [r.topic for r in ingest.wait_records(2)] == [b'both', b'new']
        assert ingest.stats()['received'] == 2
        assert 'the broker kept the session' in ingest.log()


def test_nothing_is_given_up_before_the_filters_are_known(tmp_path, broker):
    """The core reads its rules after the start; what the session holds must wait for that."""
    with Ingest(tmp_path, broker.port, ['a']) as ingest:
        ingest.wait_ready()
    with Ingest(tmp_path, broker.port, []) as ingest:
        ingest.wait_stats(lambda s: s['connects'] == 1, 'the connection')
        broker.publish('a', 'early')
        ingest.wait_records(1)
        time.sleep(0.2)
        assert 'Received UNSUBSCRIBE' not in (broker.folder / 'log').read_text()
        ingest.say('filters a')
        ingest.wait_ready()


def test_a_broker_that_forgot_us_is_subscribed_to_again(tmp_path, broker):
    with Ingest(tmp_path, broker.port, ['a']) as ingest:
        ingest.wait_ready()
        broker.publish('a', '1')
        ingest.wait_records(1)
        broker.lose_everything()
        ingest.wait_log('trying again')
        broker.start()
        begin = time.monotonic()
        ingest.wait_stats(lambda s: s['connects'] == 2 and s['state'] == 3, 'the new session')
        assert time.monotonic() - begin < 10
        broker.publish('a', '2')
        assert ingest.wait_records(2)[1].payload == b'2'
        assert ingest.stats()['sessions_lost'] == 1


def test_an_absent_broker_is_named_and_awaited(tmp_path, broker):
    broker.kill()
    with Ingest(tmp_path, broker.port, ['a']) as ingest:
        ingest.wait_log(f'cannot reach 127.0.0.1 port {broker.port}: Connection refused')
        assert ingest.stats()['state'] == 1
        time.sleep(2.5)  # several attempts
        assert ingest.log().count('Connection refused') == 1  # repeats are held back
        broker.start()
        ingest.wait_ready()


def test_retained_messages_come_once(tmp_path, broker):
    broker.publish('a', 'kept', '-r')
    with Ingest(tmp_path, broker.port, ['a']) as ingest:
        ingest.wait_records(1)
        assert ingest.records[0].flags & RETAINED
        ingest.kill()
        ingest.wait_stats(lambda s: s['restarts'] == 1 and s['state'] == 3, 'the next process')
        broker.publish('a', 'live')
        assert [r.payload for r in ingest.wait_records(2)] == [b'kept', b'live']


def test_kill_9_loses_nothing_and_doubles_nothing(tmp_path, broker):
    seed = int(os.environ.get('HEADGATE_SEED') or random.randrange(2 ** 32))
    moments = random.Random(seed)
    print('HEADGATE_SEED', seed)
    last, kills = 40000, 12
    with Ingest(tmp_path, broker.port, ['n'], {'segment_size': '1M'}) as ingest:
        ingest.wait_stats(lambda s: s['state'] == 3 and s['knows_redelivered'], 'two canaries')
        publisher = broker.publish_numbers('n', 1, last)
        for _ in range(kills):
            time.sleep(moments.random() * 0.25)
            ingest.kill()
        assert publisher.wait(60) == 0
        wait_until(lambda: set(ingest.numbers()) == set(range(1, last + 1)), 'every number')
        stats = ingest.stats()
        print(stats)
        assert stats['restarts'] >= 1
        assert stats['redelivered'] <= stats['duplicates_flagged']
        numbers = ingest.numbers()
        again = sorted(n for n, times in collections.Counter(numbers).items() if times > 1)
        assert not again, f'{len(again)} twice: {again[:20]}'
        assert numbers == sorted(numbers), 'order'


def test_the_process_does_not_outlive_the_core(tmp_path, broker):
    with Ingest(tmp_path, broker.port, ['a']) as ingest:
        ingest.wait_ready()
        pid = ingest.pid()
        ingest.process.kill()
        ingest.process.wait()
        wait_until(lambda: not os.path.exists(f'/proc/{pid}')
                   or 'zombie' in open(f'/proc/{pid}/status').read(), 'its end', 5)


def test_another_client_with_our_id_is_named_and_not_fought(tmp_path, broker):
    """mosquitto_sub takes the session over again and again, a second after it lost it."""
    with Ingest(tmp_path, broker.port, ['a'], {'reconnect_max': '60s'}) as ingest:
        ingest.wait_ready()
        rival = subprocess.Popen(
            ['mosquitto_sub', '-h', '127.0.0.1', '-p', str(broker.port), '-i', 'headgate', '-c',
             '-t', 'zzz'], stderr=subprocess.DEVNULL)
        try:
            begin = time.monotonic()
            ingest.wait_log("perhaps another client uses the id 'headgate' (broker_client_id)")
            assert ingest.stats()['connects'] - 1 <= (time.monotonic() - begin) / 2 + 1
        finally:
            rival.kill()
            rival.wait()
