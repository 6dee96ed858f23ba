"""A command as a process whose two streams are pipes."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from tests.e2e.cloud import COMMAND


@dataclass(frozen=True)
class Piped:
    """A running command."""

    process: "subprocess.Popen[str]"
    stdout: IO[str]
    stderr: IO[str]

    def ended(self) -> tuple[int, str, str]:
        """Wait for its end, and give its exit code and all that it has written."""
        output, errors = self.process.communicate(timeout=30)
        return self.process.returncode, output, errors

    def ended_unread(self) -> tuple[int, str]:
        """Close its standard output, wait for its end, and give its exit code and what it says of that."""
        self.stdout.close()
        code = self.process.wait(30)
        return code, self.stderr.read()


@contextmanager
def piped(*arguments: str, environment: dict[str, str]) -> Iterator[Piped]:
    """Run a command; it is killed at the end where it has not stopped by then."""
    process = subprocess.Popen(
        [COMMAND, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr
    with process.stdout, process.stderr:
        try:
            yield Piped(process, process.stdout, process.stderr)
        finally:
            process.kill()
            process.wait(10)
