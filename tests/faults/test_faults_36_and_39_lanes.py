"""Faults 36 and 39: a source whose service refuses checks, and one of which every check hangs."""

import json
from typing import Any

import pytest

from tests.faults.world import MODES, Daemon, Kind, World, until

# What Lambda itself says in place of the function: it did not run. With the statuses of Lambda's own model.
REFUSALS = {
    "TooManyRequestsException": 429,
    "ServiceException": 500,
    "EC2ThrottledException": 502,
    "ENILimitReachedException": 502,
    "KMSAccessDeniedException": 502,
    "ResourceNotReadyException": 502,
    "EFSMountFailureException": 403,
    "EFSMountTimeoutException": 408,
    "EFSIOException": 410,
    "SnapStartNotReadyException": 409,
    "ResourceConflictException": 409,
}


def shown(daemon: Daemon) -> str:
    """Give all that a person sees of a daemon's trouble."""
    return json.dumps(daemon.readiness()[1])


def test_fault_36_every_job_completes_at_a_source_that_takes_5_checks_a_second(world: World) -> None:
    world.aws.faults.throttle("Invoke", rate=5, burst=5)
    jobs = [world.add(f"job-{number:02}", row={"maxAttempts": 4}) for number in range(60)]
    with world.daemon() as daemon:
        until(lambda: "throttled" in shown(daemon), 10)
        rows = [world.ended(job, 60) for job in jobs]
        assert daemon.stop() == 0
    assert {(row["status"], row["attemptCount"]) for row in rows} == {("COMPLETED", 1)}
    assert set(world.aws.jobs.all_checks().values()) == {1}
    # Slower, and not only patient: each check that was taken cost few that were refused.
    refused = world.aws.calls["Invoke"] - 60
    assert refused < 150, f"{refused} checks were refused"
    (began,) = daemon.events("trouble.began")
    assert (began["part"], began["reason"], began["unready"]) == ("source poc-simulated-api", "throttled", False)


def test_fault_36_whatever_lambda_says_in_place_of_the_function_spends_nothing(world: World) -> None:
    for code, status in REFUSALS.items():
        world.aws.faults.fail("Invoke", code=code, status=status, containing=f"job-{code}", times=2)
    jobs = [world.add(f"job-{code}", row={"maxAttempts": 1}) for code in REFUSALS]
    with world.daemon():
        rows = [world.ended(job, 60) for job in jobs]
    assert {row["jobId"]: (row["status"], row["attemptCount"]) for row in rows} == {
        f"job-{code}": ("COMPLETED", 1) for code in REFUSALS
    }


def test_fault_36_a_poller_that_lambda_does_not_run_is_invoked_less_often_and_spends_nothing(world: World) -> None:
    world.aws.functions.add("poc-poller", lambda event: {"status": "IN_PROGRESS", "jobId": event["jobId"]})
    refused = world.aws.faults.fail("Invoke", code="TooManyRequestsException", times=None)
    jobs = [world.add(f"job-{number:02}") for number in range(20)]
    with world.daemon(SCHEDULER_MODE="lambda") as daemon:
        until(lambda: "throttled" in shown(daemon), 10)
        met = refused.met
        world.ticks(daemon, more=5)
        # A second of ticks of 0.2 s, each with 20 rows due, would be a hundred invocations.
        assert refused.met - met < 60
        assert {world.row(job)["attemptCount"] for job in jobs} == {0}
        refused.cancel()
        until(lambda: world.aws.calls["Invoke"] > refused.met + 20, 60)


@pytest.mark.parametrize("kind", ["daemon", "lambda"])
def test_fault_36_a_source_that_is_never_reached_spends_nothing(world: World, kind: Kind) -> None:
    world.install_poller()
    refused = world.aws.faults.fail("Invoke", code="TooManyRequestsException", times=None, containing="CHECK_STATUS")
    jobs = [world.add(f"job-{number}", row={"maxAttempts": 1}) for number in range(3)]
    with world.daemon(**MODES[kind]) as daemon:
        refused.wait(6, seconds=60)
        until(lambda: "source" in shown(daemon), 10)
        assert {world.row(job)["status"] for job in jobs} == {"POLLING"}
        refused.cancel()
        rows = [world.ended(job, 60) for job in jobs]
    assert {(row["status"], row["attemptCount"]) for row in rows} == {("COMPLETED", 1)}


def test_fault_39_of_a_source_that_hangs_the_answers_that_wait_are_still_delivered(world: World) -> None:
    pending: Any = {"output": '{"jobId": "kept"}', "tries": 1}
    for number in range(6):
        world.add(f"hung-{number}", always="hang")
    with world.daemon(SCHEDULER_CONCURRENCY="2", SCHEDULER_CHECK_TIMEOUT_SECONDS="60", SCHEDULER_DRAIN_SECONDS="0"):
        until(lambda: sum(world.aws.jobs.all_checks().values()) == 2)
        kept = world.add("kept", row={"pendingAnswer": pending})
        assert world.ended(kept, 5)["status"] == "COMPLETED"
    assert world.aws.jobs.checks("kept") == 0


def test_fault_39_a_lane_that_is_full_takes_no_more_rows_and_holds_up_no_tick(world: World) -> None:
    jobs = [world.add(f"hung-{number}", always="hang") for number in range(10)]
    settings = {"SCHEDULER_CONCURRENCY": "2", "SCHEDULER_CHECK_TIMEOUT_SECONDS": "60", "SCHEDULER_DRAIN_SECONDS": "0"}
    with world.daemon(**settings) as daemon:
        until(lambda: sum(world.aws.jobs.all_checks().values()) == 2)
        ticks = world.ticks(daemon, more=5)
        # Two are polled, and two wait in the lane's queue, until no slot has become free for a second.
        assert {tick["left"] for tick in ticks} <= {6, 8}
        assert daemon.events("tick.skipped") == []
        assert daemon.readiness()[0] == 200
    assert sorted(world.row(job)["attemptCount"] for job in jobs) == [0] * 8 + [1] * 2
