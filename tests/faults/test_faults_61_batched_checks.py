"""Fault 61: checks in batches, at a source that hangs, raises, is refused, or replies in the wrong shape."""

from collections import Counter
from typing import Any

import pytest

from scheduler.settings import PREFIX
from tests.faults.world import MODES, AddedJob, Kind, World, until

BATCHES = {f"{PREFIX}SOURCE_BATCH_SIZE": "25"}
CHECKS = "CHECK_STATUS"


def ended(world: World, jobs: list[AddedJob]) -> set[tuple[str, int]]:
    """Wait until jobs have ended; give their states and attempts."""
    rows = [world.ended(job, 60) for job in jobs]
    return {(row["status"], row["attemptCount"]) for row in rows}


def test_fault_61_jobs_that_are_due_together_are_asked_for_together(world: World) -> None:
    jobs = [world.add(f"job-{number:02}", polls=3) for number in range(60)]
    with world.daemon(**BATCHES) as daemon:
        assert ended(world, jobs) == {("COMPLETED", 3)}
        assert daemon.stop() == 0
    assert set(world.aws.jobs.all_checks().values()) == {3}
    batches = world.aws.jobs.asked_together()
    assert 5 < max(map(len, batches)) <= 25
    assert sum(map(len, batches)) == 180
    assert len(batches) == world.aws.calls["Invoke"] < 60
    assert world.complaints(daemon) == []


WRONG: dict[str, Any] = {
    "no list": {"results": {"job-0": {"status": "COMPLETED"}}},
    "another length": {"results": [{"status": "COMPLETED"}]},
    "no results": {"status": "COMPLETED"},
    "no object": "COMPLETED",
    "raised": RuntimeError("this source knows no jobIds"),
}


@pytest.mark.parametrize("wrong", [*WRONG, "no JSON"])
def test_fault_61_a_reply_of_the_wrong_shape_spends_nothing_and_the_jobs_are_asked_for_one_by_one(
    world: World, wrong: str
) -> None:
    asked: Counter[str] = Counter()

    def source(event: Any) -> Any:
        if "jobIds" not in event:
            asked[event["jobId"]] += 1
            return {"status": "COMPLETED"}
        if isinstance(reply := WRONG.get(wrong), Exception):
            raise reply
        return reply

    world.aws.functions.add("odd", source)
    if wrong == "no JSON":
        world.aws.faults.garble("Invoke", containing="jobIds", times=None)
    jobs = [world.add(f"job-{number}", row={"maxAttempts": 1}) for number in range(6)]
    with world.daemon(SCHEDULER_SOURCE_FUNCTION="odd", **BATCHES) as daemon:
        assert ended(world, jobs) == {("COMPLETED", 1)}
        later = [world.add(f"later-{number}", row={"maxAttempts": 1}) for number in range(3)]
        assert ended(world, later) == {("COMPLETED", 1)}
        (told,) = world.complaints(daemon)
    assert (told["event"], told["source"]) == ("source.asked_one_by_one", "odd")
    assert set(asked.values()) == {1}


@pytest.mark.parametrize("kind", ["daemon", "lambda"])
def test_fault_61_a_batch_that_lambda_does_not_run_spends_nothing_of_any_job(world: World, kind: Kind) -> None:
    world.install_poller(**BATCHES)
    world.aws.faults.fail("Invoke", code="TooManyRequestsException", times=4, containing=CHECKS)
    jobs = [world.add(f"job-{number}", row={"maxAttempts": 1}) for number in range(6)]
    mode = MODES[kind] | {"SCHEDULER_LAMBDA_BATCH_SIZE": "6"}
    with world.daemon(**BATCHES, **mode):
        assert ended(world, jobs) == {("COMPLETED", 1)}
    assert set(world.aws.jobs.all_checks().values()) == {1}
    assert world.aws.jobs.asked_together()


@pytest.mark.parametrize("behaviour", ["unknown_status", "unknown_job", "nan", "not_json", "function_error"])
def test_fault_61_what_the_source_says_of_one_job_concerns_this_job_alone(world: World, behaviour: Any) -> None:
    odd = world.add("odd", always=behaviour, row={"maxAttempts": 2})
    others = [world.add(f"job-{number}", polls=3, row={"maxAttempts": 3}) for number in range(5)]
    with world.daemon(**BATCHES):
        assert world.ended(odd)["status"] in {"MAX_ATTEMPTS", "FAILED"}
        rows = [world.ended(job) for job in others]
    assert {(row["status"], row["attemptCount"]) for row in rows} <= {
        ("COMPLETED", 1),
        ("COMPLETED", 2),
        ("COMPLETED", 3),
    }


def test_fault_61_a_job_that_hangs_costs_those_it_was_asked_for_with_one_attempt_and_no_more(world: World) -> None:
    hung = world.add("hung", always="hang")
    others = [world.add(f"job-{number}", polls=3) for number in range(5)]
    with world.daemon(SCHEDULER_CHECK_TIMEOUT_SECONDS="0.5", **BATCHES) as daemon:
        rows = [world.ended(job) for job in others]
        failed = Counter(line["job_id"] for line in daemon.events("poll.check_failed") if line["job_id"] != "hung")
    assert {row["status"] for row in rows} == {"COMPLETED"}
    assert set(failed.values()) <= {1}
    assert world.row(hung)["status"] == "POLLING"


def test_fault_61_sigterm_ends_checks_that_gather_and_checks_under_way(world: World) -> None:
    for number in range(6):
        world.add(f"hung-{number}", always="hang")
    with world.daemon(SCHEDULER_CHECK_TIMEOUT_SECONDS="60", SCHEDULER_DRAIN_SECONDS="0", **BATCHES) as daemon:
        until(lambda: len(world.aws.jobs.all_checks()) == 6)
        assert daemon.stop(seconds=10) == 0
