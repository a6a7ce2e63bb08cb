#!/usr/bin/python3
"""Count the processor's instructions a message in the rule language, and compare with before.

    tests/bench/instructions.py [--update] [--json] [--cases NAME,...] [--figures FILE]

Runs the cases of `headgate bench`, each with a fixed number of messages, under valgrind's callgrind.
Instructions do not depend on what else the machine does, so that a regression of a few percent
shows where times vary by half. They tell nothing of memory: for that there are the times and
ratios of `headgate bench`.

The figures of before are in instructions.txt, for each compiler and processor apart. A case that
takes more than TOLERANCE beyond its figure fails (exit code 1); --update records what was counted.
Exit code 77 (skipped) where there is no valgrind, no release build, or no figure to compare with.
The build under test is that of $HEADGATE, or build-release/.
"""
import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
FIGURES = pathlib.Path(__file__).with_suffix('.txt')
TOLERANCE = 0.05
SKIPPED = 77
MESSAGES = {'scan': 20000, 'cjson': 20000, 'filter_project': 20000, 'pass': 20000,
            'extend': 20000, 'compute': 20000, 'rules_10': 20000, 'rules_10000': 20000,
            'programs_10': 20000, 'programs_10000': 20000, 'filter_300': 200}


def binary():
    return pathlib.Path(os.environ.get('HEADGATE') or ROOT / 'build-release/gateway/headgate')


def why_not(headgate):
    """What keeps this build or machine from being measured, or None."""
    if shutil.which('valgrind') is None:
        return 'valgrind is not installed'
    if not headgate.exists():
        return f'there is no {headgate}: build it, or set HEADGATE'
    if b'__asan_init' in headgate.read_bytes():
        return 'this build has sanitizers'
    options = headgate.parents[1] / 'meson-info/intro-buildoptions.json'
    kinds = [option['value'] for option in json.loads(options.read_text())
             if option['name'] == 'buildtype'] if options.exists() else []
    return None if kinds == ['release'] else 'this is not a release build'


def platform_of(headgate):
    """The compiler as the binary names it, and the processor: 'GCC 12.2.0 x86_64'."""
    found = re.search(rb'(GCC|clang)(?:: \([^)]*\)| version) ([0-9.]+)', headgate.read_bytes())
    compiler = b' '.join(found.groups()).decode() if found else 'unknown'
    return f'{compiler} {platform.machine()}'


def count(headgate, case):
    """Instructions a message below the function that runs them."""
    messages = MESSAGES[case]
    done = subprocess.run(
        ['valgrind', '--tool=callgrind', '--callgrind-out-file=/dev/null',
         '--toggle-collect=bench_run_messages*', headgate, 'bench', '--case', case,
         '--messages', str(messages)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
    collected = re.search(r'Collected : (\d+)', done.stderr)
    if done.returncode != 0 or collected is None or collected[1] == '0':
        raise SystemExit(f'{case} was not counted:\n{done.stdout}{done.stderr}')
    return round(int(collected[1]) / messages)


def read_figures(path):
    """{platform: {case: instructions}}; a line in brackets begins a platform."""
    figures, current = {}, None
    for line in path.read_text().splitlines() if path.exists() else []:
        words = line.split()
        if line.startswith('['):
            current = figures.setdefault(line.strip('[]'), {})
        elif words and not line.startswith('#'):
            current[words[0]] = int(words[1])
    return figures


def write_figures(path, figures):
    lines = ['# Instructions a message (see instructions.py); --update writes this file.']
    for name in sorted(figures):
        lines += ['', f'[{name}]'] + [f'{case:16} {figures[name][case]:8}'
                                      for case in MESSAGES if case in figures[name]]
    path.write_text('\n'.join(lines) + '\n')


def judge(recorded, counted):
    """[(case, instructions, change or None, verdict)]"""
    rows = []
    for case, instructions in counted.items():
        change = instructions / recorded[case] - 1 if case in recorded else None
        verdict = ('new' if change is None else 'WORSE' if change > TOLERANCE
                   else 'better' if change < -TOLERANCE else 'same')
        rows.append((case, instructions, change, verdict))
    return rows


def print_rows(rows):
    for case, instructions, change, verdict in rows:
        moved = '' if change is None else f'{change:+8.1%}'
        print(f'{case:16} {instructions:8} {moved:8}  {verdict}')


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--update', action='store_true', help='record what was counted')
    parser.add_argument('--cases', default=','.join(MESSAGES), help='separated by commas')
    parser.add_argument('--figures', type=pathlib.Path, default=FIGURES, help='FILE')
    parser.add_argument('--json', action='store_true')
    settings = parser.parse_args()
    headgate = binary()
    reason = why_not(headgate)
    if reason:
        print(f'skipped: {reason}')
        return SKIPPED
    counted = {case: count(headgate, case) for case in settings.cases.split(',')}
    figures = read_figures(settings.figures)
    here = platform_of(headgate)
    rows = judge(figures.get(here, {}), counted)
    if settings.json:
        print(json.dumps({'platform': here, 'instructions': counted,
                          'verdicts': {row[0]: row[3] for row in rows}}))
    else:
        print(f'instructions a message, {here}')
        print_rows(rows)
    if settings.update:
        figures.setdefault(here, {}).update(counted)
        write_figures(settings.figures, figures)
        return 0
    if here not in figures:
        print(f'skipped: no figures of {here} to compare with; --update records them')
        return SKIPPED
    return 1 if any(row[3] == 'WORSE' for row in rows) else 0


if __name__ == '__main__':
    sys.exit(main())
