"""What a hostile reader found of the surroundings: trouble of one part that was charged to jobs it does not concern."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.world import World, until


def test_refused_heartbeats_end_no_check_that_is_under_way(world: World) -> None:
    refused = world.aws.faults.fail("SendTaskHeartbeat", code="AccessDeniedException", times=None)
    world.add("beats", polls=10_000, row={"heartbeat": True, "maxAttempts": 10_000})
    world.aws.faults.late("Invoke", 6, times=None, containing="slow")
    slow = [world.add(f"slow-{number}", row={"maxAttempts": 3}) for number in range(5)]
    with world.daemon(SCHEDULER_CHECK_TIMEOUT_SECONDS="30"):
        rows = [world.ended(job, 40) for job in slow]
        assert refused.met > 10
    assert {(row["status"], row["attemptCount"]) for row in rows} == {("COMPLETED", 1)}
    assert {world.aws.jobs.checks(job.job_id) for job in slow} == {1}


def test_a_file_of_credentials_that_is_half_written_ends_nothing(world: World, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    good = "[default]\naws_access_key_id = {}\naws_secret_access_key = test\n"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del world.environment[name]
    endpoint = world.environment.pop("AWS_ENDPOINT_URL")
    world.environment |= {f"AWS_ENDPOINT_URL_{service}": endpoint for service in ("DYNAMODB", "LAMBDA", "SFN")}
    credentials.write_text(good.format("FIRST"), "utf-8")
    with world.daemon(AWS_SHARED_CREDENTIALS_FILE=str(credentials), AWS_CONFIG_FILE="/dev/null") as daemon:
        world.ticks(daemon)
        credentials.write_text("[default\naws_access_key_id", "utf-8")
        refused = world.aws.faults.fail("*", code="ExpiredTokenException", times=None, signed_by="FIRST")
        job = world.add()
        refused.wait(6)
        credentials.write_text(good.format("SECOND"), "utf-8")
        assert world.ended(job)["status"] == "COMPLETED"
        assert daemon.stop() == 0


def test_a_row_whose_numbers_cannot_be_counted_on_is_quarantined_and_halts_nobody(world: World) -> None:
    numbers: dict[str, Any] = {
        "version": {"version": {"N": "1E+40"}},
        "attempts": {"attemptCount": {"N": "9.9E+60"}, "maxAttempts": {"N": "1E+100"}},
    }
    odd = [world.add(name, row=row) for name, row in numbers.items()]
    jobs = [world.add(f"job-{number:02}") for number in range(20)]
    with world.daemon() as daemon:
        assert {world.ended(job)["status"] for job in jobs} == {"COMPLETED"}
        assert {world.ended(job)["status"] for job in odd} == {"QUARANTINED"}
        assert daemon.readiness()[0] == 200
        assert daemon.events("trouble.began") == []


def test_an_answer_of_the_last_check_survives_a_throttled_keep(world: World) -> None:
    throttled = world.aws.faults.fail("SendTaskSuccess", code="ThrottlingException", times=None)
    # The claim is taken; the keep and the SDK's own two tries of it are not.
    code = "ProvisionedThroughputExceededException"
    world.aws.faults.fail("UpdateItem", code=code, times=3, containing="pendingAnswer")
    job = world.add(row={"maxAttempts": 1})
    with world.daemon():
        until(lambda: "pendingAnswer" in world.row(job), 15)
        throttled.cancel()
        row = world.ended(job)
    assert (row["status"], world.answers(job)) == ("COMPLETED", ["SendTaskSuccess"])
    assert world.aws.jobs.checks(job.job_id) == 1


def test_answers_to_tasks_that_are_long_gone_hold_up_no_other_answer(world: World) -> None:
    for number in range(60):
        world.aws.faults.fail("SendTask*", code="InvalidToken", times=None, containing=f"stale-{number:02}")
        world.add(f"stale-{number:02}")
    with world.daemon():
        until(lambda: all("pendingAnswer" in row or row["status"] == "CLOSED" for row in world.rows().values()))
        for number in range(3):
            assert world.ended(world.add(f"good-{number}"), 5)["status"] == "COMPLETED"


@pytest.mark.parametrize(("operation", "part"), [("SendTask*", "answers"), ("UpdateItem", "token table")])
def test_a_part_that_takes_some_of_what_it_is_asked_is_in_trouble_once(world: World, operation: str, part: str) -> None:
    throttled = world.aws.faults.throttle(operation, rate=15, burst=15)
    jobs = [world.add(f"job-{number:03}") for number in range(100)]
    with world.daemon() as daemon:
        assert {world.ended(job, 60)["status"] for job in jobs} == {"COMPLETED"}
        assert throttled.met
        until(lambda: daemon.readiness()[0] == 200)
        assert [line["part"] for line in daemon.events("trouble.began")] == [part]


def test_a_table_whose_writes_hang_is_not_called_well_before_it_takes_one(world: World) -> None:
    hangs = world.aws.faults.never_answer("UpdateItem", times=None)
    world.add()
    with world.daemon() as daemon:
        hangs.wait(4)
        assert daemon.readiness()[0] == 503
        assert daemon.events("trouble.over") == []
        hangs.cancel()


def test_it_is_said_where_rows_that_others_wrote_cannot_be_looked_for(world: World) -> None:
    denied = world.aws.faults.fail("Scan", code="AccessDeniedException", times=None)
    foreign = world.add(foreign=True)
    with world.daemon() as daemon:
        until(lambda: "access is denied" in str(daemon.readiness()[1].get("warnings")))
        assert daemon.readiness()[0] == 200
        denied.cancel()
        assert world.ended(foreign)["status"] == "COMPLETED"
        until(lambda: "warnings" not in daemon.readiness()[1])


def test_a_name_server_that_hangs_spends_no_attempt(world: World, tmp_path: Path) -> None:
    hanging = """
import socket, time
real = socket.getaddrinfo
def hang(host, *args, **kwargs):
    if host == "lambda.invalid":
        time.sleep(60)
    return real(host, *args, **kwargs)
socket.getaddrinfo = hang
"""
    (tmp_path / "sitecustomize.py").write_text(hanging, "utf-8")
    job = world.add(row={"maxAttempts": 1})
    nowhere = {"PYTHONPATH": str(tmp_path), "AWS_ENDPOINT_URL_LAMBDA": "http://lambda.invalid:4566"}
    with world.daemon(**nowhere, SCHEDULER_CHECK_TIMEOUT_SECONDS="3") as daemon:
        until(lambda: daemon.readiness()[1].get("reason") == "source poc-simulated-api: out of reach", 20)
        until(lambda: "lastError" in world.row(job))
        row = world.row(job)
        assert daemon.stop() == 0
    assert (row["status"], row["attemptCount"]) == ("POLLING", 0)


def test_the_poller_lambda_leaves_a_row_of_another_region_alone(world: World) -> None:
    away = world.add(row={"executionId": "arn:aws:states:eu-central-1:000000000000:execution:flow:run"})
    untouched = world.item(away)
    done = world.poller_lambda({"jobId": away.job_id})
    assert json.loads(done.stdout)["outcome"] == "left_alone"
    assert world.item(away) == untouched
