"""What most scenarios begin with: a broker, and a gateway that is not started yet."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from gateway import Broker, Gateway  # noqa: E402: the path comes first


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path) as running:
        yield running


@pytest.fixture
def gateway(tmp_path, broker):
    with Gateway(tmp_path, broker) as running:
        yield running
