"""etc/quickstart as a new user runs it: to its end, twice in a row, and stopped with Ctrl-C."""
import os
import pathlib
import signal
import subprocess
import uuid

import pytest

from gateway import ROOT, wait_until

BUILD_PATIENCE_S = 500  # the first run builds


class Run:
    """One run, in a process group of its own; every process of it carries a mark."""

    def __init__(self, folder, *arguments):
        self.mark = uuid.uuid4().hex
        self.log = pathlib.Path(folder) / f'{self.mark}.log'
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(
                [str(ROOT / 'etc/quickstart'), '--data', str(folder / 'data'), *arguments],
                cwd=folder, env=dict(os.environ, QUICKSTART_TEST=self.mark),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def output(self):
        return self.log.read_text(errors='replace')

    def left_over(self):
        """Processes with the mark that still run."""
        found = []
        for entry in pathlib.Path('/proc').iterdir():
            if entry.name.isdigit():
                try:
                    if self.mark.encode() in (entry / 'environ').read_bytes():
                        found.append((entry / 'cmdline').read_bytes())
                except OSError:
                    continue
        return found

    def wait(self, timeout_s):
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise


def test_it_shows_alerts_and_rows_twice_in_a_row(tmp_path):
    for _ in range(2):
        run = Run(tmp_path, '--seconds', '20')
        status = run.wait(BUILD_PATIENCE_S)
        print(run.output())
        assert status == 0
        assert 'alerts/sensor-' in run.output()
        wait_until(lambda run=run: not run.left_over(), 'everything to be gone', 5)


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(tmp_path, how):
    run = Run(tmp_path)
    try:
        wait_until(lambda: 'headgate query' in run.output(), 'the display', BUILD_PATIENCE_S)
        if how == signal.SIGINT:
            os.killpg(run.process.pid, how)  # as a terminal does
        else:
            run.process.send_signal(how)
        run.wait(30)
    finally:
        print(run.output())
    wait_until(lambda: not run.left_over(), 'everything to be gone', 5)
