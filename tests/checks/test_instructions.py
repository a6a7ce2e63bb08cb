"""The counter of instructions must be able to say "worse". Counting itself needs a release build."""
import os
import pathlib
import subprocess
import sys

BENCH = pathlib.Path(__file__).resolve().parents[1] / 'bench'
sys.path.insert(0, str(BENCH))
import instructions  # noqa: E402


def verdicts(recorded, counted):
    return {row[0]: row[3] for row in instructions.judge(recorded, counted)}


def test_more_than_the_tolerance_is_worse():
    assert verdicts({'scan': 1000, 'pass': 1000, 'cjson': 1000},
                    {'scan': 1051, 'pass': 1049, 'cjson': 949, 'extend': 7}) == \
        {'scan': 'WORSE', 'pass': 'same', 'cjson': 'better', 'extend': 'new'}


def test_figures_are_read_as_they_were_written(tmp_path):
    figures = {'GCC 12.2.0 x86_64': {'scan': 1, 'pass': 22}, 'clang 14.0.6 aarch64': {'scan': 3}}
    path = tmp_path / 'figures.txt'
    instructions.write_figures(path, figures)
    assert instructions.read_figures(path) == figures
    assert instructions.read_figures(tmp_path / 'none.txt') == {}


def test_the_recorded_figures_name_the_cases():
    for figures in instructions.read_figures(instructions.FIGURES).values():
        assert list(figures) == list(instructions.MESSAGES)


def test_without_valgrind_the_word_is_skipped(tmp_path):
    done = subprocess.run([sys.executable, str(BENCH / 'instructions.py')], capture_output=True,
                          text=True, check=False, env=os.environ | {'PATH': str(tmp_path)})
    assert (done.stdout, done.returncode) == ('skipped: valgrind is not installed\n', 77)
