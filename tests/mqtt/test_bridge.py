"""The bridge: topics, the other broker's connection, TLS, the window, kill -9 and broker restarts.

The publisher process is that of the topic sink; what concerns both is in test_publish.py.
"""
import contextlib
import os
import random
import signal
import threading

import pytest

import packets
from test_publish import SlowBroker
from test_tls import keys, tls_broker  # noqa: F401: a fixture
from world import Broker, Harness, OddBroker, wait_until

USER_PROPERTY = 0x26


class Bridge(Harness):
    """The harness as a sink of the driver mqtt-bridge; the gateway's own broker is nowhere."""

    def __init__(self, folder, url, **options):
        arguments = ['--driver', 'mqtt-bridge', '--with', f'url={url}']
        for name, value in options.items():
            arguments += ['--with', f'{name}={value}']
        super().__init__(folder, 1, 'publish', arguments, {
            'broker_client_id': 'gw', 'broker_username': 'local', 'broker_password': 'LOCAL-S3CR3T',
            'broker_protocol': '3.1.1'})

    def write(self, count, size=20, topic='a'):
        self.say(f'{count} {size} {topic}')
        words = self.answer(60)
        assert words[0] == 'verdicts', words
        return (*(int(word) for word in words[1:5]), ' '.join(words[5:]))

    def pid(self):
        self.say('pid')
        return int(self.answer()[1])


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def url_of(broker):
    return f'mqtt://127.0.0.1:{broker.port}'


def test_messages_arrive_under_their_topic_with_identity(tmp_path):
    with Broker(tmp_path) as broker:
        client = packets.Client(broker.port, 'listener')
        client.subscribe('#')
        topic = 'site1/${rule}/${table}/${topic(2)}/${topic}'
        with Bridge(tmp_path, url_of(broker), topic=topic, retain='true') as bridge:
            assert bridge.write(2, topic='pumps/7')[:3] == (2, 0, 0)
            for number in (1, 2):
                topic, items, payload, _ = client.next_message()
                assert topic == b'site1/rule/cloud/7/pumps/7' and int(payload) == number
                assert [value for code, value in items if code == USER_PROPERTY] == [
                    (b'headgate-id', b'mqtt:%d:0' % number), (b'headgate-hops', b'1')]
            assert bridge.stop() == 0
        client.close()


def test_nothing_of_the_gateways_own_broker_is_told_to_the_other(tmp_path):
    connects = []

    def note(wire, kind, flags, body):
        if kind == packets.CONNECT:
            connects.append(bytes(body.data))
        return False

    with OddBroker(note) as broker:
        with Bridge(tmp_path, url_of(broker), username='up', password='UP-S3CR3T') as bridge:
            wait_until(lambda: bridge.write(1)[0] == 1, 'the other broker')
            assert b'gw-cloud' in connects[0] and b'UP-S3CR3T' in connects[0]
            assert b'local' not in connects[0] and b'LOCAL' not in connects[0]
            assert connects[0][6] == 5, 'MQTT 5, whatever the own broker speaks'
            assert 'S3CR3T' not in bridge.log()


def test_an_old_broker_gets_3_1_1(tmp_path):
    with OddBroker(versions=[4]) as broker:
        with Bridge(tmp_path, url_of(broker)) as bridge:
            wait_until(lambda: bridge.write(5)[0] == 5, 'the second process')
            assert 'does not speak MQTT 5' in bridge.log()


@pytest.mark.parametrize('receive_maximum,window,expected', [(1, 20, 1), (20, 50, 20),
                                                             (65535, 50, 50)])
def test_the_window_is_below_the_receive_maximum(tmp_path, receive_maximum, window, expected):
    with SlowBroker(receive_maximum) as broker:
        with Bridge(tmp_path, url_of(broker), window=window) as bridge:
            bridge.write(1)  # connects
            count = 30 * expected
            done, _, _, took_us, _ = bridge.write(count)
            assert done == count
            assert expected / 2 < broker.most <= expected  # acknowledged while a burst is sent
            # a stall of Paho's takes up to a second each time the window is full
            assert took_us < 3_000_000


def test_kill_9_and_broker_restarts_lose_nothing(tmp_path):
    """What gets no acknowledgement is a RETRY; sent again, every number arrives."""
    seed = int(os.environ.get('HEADGATE_SEED') or random.randrange(2 ** 32))
    moments = random.Random(seed)
    print('HEADGATE_SEED', seed)
    arrived = []

    def note(wire, kind, flags, body):
        if kind == packets.PUBLISH:
            start = body.at
            arrived.append(int(packets.take_publish(flags, body, wire.version)[3]))
            body.at = start
        return False

    done = 0
    with OddBroker(note) as broker:
        with Bridge(tmp_path, url_of(broker), reconnect_max='1s', window=50) as bridge:
            wait_until(lambda: bridge.write(1)[0] == 1, 'the other broker')
            for turn in range(25):
                if turn % 5 == 4:
                    threading.Timer(moments.random() * 0.05, broker.connections[-1].close).start()
                else:
                    threading.Timer(moments.random() * 0.05, kill, (bridge.pid(),)).start()
                result = bridge.write(500)
                done += result[0]
                assert result[2] == 0 and result[0] + result[1] == 500
                wait_until(lambda: bridge.write(1)[0] == 1, 'it to go on', 60)
        numbers = set(arrived)
        assert len(numbers) >= done, 'each DONE has arrived'


def test_verified_tls_and_a_client_certificate(tmp_path, keys):  # noqa: F811
    with tls_broker(tmp_path, keys, 'local', 'require_certificate true') as broker:
        url = f'mqtts://localhost:{broker.port}'
        with Bridge(tmp_path, url, ca=keys / 'ca.pem', certificate=keys / 'gateway.pem',
                    key=keys / 'gateway.key') as bridge:
            wait_until(lambda: bridge.write(1)[0] == 1, 'the other broker')
        with Bridge(tmp_path, url, ca=keys / 'ca.pem') as bridge:
            assert bridge.write(1)[:3] == (0, 1, 0)
            bridge.wait_log('(certificate)')


@pytest.mark.parametrize('certificate,ca,words', [
    ('elsewhere', 'ca', "the broker's certificate is not for host 'localhost'"),
    ('local', 'stranger', 'TLS: ')])
def test_a_wrong_certificate_is_refused(tmp_path, keys, certificate, ca, words):  # noqa: F811
    with tls_broker(tmp_path, keys, certificate) as broker:
        url = f'mqtts://localhost:{broker.port}'
        with Bridge(tmp_path, url, ca=keys / f'{ca}.pem') as bridge:
            assert bridge.write(1)[:3] == (0, 1, 0)
            bridge.wait_log(words)


@pytest.mark.parametrize('options,words', [
    ({'topic': 'a/${topik}'}, "the unknown field '${topik}'"),
    ({'topic': 'a/+'}, 'has a wildcard'),
    ({'url': 'http://x'}, 'does not begin with mqtt:// or mqtts://'),
    ({'ca': '/nowhere.pem', 'url': 'mqtts://x'}, "cannot read 'ca' '/nowhere.pem'"),
    ({'ca': '/etc/hostname'}, 'need TLS'),
    ({'password': 'x\nbroker_insecure true'}, "option 'password'")])
def test_what_cannot_work_is_refused_at_once(tmp_path, options, words):
    options = {'url': 'mqtt://127.0.0.1:1', **options}
    with Bridge(tmp_path, options.pop('url'), **options) as bridge:
        assert bridge.process.wait(30) == 1
        assert words in bridge.log()
