"""The helper itself: a broker that listens, a subscription that is live, waits that end."""
import pytest

from gateway import Broker, NotYet, Subscription, descendants, is_alive, wait_until


def test_what_is_published_arrives(tmp_path):
    with Broker(tmp_path) as broker, Subscription(broker, 'a/#') as subscription:
        broker.publish('a/b', '{"x": 1}')
        broker.publish('a/c', b'one\ntwo\n', lines=True)
        assert subscription.wait_for(3) == [('a/b', '{"x": 1}'), ('a/c', 'one'), ('a/c', 'two')]


def test_a_wait_ends_and_says_what_was_awaited():
    with pytest.raises(NotYet, match='waited 0.1 s for a miracle'):
        wait_until(lambda: False, 'a miracle', timeout_s=0.1)


def test_a_stopped_broker_is_gone(tmp_path):
    with Broker(tmp_path) as broker:
        pid = broker.process.pid
        assert descendants(pid) == [pid] and is_alive(pid)
        broker.stop()
        assert not is_alive(pid)
