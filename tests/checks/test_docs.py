"""The commands in the READMEs run, and print what the READMEs say.

A block that begins with ```sh run is executed; all such blocks of one file run in order, in one
bash, from the repository's root, with a scratch HOME. A block ```text output behind it lists lines
that its output must contain, in this order; `...` stands for anything.
"""
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
READMES = sorted(path.relative_to(ROOT) for path in
                 [ROOT / 'README.md', *ROOT.glob('*/README.md'), *ROOT.glob('rules/*/README.md'),
                  *ROOT.glob('tests/*/README.md')]
                 if path.exists())
BLOCK = re.compile(r'^```(sh run|text output)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
MARK = '--8<-- end of block'


def blocks(text):
    """[(commands, expected lines)] in order."""
    found = []
    for kind, body in BLOCK.findall(text):
        if kind == 'sh run':
            found.append((body, []))
        else:
            assert found and not found[-1][1], 'output without a block of commands'
            found[-1][1].extend(body.splitlines())
    return found


def line_matches(expected, line):
    pattern = '.*'.join(re.escape(part) for part in expected.rstrip().split('...'))
    return re.fullmatch(pattern, line.rstrip()) is not None


def missing_lines(expected, output):
    """The expected lines from the first on that does not come, in order."""
    wanted = list(expected)
    for line in output.splitlines():
        if wanted and line_matches(wanted[0], line):
            wanted.pop(0)
    return wanted


def test_the_comparison_itself():
    assert missing_lines(['a', 'b...d'], 'x\na\nbcd\n') == []
    assert missing_lines(['a', 'b'], 'b\na\n') == ['b']
    assert blocks('```sh run\ntrue\n```\ntext\n```text output\nx\n```\n') == [('true\n', ['x'])]


@pytest.mark.parametrize('path', READMES, ids=str)
def test_the_commands_run(path, tmp_path):
    parts = blocks((ROOT / path).read_text())
    script = 'set -euo pipefail\n' + ''.join(f'{commands}\necho "{MARK}"\n'
                                             for commands, _ in parts)
    build = pathlib.Path(os.environ['HEADGATE']).parent
    done = subprocess.run(
        ['bash'], input=script, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        cwd=ROOT, timeout=500, check=False,
        env=dict(os.environ, HOME=str(tmp_path), TMPDIR=str(tmp_path),
                 PATH=f'{build}:{os.environ["PATH"]}:/usr/sbin'))
    outputs = done.stdout.split(MARK + '\n')
    assert done.returncode == 0, f'{parts[len(outputs) - 1][0]}\n{outputs[-1]}'
    for (commands, expected), output in zip(parts, outputs):
        missing = missing_lines(expected, output)
        assert not missing, f'{commands}\nprinted:\n{output}\nwithout:\n{missing[0]}'


@pytest.mark.parametrize('path', READMES, ids=str)
def test_links_lead_somewhere(path):
    text = (ROOT / path).read_text()
    links = re.findall(r'\]\(([^)#]+)(?:#[^)]*)?\)', text)
    gone = [link for link in links
            if '://' not in link and not ((ROOT / path).parent / link).exists()]
    assert gone == []


def names_a_test(entry):
    """Whether `folder/file: test`, or `folder/file` of a fuzz target, is there to be run."""
    path, _, name = entry.partition(': ')
    file = ROOT / 'tests' / path
    wanted = {'.py': rf'^def {name}\(', '.c': rf'\b\w+\({name}[,)]' if name else r'LLVMFuzzer'}
    return file.exists() and re.search(wanted[file.suffix], file.read_text(), re.MULTILINE)


def test_the_catalogue_of_faults_names_tests_that_exist():
    text = (ROOT / 'tests/fault/README.md').read_text()
    entries = re.findall(r'`((?:unit|sim|scenario|mqtt|fuzz)/[^`]+)`', text)
    assert len(entries) > 80
    assert [entry for entry in entries if not names_a_test(entry)] == []
    assert not names_a_test('unit/test_journal.c: no_such_test')
    rows = [line for line in text.splitlines() if line.startswith('| ') and '|---' not in line]
    assert [row for row in rows if '`' not in row.split('|')[2] and row != '| fault | test |'] == []
