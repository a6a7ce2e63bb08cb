"""The measuring tools work, on a few thousand messages. Speed is not judged here.

(bench/run.py prints it.)
"""
import json
import subprocess
import sys

from gateway import ROOT, binary


def test_a_small_measurement_is_complete():
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tests/bench/run.py'), '--messages', '3000', '--rounds', '1',
         '--pace', '1000', '--seconds', '1', '--json'],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    for phase in ('bare', 'journal', 'always', 'filter', 'series'):
        assert result['median'][phase]['rate'] > 0
    assert set(result['ratios']) == {'filter_rate', 'filter_cpu', 'series_rate', 'series_cpu',
                                     'journal_rate', 'journal_cpu', 'always_rate'}
    assert 1 < result['median']['wear']['file_per_payload'] < 1.3
    assert 0 < result['median']['filter']['p50_us'] <= result['median']['filter']['p99_us']
    assert result['median']['series']['idle_pss_mb'] > 1


def test_a_small_backlog_survives_its_measurement():
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tests/bench/backlog.py'), '--records', '3000', '--pace', '500',
         '--seconds', '1', '--json'],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert 0 < result['restart']['ready_ms'] <= result['restart']['status_ms']
    assert result['restart']['pss_mb'] > 1 and result['drain']['rate'] > 0
    assert 0 < result['drain']['p50_us'] <= result['drain']['p99_us']


def test_an_edit_s_pause_is_measured():
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tests/bench/reload.py'), '--rules', '5', '--keys', '100',
         '--edits', '2'], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100,
        check=False)
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words[:2] == ['5', 'rules,'] and 0 < int(words[words.index('longest') + 1]) < 100000


def bench(*arguments):
    return subprocess.run([binary(), 'bench', *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=300, check=False)


def test_one_case_of_rules_is_run_with_so_many_messages():
    done = bench('--case', 'filter_300', '--messages', '5', '--json')
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    assert line['case'] == 'filter_300'
    assert line['rules_per_message'] == 300
    done = bench('--case', 'filter_30')
    assert done.returncode == 1
    assert "did you mean 'filter_300'?" in done.stderr
    assert bench('--case', 'pass', '--messages', '0').returncode == 1


def test_a_folder_of_rules_is_loaded_and_weighed(tmp_path):
    for i in range(3):
        (tmp_path / f'rule{i}.sql').write_text(f"INSERT INTO 'out' SELECT a FROM 'in/{i}';")
    done = bench('--json', tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result['files'], result['rules']) == (3, 3)
    assert result['bytes_per_rule'] <= 12 * 1024  # sanitizers hide the heap: then it is 0
    (tmp_path / 'broken.sql').write_text('SELECT')
    assert bench(tmp_path).returncode == 1
