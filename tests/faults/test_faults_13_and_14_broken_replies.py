"""Faults 13 and 14: replies that are errors, break off, are no JSON, or never come."""

from typing import Any

from scheduler.core.timing import lease_seconds
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


def test_fault_14_a_peer_that_never_answers(world: World) -> None:
    jobs = {step: world.add(f"{step}+") for step in STEPS}
    # The claim's second try too, or it would be luck whether it came before the time for the whole call was up.
    tries = {"claim": 2, "check": 1, "answer": 1, "mark": 1}
    orders = [
        world.aws.faults.never_answer(containing=f"{step}+", times=tries[step], **choice)
        for step, choice in STEPS.items()
    ]
    check_timeout = 0.5
    with world.daemon(SCHEDULER_CHECK_TIMEOUT_SECONDS=str(check_timeout)) as daemon:
        rows = {step: world.ended(job, lease_seconds(check_timeout) * 2) for step, job in jobs.items()}
        assert daemon.stop() == 0
    assert [one.met for one in orders] == list(tries.values())
    durations = [line["duration_ms"] / 1000 for line in daemon.lines() if "job_id" in line and "duration_ms" in line]
    # Each poll of a row has ended before its lease: nobody else can have had the row at the same time.
    assert max(durations) < lease_seconds(check_timeout)
    assert {step: row["status"] for step, row in rows.items()} == dict.fromkeys(STEPS, "COMPLETED")
    assert {step: row["attemptCount"] for step, row in rows.items()} == {"claim": 1, "check": 2, "answer": 1, "mark": 1}
    assert [world.answers(job) for job in jobs.values()] == [["SendTaskSuccess"]] * len(jobs)
    assert world.aws.jobs.checks("check+") <= 2
    (unanswered,) = daemon.events("poll.check_failed")
    assert "no reply within 0.5 s" in unanswered["error"]
