"""The daemon as a process: how it starts, waits, logs and stops."""

import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cloud import Cloud, until

SLOW = {"SCHEDULER_INTERVAL_SECONDS": "60", "SCHEDULER_CHECK_TIMEOUT_SECONDS": "30"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_every_line_is_json_at_debug_level_and_no_token_is_in_any_output(cloud: Cloud, tmp_path: Path) -> None:
    fast: dict[str, Any] = {"pollingConfig": {"intervalSeconds": 1, "heartbeat": True}}
    arns = cloud.start(fast, fast | {"record": {"id": "bad", "data": {"failWith": "it broke"}}})
    cloud.put_row(cloud.make_job(completionPolls=1))
    cloud.put_row("malformed", maxAttempts={"S": "many"})
    tokens = [row["taskToken"] for row in cloud.rows()]
    with cloud.daemon(tmp_path / "log", SCHEDULER_LOG_LEVEL="debug") as daemon:
        assert {cloud.outcome(arn)["status"] for arn in arns} == {"SUCCESS", "FAILED"}
        until(lambda: "POLLING" not in {row["status"] for row in cloud.rows()})
        assert daemon.stop() == 0
        assert {line["event"] for line in daemon.lines()} >= {
            "scheduler.started", "tick.finished", "poll.in_progress", "poll.completed", "answer.delivered",
            "answer.closed", "row.quarantined", "scheduler.draining", "scheduler.stopped",
        }  # fmt: skip
        assert all({"timestamp", "level", "event"} <= line.keys() for line in daemon.lines())
    outputs = [(tmp_path / name).read_text("utf-8") for name in ("log", "log.err")]
    outputs += [cloud.succeed("monitor"), cloud.succeed("monitor", "--json")]
    outputs += [str(cloud.run("poll", row["jobId"])) for row in cloud.rows()]
    assert len(tokens) == 4
    assert [token for token in tokens for output in outputs if token in output] == []
    assert outputs[1] == ""


async def test_a_running_poll_ends_before_the_daemon_does(cloud: Cloud, tmp_path: Path) -> None:
    (arn,) = cloud.start({"record": {"id": "slow", "data": {"completionPolls": 1, "delaySeconds": 3}}})
    with cloud.daemon(tmp_path / "log", **SLOW) as daemon:
        until(lambda: cloud.rows()[0]["attemptCount"] == 1)
        assert daemon.stop() == 0
        assert [line["event"] for line in daemon.lines()][-4:] == [
            "scheduler.draining", "answer.delivered", "poll.completed", "scheduler.stopped",
        ]  # fmt: skip
    assert cloud.outcome(arn)["status"] == "SUCCESS"
    assert cloud.rows()[0]["status"] == "COMPLETED"


async def test_the_drain_ends_with_its_grace_and_the_row_stays_waiting(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put_row(cloud.make_job(delaySeconds=20))
    with cloud.daemon(tmp_path / "log", SCHEDULER_DRAIN_SECONDS="1", **SLOW) as daemon:
        until(lambda: cloud.rows()[0]["attemptCount"] == 1)
        started = time.monotonic()
        assert daemon.stop(signal.SIGINT) == 0
        assert time.monotonic() - started < 5
        assert daemon.events("scheduler.drain_cut_short")
    assert cloud.rows()[0]["status"] == "POLLING"


async def test_a_second_signal_ends_it_at_once(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put_row(cloud.make_job(delaySeconds=20))
    with cloud.daemon(tmp_path / "log", **SLOW) as daemon:
        until(lambda: cloud.rows()[0]["attemptCount"] == 1)
        daemon.process.send_signal(signal.SIGTERM)
        until(lambda: daemon.events("scheduler.draining"))
        assert daemon.stop(signal.SIGTERM, seconds=2) == -signal.SIGTERM


async def test_it_starts_before_its_cloud_and_finds_a_table_that_appears_later(cloud: Cloud, tmp_path: Path) -> None:
    late = f"{cloud.token_table}-late"
    with cloud.daemon(tmp_path / "log", SCHEDULER_TOKEN_TABLE=late) as daemon:
        (began,) = until(lambda: daemon.events("trouble.began"))
        assert began["error"].startswith(f"table {late} does not exist at {cloud.endpoint}, region us-east-1")
        assert daemon.readiness() == (503, {"status": "unready", "reason": "token table: does not exist"})
        cloud.dynamodb.create_table(
            TableName=late,
            KeySchema=[{"AttributeName": "jobId", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "jobId", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        until(lambda: daemon.readiness()[0] == 200)
        assert daemon.events("trouble.over")
        cloud.dynamodb.delete_table(TableName=late)
        until(lambda: daemon.readiness()[0] == 503)
        assert daemon.stop() == 0


async def test_an_endpoint_that_is_down_is_waited_for(cloud: Cloud, tmp_path: Path) -> None:
    with cloud.daemon(tmp_path / "log", AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}") as daemon:
        (first, *_) = until(lambda: daemon.events("trouble.began"))
        assert "could not be used: EndpointConnectionError" in first["error"]
        assert daemon.stop() == 0


@pytest.mark.parametrize("mode", ["direct", "lambda"])
async def test_a_missing_function_is_named_and_costs_no_attempt(cloud: Cloud, tmp_path: Path, mode: str) -> None:
    cloud.put_row(cloud.make_job())
    settings = {
        "SCHEDULER_MODE": mode,
        "SCHEDULER_SOURCE_FUNCTION": "nowhere",
        "SCHEDULER_POLLER_FUNCTION": "nowhere",
    }
    with cloud.daemon(tmp_path / "log", **settings) as daemon:
        (first, *_) = until(lambda: daemon.events("trouble.began"))
        assert daemon.stop() == 0
    assert first["error"].startswith(f"function nowhere does not exist at {cloud.endpoint}, region us-east-1")
    assert cloud.rows()[0]["attemptCount"] == 0


async def test_a_check_longer_than_the_interval_holds_up_no_tick_and_is_not_made_twice(
    cloud: Cloud, tmp_path: Path
) -> None:
    cloud.put_row(cloud.make_job(delaySeconds=4))
    with cloud.daemon(tmp_path / "log", SCHEDULER_INTERVAL_SECONDS="1") as daemon:
        first, *_ = until(lambda: daemon.events("poll.in_progress"))
        assert len(daemon.events("tick.finished")) >= 2
        assert daemon.events("tick.skipped") == []
        assert first["attempt"] == 1


async def test_the_health_check_asks_the_daemon(cloud: Cloud, tmp_path: Path) -> None:
    port = {"SCHEDULER_HTTP_PORT": str(free_port())}
    assert cloud.run("healthcheck", **port).returncode == 1
    with cloud.daemon(tmp_path / "log", **port) as daemon:
        until(lambda: daemon.readiness()[0] == 200)
        assert json.loads(cloud.succeed("healthcheck", **port))["status"] == "ready"
        taken = cloud.run("run", **port)
    assert taken.returncode == 1
    assert taken.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{port['SCHEDULER_HTTP_PORT']}" in taken.stderr
