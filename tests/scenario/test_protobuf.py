"""decode(..., 'proto', ...) against Google's implementation, on messages made at random.

Needs protoc and python3-protobuf; without them there is nobody to compare with. Fixed cases are in
tests/unit/test_protobuf.c.
"""
import base64
import importlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

import pytest

from gateway import PATIENCE_S, binary

json_format = pytest.importorskip('google.protobuf.json_format')
pytestmark = pytest.mark.skipif(shutil.which('protoc') is None, reason='there is no protoc')

PROTO = pathlib.Path(__file__).parent / 'proto'
SEED = int(os.environ.get('HEADGATE_SEED', '1'))


@pytest.fixture
def module(tmp_path):
    """The generated Python module, and the descriptor at descriptors/b/readings.desc."""
    (tmp_path / 'descriptors/b').mkdir(parents=True)
    subprocess.run(['protoc', f'--proto_path={PROTO}', f'--python_out={tmp_path}',
                    '--include_imports',
                    f'--descriptor_set_out={tmp_path}/descriptors/b/readings.desc',
                    'readings.proto'], check=True)
    sys.path.insert(0, str(tmp_path))
    yield importlib.import_module('readings_pb2')
    sys.path.remove(str(tmp_path))


def fill(dice, module, message, depth=0):
    """Sets some fields to values of which half are at the edges of their ranges."""
    def integer(bits, signed):
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        return dice.choice([low, high, 0, 1, dice.randint(low, high)])

    def text():
        return ''.join(dice.choice('ab"\\\n\u00fc\U0001f600') for _ in range(dice.randint(0, 5)))

    def real():
        return dice.choice([0.0, -0.5, 1e300, 5e-324, float('inf'), float('nan'), dice.random()])

    choices = {
        'sensor_id': text, 'count': lambda: integer(64, True), 'big': lambda: integer(64, False),
        'delta': lambda: integer(32, True), 'f32': lambda: integer(32, False),
        'sf64': lambda: integer(64, True), 'ok': lambda: dice.random() < 0.5,
        'raw': lambda: dice.randbytes(dice.randint(0, 9)), 'mode': lambda: dice.choice([0, 1, -5, 9]),
        'maybe': lambda: integer(32, True), 'number': lambda: integer(32, True), 'text': text,
        'unit': lambda: dice.randint(0, 2), 'i32': lambda: integer(32, True),
        'u32': lambda: integer(32, False), 's64': lambda: integer(64, True),
        'sf32': lambda: integer(32, True), 'f64': lambda: integer(64, False)}
    for name, value in choices.items():
        if dice.random() < 0.4:
            setattr(message, name, value())
    for _ in range(dice.randint(0, 3)):
        message.values.append(integer(32, True))
        message.names.append(text())
        message.modes.append(dice.choice([0, 1, -5, 7]))
        message.path.add(x=real(), y=dice.choice([0.1, 1e30, 3, 16777216]))
        message.points[text()].x = real()
        message.labels[integer(32, True)] = text()
        message.flags[dice.random() < 0.5] = dice.choice([0, 1])
    if dice.random() < 0.3:
        message.at.SetInParent()
    if depth < 4 and dice.random() < 0.4:
        fill(dice, module, message.next, depth + 1)


def plain(value):
    """64-bit integers are numbers here, and strings in Google's JSON."""
    if isinstance(value, dict):
        return {key: int(item) if key in ('count', 'big', 'sf64', 's64', 'f64') else plain(item)
                for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def test_random_messages_are_decoded_as_google_does(tmp_path, module):
    dice = random.Random(SEED)
    wire, expected = [], []
    for _ in range(500):
        message = module.Reading()
        fill(dice, module, message)
        half = module.Reading()  # single fields that come twice: the later ones, or merged
        fill(dice, module, half)
        data = message.SerializeToString()
        if dice.random() < 0.3:
            data += half.SerializeToString()
        wire.append(data)
        expected.append(plain(json_format.MessageToDict(
            module.Reading.FromString(data), preserving_proto_field_name=True)))
    lines = ''.join(json.dumps({'topic': 't', 'base64': base64.b64encode(data).decode()}) + '\n'
                    for data in wire)
    sql = "SELECT VALUE decode(*, 'proto', 'b', 'readings.desc', 'readings', 'Reading') FROM 't'"
    done = subprocess.run([binary(), 'try', '--set', f'descriptors_dir={tmp_path}/descriptors',
                           '--sql', sql], input=lines, capture_output=True, text=True,
                          timeout=PATIENCE_S)
    rows = [json.loads(row) for row in done.stdout.splitlines()]
    assert len(rows) == len(wire), done.stderr
    for number, (row, wanted) in enumerate(zip(rows, expected)):
        assert row == wanted, f'message {number}: {wire[number].hex()}'
