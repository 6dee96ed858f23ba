"""Asking a daemon on this machine how it is, as a container's health check does."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.aws_server import AwsServer
from tests.backends import local_environment
from tests.e2e.cloud import PLAIN, Cloud
from tests.e2e.process import piped

ROOT = Path(__file__).parents[2]


def asked(port: int, *options: str, host: str = "127.0.0.1") -> tuple[int, str, str]:
    """Run the command against a port, and give its exit code and what it has written."""
    settings = {"SCHEDULER_HTTP_HOST": host, "SCHEDULER_HTTP_PORT": str(port)}
    with piped("healthcheck", *options, environment=PLAIN | settings) as process:
        return process.ended()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def listening(says: bytes) -> Iterator[int]:
    """Listen on a port that takes every connection and says the same to each."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                peers.append(peer)
                peer.sendall(says)

        peers: list[socket.socket] = []
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for peer in peers:
                peer.close()


def test_a_daemon_that_waits_for_its_cloud_is_alive_and_not_ready() -> None:
    with AwsServer.in_thread() as aws:  # without a table
        with piped("run", environment=local_environment(aws.endpoint) | {"SCHEDULER_HTTP_PORT": "0"}) as daemon:
            port = json.loads(daemon.stdout.readline())["http_port"]
            assert "trouble.began" in daemon.stdout.readline()
            assert asked(port, "--live") == (0, '{"status": "alive"}\n', "")
            code, output, errors = asked(port)
        assert (code, output) == (1, "")
        assert errors.startswith('callback-scheduler: {"status": "unready", "reason": "token table')


def test_a_daemon_that_ticks_is_alive_and_ready(cloud: Cloud, tmp_path: Path) -> None:
    with cloud.daemon(tmp_path / "log") as daemon:
        while daemon.readiness()[0] != 200:
            pass
        port = daemon.events("scheduler.started")[0]["http_port"]
        assert asked(port, "--live")[0] == asked(port)[0] == 0


@pytest.mark.parametrize("option", [[], ["--live"]])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", "::1", "::"])  # noqa: S104  never bound
def test_where_no_daemon_listens_it_fails_with_one_line(option: list[str], host: str) -> None:
    code, output, errors = asked(free_port(), *option, host=host)
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert "the daemon does not answer on" in errors


@pytest.mark.parametrize(
    "says", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\nhalf"]
)
def test_a_peer_that_is_no_daemon_or_hangs_fails_it_with_one_line(says: bytes) -> None:
    with listening(says) as port:
        code, output, errors = asked(port, "--live")
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert f"the daemon does not answer on 127.0.0.1:{port}" in errors


def test_the_image_asks_whether_it_is_alive_and_compose_whether_it_is_ready() -> None:
    # An orchestrator restarts what the image calls unhealthy; in compose others wait until the service is ready.
    image = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert image
    assert json.loads(image[1]) == ["callback-scheduler", "healthcheck", "--live"]
    compose = (ROOT / "docker-compose.yml").read_text("utf-8")
    (service,) = re.findall(r"^  scheduler:\n((?:    .*\n|\n)+)", compose, re.MULTILINE)
    assert '      test: ["CMD", "callback-scheduler", "healthcheck"]\n' in service
