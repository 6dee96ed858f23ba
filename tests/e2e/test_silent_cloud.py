"""A cloud that takes every call and never answers, or is not there at all: commands say so soon."""

import socket
import time
from pathlib import Path

import pytest

from tests.aws_server import AwsServer
from tests.backends import local_environment
from tests.e2e.process import piped

SOON_SECONDS = 20.0
"""More than twice what any of these commands takes, and a fifth of what the SDK's own patience took."""
NEVER_RESOLVES = """
import socket, threading
socket.getaddrinfo = lambda *_, **__: threading.Event().wait()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def fails_soon(command: str, environment: dict[str, str]) -> str:
    """Run a command that must fail with one line on standard error, and give all that it has written."""
    started = time.monotonic()
    with piped(*command.split(), environment=environment) as process:
        code, output, errors = process.ended()
    assert (code, errors.count("\n")) == (1, 1)
    assert time.monotonic() - started < SOON_SECONDS
    return output + errors


@pytest.mark.parametrize(
    ("command", "calls"),
    # `monitor` reads its sections side by side, and `tick` and `poll` have the daemon's clients, which try again.
    [
        ("check", 1),
        ("start", 1),
        ("start --wait", 1),
        ("monitor", 5),
        ("deploy", None),
        ("tick", None),
        ("poll j", None),
    ],
)
def test_a_cloud_that_never_answers_is_told_soon_and_asked_once(command: str, calls: int | None) -> None:
    with AwsServer.in_thread() as aws:
        asked = aws.faults.never_answer("*", times=None)
        said = fails_soon(command, local_environment(aws.endpoint))
        assert f"at {aws.endpoint}, region us-east-1" in said
        assert asked.met == calls or calls is None


@pytest.mark.parametrize("command", ["check", "start", "monitor", "deploy", "tick", "poll job-1"])
def test_an_endpoint_where_nothing_listens_is_told_soon(command: str) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    assert f"at {endpoint}, region us-east-1" in fails_soon(command, local_environment(endpoint))


@pytest.mark.parametrize("command", ["check", "start", "monitor", "deploy", "tick", "poll job-1"])
def test_a_name_that_nobody_resolves_is_told_soon(tmp_path: Path, command: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(NEVER_RESOLVES, "utf-8")
    environment = local_environment("http://cloud.test:4566") | {"PYTHONPATH": str(tmp_path)}
    assert "at http://cloud.test:4566, region us-east-1" in fails_soon(command, environment)
