"""Workflows are polled to their end with nobody at the keyboard, in both modes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cloud import Cloud, until

FAST = {"intervalSeconds": 1}
FOREIGN_POLLER = Path(__file__).with_name("foreign_poller.py")

MODES = [
    pytest.param({"SCHEDULER_MODE": "direct"}, id="direct"),
    pytest.param({"SCHEDULER_SOURCE_BATCH_SIZE": "25"}, id="direct, checks in batches"),
    pytest.param({"SCHEDULER_MODE": "lambda"}, id="lambda"),
    pytest.param({"SCHEDULER_MODE": "lambda", "SCHEDULER_LAMBDA_BATCH_SIZE": "3"}, id="lambda in batches"),
    pytest.param(
        {"SCHEDULER_MODE": "lambda", "SCHEDULER_LAMBDA_BATCH_SIZE": "3", "SCHEDULER_LAMBDA_INVOCATION": "event"},
        id="lambda by events",
    ),
]
BY_CRON = {"SCHEDULER_CRON": "* * * * * *", "SCHEDULER_INTERVAL_SECONDS": ""}


def record(**data: Any) -> dict[str, Any]:
    return {"record": {"id": "e2e", "data": data}, "pollingConfig": FAST}


def asked_exactly_as_often_as_needed(cloud: Cloud) -> bool:
    return all(job["pollCount"] == job["completionPolls"] for job in cloud.jobs())


@pytest.mark.parametrize("mode", [*MODES, pytest.param(BY_CRON, id="direct by cron")])
async def test_each_workflow_ends_as_its_job_deserves(cloud: Cloud, tmp_path: Path, mode: dict[str, str]) -> None:
    with cloud.daemon(tmp_path / "log", **mode) as daemon:
        good, late, bad, endless = cloud.start(
            record(),
            record(completionPolls=4, throttledChecks=1),
            record(failWith="the disk is full"),
            record(completionPolls=1_000) | {"pollingConfig": FAST | {"maxAttempts": 2}},
        )
        output = cloud.outcome(good)
        assert (output["status"], output["result"]["status"]) == ("SUCCESS", "COMPLETED")
        assert output["result"]["result"]["completionPolls"] == output["result"]["attempts"]
        output = cloud.outcome(late)
        assert (output["status"], output["result"]["attempts"]) == ("SUCCESS", 5)
        output = cloud.outcome(bad)
        assert (output["status"], output["error"], output["cause"]) == ("FAILED", "JobFailed", "the disk is full")
        output = cloud.outcome(endless)
        assert (output["status"], output["error"]) == ("FAILED", "MaxAttemptsExceeded")
        until(lambda: {row["status"] for row in cloud.rows()} == {"COMPLETED", "FAILED", "MAX_ATTEMPTS"})
        assert daemon.stop() == 0
    asked = {(job["completionPolls"], job["pollCount"]) for job in cloud.jobs()}
    assert {(most, count) for most, count in asked if most != count} == {(1_000, 2)}


async def test_an_execution_without_input_runs_with_the_defaults(cloud: Cloud, tmp_path: Path) -> None:
    (arn,) = cloud.start({})
    (row,) = cloud.rows()
    assert (row["intervalSeconds"], row["maxAttempts"], row["attemptCount"], row["version"]) == (60, 10, 0, 0)
    with cloud.daemon(tmp_path / "log"):
        until(lambda: cloud.rows()[0]["attemptCount"] == 1)
    assert (cloud.rows()[0]["status"], arn) == ("POLLING", row["executionId"])


async def test_a_job_past_its_time_ends_in_the_timeout_state(cloud: Cloud, tmp_path: Path) -> None:
    (arn,) = cloud.start(record(completionPolls=1_000))
    cloud.dynamodb.update_item(
        TableName=cloud.token_table,
        Key={"jobId": {"S": cloud.rows()[0]["jobId"]}},
        UpdateExpression="SET expiresAt = :past",
        ExpressionAttributeValues={":past": {"S": "2026-01-01T00:00:00Z"}},
    )
    with cloud.daemon(tmp_path / "log"):
        assert (cloud.outcome(arn)["status"], cloud.outcome(arn)["error"]) == ("TIMEOUT", "PollingExpired")


@pytest.mark.parametrize("mode", MODES)
async def test_rows_of_a_foreign_creator_are_polled_like_any_other(
    cloud: Cloud, tmp_path: Path, mode: dict[str, str]
) -> None:
    arns = cloud.start(record(), record(), record())
    cloud.strip_rows()
    with cloud.daemon(tmp_path / "log", **mode):
        assert [cloud.outcome(arn)["status"] for arn in arns] == ["SUCCESS"] * 3
        until(lambda: {row["status"] for row in cloud.rows()} == {"COMPLETED"})
    assert asked_exactly_as_often_as_needed(cloud)


@pytest.mark.parametrize("creator", ["ours", "foreign"])
async def test_a_foreign_poller_that_knows_only_job_ids_works_unchanged(
    cloud: Cloud, tmp_path: Path, creator: str
) -> None:
    name = f"{cloud.poller}-of-{creator}-rows"
    cloud.deploy_function(name, FOREIGN_POLLER, TOKENS=cloud.token_table, SOURCE=cloud.simulated_api)
    arns = cloud.start(record(), record(), record())
    if creator == "foreign":
        cloud.strip_rows()
    settings = {"SCHEDULER_MODE": "lambda", "SCHEDULER_POLLER_FUNCTION": name}
    with cloud.daemon(tmp_path / "log", **settings) as daemon:
        assert [cloud.outcome(arn)["status"] for arn in arns] == ["SUCCESS"] * 3
        until(lambda: {row["status"] for row in cloud.rows()} == {"COMPLETED"})
        # Rows that the foreign poller ended are asked for no more, though it left them in the index.
        ticks = len(daemon.events("tick.finished"))
        until(lambda: [tick["due"] for tick in daemon.events("tick.finished")[ticks + 1 :]] == [0, 0])
    assert asked_exactly_as_often_as_needed(cloud)
    assert all("dueShard" not in row for row in cloud.rows())


async def test_rows_that_cannot_be_understood_stop_nothing_else(cloud: Cloud, tmp_path: Path) -> None:
    (arn,) = cloud.start(record())
    cloud.put_row("no-token", taskToken={"S": ""})
    cloud.put_row("odd-count", attemptCount={"S": "three"})
    cloud.put_row("line\nbreak \x1b[31m", expiresAt={"S": 'to"morrow'})
    with cloud.daemon(tmp_path / "log") as daemon:
        assert cloud.outcome(arn)["status"] == "SUCCESS"
        quarantined = daemon.events("row.quarantined")
    assert {line["job_id"] for line in quarantined} == {"no-token", "odd-count", "line\nbreak \x1b[31m"}
    assert {row["status"] for row in cloud.rows()} == {"COMPLETED", "QUARANTINED"}


async def test_a_token_that_nobody_waits_for_closes_its_row(cloud: Cloud, tmp_path: Path) -> None:
    job_id = cloud.make_job(completionPolls=1)
    cloud.put_row(job_id)
    with cloud.daemon(tmp_path / "log"):
        until(lambda: cloud.rows()[0]["status"] == "CLOSED")


async def test_two_hundred_jobs_due_at_once_are_polled_once_each_before_the_next_fire(
    cloud: Cloud, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: cloud.put_row(cloud.make_job(completionPolls=1_000)), range(200)))
    settings = {
        "SCHEDULER_INTERVAL_SECONDS": "60",
        "SCHEDULER_CHECK_TIMEOUT_SECONDS": "30",
        "SCHEDULER_CONCURRENCY": "16",
        # Held rows are spread over their interval, so that some are polled a second time before it is over.
        "SCHEDULER_HOLD_SECONDS": "0",
    }
    with cloud.daemon(tmp_path / "log", **settings) as daemon:
        until(lambda: sum(job["pollCount"] for job in cloud.jobs()) >= 200, 120)
        assert sum(tick["errors"] for tick in daemon.events("tick.finished")) == 0
    assert len(cloud.jobs()) == 200
    assert {job["pollCount"] for job in cloud.jobs()} == {1}
