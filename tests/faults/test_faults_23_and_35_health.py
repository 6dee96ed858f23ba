"""Rows 23 and 35: what is not there at the start, a loop that stands still, and what the health endpoints say."""

import asyncio
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self

import pytest

from scheduler.daemon import Daemon as DaemonInProcess
from scheduler.settings import Settings
from scheduler.web.health import Health
from tests.aws_server import AwsServer
from tests.faults.world import Daemon, World, until


def ask(port: int, path: str, seconds: float = 5) -> tuple[int, dict[str, Any]]:
    """Ask a health endpoint: HTTP's status and the reply. Raises OSError where no reply comes in time."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=seconds) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)


def port_of(daemon: Daemon) -> int:
    (started,) = until(lambda: daemon.events("scheduler.started"))
    port: int = started["http_port"]
    return port


def of_the_table(daemon: Daemon, event: str) -> list[dict[str, Any]]:
    """Give the lines that tell of the token table's trouble."""
    return [line for line in daemon.events(event) if line["part"] == "token table"]


def waits_and_says_why(daemon: Daemon, error: str, reason: str, tries: Callable[[], int] = lambda: 3) -> None:
    """Hold a daemon to what it must do while it cannot work: one clear line, unready, alive, and patient."""
    until(lambda: of_the_table(daemon, "trouble.began") and tries() >= 3)
    (began,) = of_the_table(daemon, "trouble.began")
    assert (began["level"], error in began["error"], "\n" in began["error"]) == ("warning", True, False)
    status, shown = ask(port_of(daemon), "readyz")
    assert (status, shown["status"]) == (503, "unready")
    assert f"token table: {reason}" in shown["reason"].split("; ")
    assert ask(port_of(daemon), "livez") == (200, {"status": "alive"})
    assert daemon.process.poll() is None
    assert daemon.events("tick.finished") == []


def recovers(daemon: Daemon) -> None:
    until(lambda: daemon.readiness()[0] == 200)
    assert len(daemon.events("scheduler.started")) == len(of_the_table(daemon, "trouble.over")) == 1
    assert daemon.stop() == 0


def test_fault_23_a_missing_table_is_waited_for_and_found(world: World) -> None:
    table = world.dynamodb.describe_table(TableName=world.table)["Table"]
    world.dynamodb.delete_table(TableName=world.table)
    with world.daemon() as daemon:
        error = f"table {world.table} does not exist at "
        waits_and_says_why(daemon, error, "does not exist", lambda: world.aws.calls["DescribeTable"])
        world.dynamodb.create_table(
            TableName=world.table,
            KeySchema=table["KeySchema"],
            AttributeDefinitions=[{"AttributeName": "jobId", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        job = world.add()
        assert world.ended(job)["status"] == "COMPLETED"
        recovers(daemon)


def test_fault_23_a_missing_index_is_waited_for_and_found(world: World) -> None:
    world.dynamodb.update_table(TableName=world.table, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "due"}}])
    indexes = "GlobalSecondaryIndexes"
    until(lambda: indexes not in world.dynamodb.describe_table(TableName=world.table)["Table"])
    job = world.add()
    with world.daemon(SCHEDULER_DUE="index") as daemon:
        error = f"index due of table {world.table} does not exist"
        waits_and_says_why(daemon, error, "does not exist", lambda: world.aws.calls["DescribeTable"])
        assert world.row(job)["attemptCount"] == 0
        index: Any = {
            "IndexName": "due",
            "KeySchema": [
                {"AttributeName": "dueShard", "KeyType": "HASH"},
                {"AttributeName": "nextPollAt", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
        kinds: Any = [{"AttributeName": name, "AttributeType": "N"} for name in ("dueShard", "nextPollAt")]
        kinds += [{"AttributeName": "jobId", "AttributeType": "S"}]
        world.dynamodb.update_table(
            TableName=world.table, AttributeDefinitions=kinds, GlobalSecondaryIndexUpdates=[{"Create": index}]
        )
        assert world.ended(job)["status"] == "COMPLETED"
        recovers(daemon)


def test_fault_23_an_endpoint_that_is_down_at_the_start_is_waited_for(world: World, dynamodb_local: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    job = world.add()
    with world.daemon(AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}") as daemon:
        waits_and_says_why(daemon, "could not be used: EndpointConnectionError", "out of reach")
        with _server_at(port, dynamodb_local) as late:
            late.jobs.add(job.job_id)
            until(lambda: world.row(job)["status"] == "CLOSED")  # its task waits at another server
            recovers(daemon)


def _server_at(port: int, dynamodb_url: str) -> Any:
    class Late(AwsServer):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options, port=port)

    return Late.in_thread(dynamodb_url)


def test_fault_35_a_dependency_that_is_down_only_fails_readiness(world: World) -> None:
    with world.daemon() as daemon:
        until(lambda: daemon.readiness()[0] == 200)
        port = port_of(daemon)
        with world.aws.faults.deny("dynamodb:*"):
            status, shown = until(lambda: (seen := daemon.readiness())[0] == 503 and seen)
            assert (status, shown["status"]) == (503, "unready")
            assert shown["reason"] == "token table: access is denied"
            (began,) = of_the_table(daemon, "trouble.began")
            assert "AccessDeniedException" in began["error"]
            assert ask(port, "livez") == (200, {"status": "alive"})
        until(lambda: daemon.readiness()[0] == 200)
        assert daemon.stop() == 0


class Threaded:
    """A daemon in a loop of its own, which a test may block."""

    def __init__(self, settings: Settings) -> None:
        self.health = Health()
        self._daemon = DaemonInProcess(settings, self.health)
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.result().call_soon_threadsafe(self._daemon.stop)
        self._ended.result(20)
        self._thread.join()

    def block(self) -> threading.Event:
        """Let the loop stand still until the event that this gives is set; returns once it does."""
        stands, go_on = threading.Event(), threading.Event()

        def stand() -> None:
            stands.set()
            go_on.wait(60)

        self._loop.result().call_soon_threadsafe(stand)
        assert stands.wait(10)
        return go_on

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop.set_result(runner.get_loop())
            try:
                runner.run(self._daemon.run())
            except BaseException as error:  # noqa: BLE001 - told to whoever waits for the end
                self._ended.set_exception(error)
            else:
                self._ended.set_result(None)


def test_fault_35_a_loop_that_is_blocked_fails_liveness_until_it_turns_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    for name, value in (world.environment | {"SCHEDULER_HTTP_PORT": str(port)}).items():
        monkeypatch.setenv(name, value)
    with Threaded(Settings.load()) as daemon:
        until(lambda: daemon.health.readiness()[0])
        assert ask(port, "livez") == (200, {"status": "alive"})
        go_on = daemon.block()
        for path in ("livez", "readyz"):
            with pytest.raises(TimeoutError):
                ask(port, path, seconds=1)
        go_on.set()
        assert until(lambda: ask(port, "livez")) == (200, {"status": "alive"})
        assert ask(port, "readyz")[0] == 200
