"""The measuring tools work, on a few thousand messages. Speed is not judged here.

(bench/run.py prints it.)
"""
import json
import subprocess
import sys

from gateway import ROOT


def test_a_small_measurement_is_complete():
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tests/bench/run.py'), '--messages', '3000', '--rounds', '1',
         '--pace', '1000', '--seconds', '1', '--json'],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    for phase in ('bare', 'filter', 'series'):
        assert result['median'][phase]['rate'] > 0
    assert set(result['ratios']) == {'filter_rate', 'filter_cpu', 'series_rate', 'series_cpu'}
    assert 0 < result['median']['filter']['p50_us'] <= result['median']['filter']['p99_us']
    assert result['median']['series']['idle_pss_mb'] > 1
