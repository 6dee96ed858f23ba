"""Signals, and what a second one does: a daemon in a process of its own, whose one poll hangs."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest


class Running:
    """The process, and the lines that it has logged."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert process.stdout
        self._lines: IO[str] = process.stdout

    def wait_for(self, event: str) -> None:
        """Wait for a line of the log."""
        while f'"{event}"' not in (line := self._lines.readline()):
            assert line, f"it ended without {event}"

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, seconds: float) -> int:
        """Wait for the end, no longer than so many seconds; gives the exit code."""
        return self.process.wait(seconds)


@contextmanager
def running(drain: float) -> Iterator[Running]:
    command = [sys.executable, "-m", "tests.unit.daemon_process", str(drain)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_well(number: signal.Signals) -> None:
    with running(drain=0.5) as daemon:
        daemon.wait_for("tick.finished")
        daemon.signal(number)
        daemon.wait_for("scheduler.draining")
        assert daemon.ended(10) == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [(signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)],
)
def test_a_second_signal_of_either_kind_ends_it_at_once(first: signal.Signals, second: signal.Signals) -> None:
    with running(drain=600) as daemon:
        daemon.wait_for("tick.finished")
        daemon.signal(first)
        daemon.wait_for("scheduler.draining")
        at = time.monotonic()
        daemon.signal(second)
        assert daemon.ended(10) == -second
        assert time.monotonic() - at < 5
