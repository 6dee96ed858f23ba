"""Faults 13 and 14: replies that are errors, break off, are no JSON, or never come."""

import json
import time
from typing import Any

import pytest

from scheduler.core.timing import READ_TIMEOUT_SECONDS, lease_seconds
from tests.faults.world import AddedJob, Daemon, World, until

HTML_PAGE: dict[str, Any] = {"body": b"<html>sorry</html>"}
FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "500": ("fail", {"code": "InternalServerError"}),
    "503": ("fail", {"code": "ServiceUnavailable"}),
    "reset": ("drop_reply", {"applied": False}),
    "reset-applied": ("drop_reply", {"applied": True}),
    "truncated": ("truncate", {}),
    "page": ("garble", {"applied": False} | HTML_PAGE),
    "page-applied": ("garble", {"applied": True} | HTML_PAGE),
    "gateway": ("garble", {"status": 502, "applied": False}),
}
STEPS: dict[str, dict[str, Any]] = {
    "claim": {"operation": "UpdateItem"},
    "check": {"operation": "Invoke"},
    "answer": {"operation": "SendTaskSuccess"},
    "mark": {"operation": "UpdateItem", "skip": 1},
}
APPLIED = {"reset-applied", "truncated", "page-applied"}


def order(world: World, fault: str, **choice: Any) -> Any:
    method, how = FAULTS[fault]
    return getattr(world.aws.faults, method)(**(how | choice))


def see_ended(world: World, daemon: Daemon, jobs: list[AddedJob]) -> None:
    """Wait until all rows have ended.

    Ends the leases of those that are left, which are of claims that no reply told of. It is safe with one daemon: it
    looks for no rows while it polls some.
    """

    def ended() -> bool:
        waiting = [row["jobId"] for row in world.rows().values() if row["status"] == "POLLING"]
        if len(daemon.events("tick.finished")) > ticks[0] + 1:
            ticks[0] = len(daemon.events("tick.finished"))
            for job_id in waiting:
                world.make_due(job_id)
        return not waiting

    ticks = [0]
    until(ended, 60)
    assert {job.job_id for job in jobs} == set(world.rows())


def test_fault_13_broken_replies_at_every_step_of_a_poll(world: World) -> None:
    jobs, orders = {}, []
    for fault in FAULTS:
        for step, choice in STEPS.items():
            job_id = f"{fault}+{step}+"
            jobs[fault, step] = world.add(job_id)
            orders.append(order(world, fault, containing=job_id, **choice))
    with world.daemon() as daemon:
        see_ended(world, daemon, list(jobs.values()))
        assert daemon.stop() == 0
        assert daemon.events("poll.crashed") == []
    assert [one.met for one in orders] == [1] * len(orders)
    for (fault, step), job in jobs.items():
        row, checks = world.row(job), world.aws.jobs.checks(job.job_id)
        ends = {"COMPLETED", "CLOSED"} if step == "answer" and fault in APPLIED else {"COMPLETED"}
        assert row["status"] in ends, (fault, step)
        assert world.answers(job) == ["SendTaskSuccess"], (fault, step)
        assert world.aws.ledger.offered(job.token) <= 2, (fault, step)
        assert 1 <= checks <= (2 if step == "check" else 1), (fault, step)
        assert row["attemptCount"] <= 2, (fault, step)


def test_fault_13_broken_replies_while_looking_for_rows(world: World) -> None:
    jobs = [world.add("ours"), world.add("theirs", foreign=True)]
    operations = ["DescribeTable", "Query", "BatchGetItem", "Scan"]
    orders = [order(world, fault, operation=name) for name in operations for fault in ("page", "truncated")]
    with world.daemon() as daemon:
        rows = [world.ended(job, 60) for job in jobs]
        until(lambda: daemon.readiness()[0] == 200)
        assert daemon.stop() == 0
    assert [one.met for one in orders] == [1] * len(orders)
    assert [line for line in daemon.lines() if "exception" in line] == []
    assert {(row["status"], row["attemptCount"]) for row in rows} == {("COMPLETED", 1)}
    assert [world.answers(job) for job in jobs] == [["SendTaskSuccess"]] * 2


CHECK_TIMEOUT = 0.5
LEASE = lease_seconds(CHECK_TIMEOUT)


def every_step(world: World) -> dict[str, tuple[AddedJob, Any]]:
    """Add a job for each call that a poll makes, whose peer never answers it; gives the jobs and the orders."""

    def hung(operation: str, step: str, **choice: Any) -> Any:
        return world.aws.faults.never_answer(operation, containing=f"{step}+", **choice)

    def throttled(step: str) -> None:
        world.aws.faults.fail("SendTaskSuccess", containing=f"{step}+", code="ThrottlingException", times=3)

    goes_on: dict[str, Any] = {"polls": 2, "row": {"intervalSeconds": 1}}
    steps: dict[str, tuple[AddedJob, Any]] = {}
    # A write's tries in its time too, or it would be luck whether they came before the time was up.
    steps["claim"] = world.add("claim+"), hung("UpdateItem", "claim", times=2)
    steps["check"] = world.add("check+"), hung("Invoke", "check")
    steps["success"] = world.add("success+"), hung("SendTaskSuccess", "success")
    # A failure and a heartbeat do not hold the job's id, but for a reason that does.
    steps["failure"] = world.add("failure+", fail_with="failure+ broke"), hung("SendTaskFailure", "failure")
    steps["mark"] = world.add("mark+"), hung("UpdateItem", "mark", skip=1)
    steps["release"] = world.add("release+", **goes_on), hung("UpdateItem", "release", skip=1, times=2)
    throttled("keep")
    steps["keep"] = world.add("keep+"), hung("UpdateItem", "keep", skip=1, times=2)
    beats = world.aws.faults.never_answer("SendTaskHeartbeat")
    steps["beat"] = world.add("beat+", polls=2, row={"intervalSeconds": 1, "heartbeat": True}), beats
    return steps


def assert_all_ended(world: World, steps: dict[str, tuple[AddedJob, Any]]) -> None:
    assert {step: order.met >= 1 for step, (_, order) in steps.items()} == dict.fromkeys(steps, True)
    ends = {step: world.row(job)["status"] for step, (job, _) in steps.items()}
    assert ends == dict.fromkeys(steps, "COMPLETED") | {"failure": "FAILED"}
    assert {step: len(world.aws.ledger[job.token]) for step, (job, _) in steps.items()} == dict.fromkeys(steps, 1)


def test_fault_14_a_peer_that_never_answers(world: World) -> None:
    """Every call that a poll makes in the daemon, each of another job."""
    steps = every_step(world)
    with world.daemon(SCHEDULER_CHECK_TIMEOUT_SECONDS=str(CHECK_TIMEOUT)) as daemon:
        until(lambda: all(world.row(job)["status"] != "POLLING" for job, _ in steps.values()), LEASE * 3)
        assert daemon.stop() == 0
    assert_all_ended(world, steps)
    # Each poll of a row has ended before its lease: nobody else can have had the row at the same time.
    durations = [line["duration_ms"] / 1000 for line in daemon.lines() if "job_id" in line and "duration_ms" in line]
    assert max(durations) < LEASE
    assert any("no reply within 0.5 s" in line["error"] for line in daemon.events("poll.check_failed"))


def test_fault_14_a_peer_that_never_answers_the_poller_lambda(world: World) -> None:
    """Every call that a poll makes in the Lambda, and its reading of the row; a batch ends within one lease."""
    steps = every_step(world)
    steps["read"] = world.add("read+"), world.aws.faults.never_answer("GetItem", containing="read+", times=2)
    event = {"jobIds": [job.job_id for job, _ in steps.values()]}
    for _ in range(4):
        began = time.monotonic()
        done = world.poller_lambda(event, SCHEDULER_CHECK_TIMEOUT_SECONDS=str(CHECK_TIMEOUT))
        # More jobs than threads take two turns, and the process has to start.
        assert time.monotonic() - began < 2 * LEASE + 10
        assert (done.returncode, len(json.loads(done.stdout)["results"])) == (0, len(steps)), done.stderr
        for job, _ in steps.values():
            world.make_due(job)
        if all(world.row(job)["status"] != "POLLING" for job, _ in steps.values()):
            break
    assert_all_ended(world, steps)


@pytest.mark.parametrize("operation", ["DescribeTable", "GetItem", "Query", "BatchGetItem", "Scan", "GetFunction*"])
def test_fault_14_a_peer_that_never_answers_while_looking_for_rows(world: World, operation: str) -> None:
    """All tries of one call that is made before a poll: what is due is found once the call's time is over."""
    ours, theirs = world.add("ours"), world.add("theirs", foreign=True)
    hung = world.aws.faults.never_answer(operation, times=3)
    with world.daemon(SCHEDULER_CHECK_TIMEOUT_SECONDS=str(CHECK_TIMEOUT)) as daemon:
        rows = [world.ended(job, 4 * READ_TIMEOUT_SECONDS) for job in (ours, theirs)]
        assert daemon.stop() == 0
    assert hung.met >= 1
    assert [row["status"] for row in rows] == ["COMPLETED"] * 2
    assert [world.answers(job) for job in (ours, theirs)] == [["SendTaskSuccess"]] * 2
