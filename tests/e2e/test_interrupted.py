"""Ctrl-C, at any moment of a command: the exit code that a shell expects, and no traceback."""

import signal
from pathlib import Path

import pytest

from tests.aws_server import AwsServer
from tests.backends import local_environment
from tests.e2e.cloud import PLAIN
from tests.e2e.process import piped

RAISE = "import signal\nsignal.raise_signal(signal.{signal})\nraise ImportError('the signal did not end the process')\n"
SIGNALS = pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)


@SIGNALS
@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("run", "typer"),
        ("run", "pydantic"),
        ("run", "aioboto3"),
        ("run", "aiohttp"),
        ("tick", "aioboto3"),
        ("start", "typer"),
        ("start", "aioboto3"),
        ("monitor", "rich"),
        ("monitor", "botocore"),
        ("demo", "typer"),
        ("demo", "structlog"),
        ("healthcheck", "urllib"),
    ],
)
def test_a_signal_while_modules_are_imported_ends_it_without_a_word(
    tmp_path: Path, command: str, module: str, number: signal.Signals, code: int
) -> None:
    # A module of that name which stands before the real one, and whose import is interrupted.
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").write_text(RAISE.format(signal=number.name), "utf-8")
    with piped(command, environment=PLAIN | {"PYTHONPATH": str(tmp_path)}) as interrupted:
        assert interrupted.ended() == (code, "", "")


@SIGNALS
@pytest.mark.parametrize("command", ["start --wait", "monitor --watch", "check", "deploy", "tick", "poll job-1"])
def test_a_signal_while_the_cloud_is_asked_ends_it_without_a_word(command: str, number: int, code: int) -> None:
    with AwsServer.in_thread() as aws:
        asked = aws.faults.never_answer("*", times=None)
        with piped(*command.split(), environment=local_environment(aws.endpoint)) as interrupted:
            asked.wait()
            interrupted.process.send_signal(number)
            assert interrupted.ended() == (code, "", "")


@SIGNALS
def test_a_signal_while_the_demo_starts_ends_it_and_its_cloud(tmp_path: Path, number: int, code: int) -> None:
    with piped("demo", environment=PLAIN | {"TMPDIR": str(tmp_path)}) as demo:
        assert demo.stderr.readline() == "starting the embedded cloud ...\n"
        demo.process.send_signal(number)
        assert demo.ended() == (code, "", "")
    # The cloud's own folder goes once its processes have.
    assert list(tmp_path.iterdir()) == []
