"""What a hostile reader found of lanes: what one source, one row or one long interval does to the others."""

import asyncio
import time
from typing import Any, cast

import pytest

from scheduler.core.outcome import Kind, Outcome
from scheduler.core.service_calls import Refusal
from scheduler.core.trouble import Part, Trouble
from scheduler.engine.lanes import Lane, Listener, Work
from scheduler.engine.poller import Poller
from scheduler.engine.turns import Turn
from tests.faults.world import AddedJob, World, until

NOWHERE = {"SCHEDULER_SOURCE_FUNCTION": "nowhere"}
KEPT: Any = {"output": '{"jobId": "kept"}', "tries": 1}


def beating(world: World, count: int) -> list[AddedJob]:
    row: Any = {"heartbeat": True, "maxAttempts": 1_000, "intervalSeconds": 2}
    return [world.add(f"beats-{number:02}", polls=1_000, row=row) for number in range(count)]


def test_of_60_tasks_each_gets_its_heartbeats_while_their_source_is_missing(world: World) -> None:
    with world.daemon(**NOWHERE) as daemon:
        until(lambda: "does not exist" in daemon.readiness()[1].get("reason", ""))
        jobs = beating(world, 60)
        started = time.monotonic()
        until(lambda: min(len(world.aws.ledger.heartbeats(job.token)) for job in jobs) >= 3, 20)
        # The desk that sends them asks no source, and so none can be said to refuse it anything.
        assert "desk" not in str(daemon.readiness()[1])
        kept = [world.add(f"kept-{number}", row={"pendingAnswer": KEPT}) for number in range(20)]
        assert {world.ended(job, 5)["status"] for job in kept} == {"COMPLETED"}
    assert time.monotonic() - started < 20


def test_a_foreign_row_whose_source_is_missing_is_not_read_again_and_again(world: World) -> None:
    with world.daemon(**NOWHERE) as daemon:
        until(lambda: "does not exist" in daemon.readiness()[1].get("reason", ""))
        world.add("foreign", foreign=True)
        until(lambda: any(tick["left"] for tick in daemon.events("tick.finished")), 20)
        read, seen = world.aws.calls["BatchGetItem"], len(daemon.events("tick.finished"))
        kept = world.add("kept", row={"pendingAnswer": KEPT})
        assert world.ended(kept, 10)["status"] == "COMPLETED"
        world.ticks(daemon, more=5)
        passes = len(daemon.events("tick.finished")) - seen
        # At each pass once for the foreign row and once for each shard; a lane that tries again asks for some more.
        assert world.aws.calls["BatchGetItem"] - read < 10 * passes


HOURLY = {"SCHEDULER_INTERVAL_SECONDS": "3600"}
NEVER = {"SCHEDULER_INTERVAL_SECONDS": "", "SCHEDULER_CRON": "0 0 29 2 *"}  # but at the start


@pytest.mark.parametrize(
    ("operation", "code", "times"),
    [
        ("Invoke", "TooManyRequestsException", 6),
        ("Invoke", "AccessDeniedException", 2),
        ("SendTaskSuccess", "ThrottlingException", 10),
        ("UpdateItem", "ProvisionedThroughputExceededException", 10),
    ],
)
def test_no_job_waits_an_hour_for_trouble_of_a_second(world: World, operation: str, code: str, times: int) -> None:
    refused = world.aws.faults.fail(operation, code=code, times=times)
    jobs = [world.add(f"job-{number}", row={"maxAttempts": 1}) for number in range(3)]
    goes_on = world.add("goes-on", polls=2)
    with world.daemon(**HOURLY) as daemon:
        assert {world.ended(job, 25)["status"] for job in jobs} == {"COMPLETED"}
        until(lambda: daemon.readiness()[0] == 200)
        until(lambda: world.aws.jobs.checks(goes_on.job_id))
    assert refused.met == times
    assert world.aws.jobs.all_checks() == {job.job_id: 1 for job in [*jobs, goes_on]}


def test_a_source_that_denies_access_is_not_called_well_before_it_takes_a_check(world: World) -> None:
    denied = world.aws.faults.fail("Invoke", code="AccessDeniedException", times=None)
    job = world.add()
    with world.daemon(**NEVER) as daemon:
        denied.wait()
        until(lambda: daemon.readiness()[0] == 503)
        probes = world.aws.calls["GetFunctionConfiguration"]
        until(lambda: world.aws.calls["GetFunctionConfiguration"] > probes)
        status, shown = daemon.readiness()
    assert (status, shown.get("reason")) == (503, "source poc-simulated-api: access is denied")
    assert world.row(job)["attemptCount"] == 0


def test_with_a_cron_kept_answers_go_out_between_its_fires_and_no_source_is_asked(world: World) -> None:
    world.aws.faults.fail("SendTaskSuccess", code="ThrottlingException", times=10)
    world.aws.faults.fail("Invoke", code="TooManyRequestsException", times=None, containing="unasked")
    world.aws.faults.late("Invoke", 2, times=None, containing="unasked")  # the others have been asked by then
    ends, goes_on = world.add("ends"), world.add("goes-on", polls=9, row={"intervalSeconds": 1})
    unasked = [world.add(f"unasked-{number}") for number in range(3)]
    with world.daemon(**NEVER) as daemon:
        assert world.ended(ends, 40)["status"] == "COMPLETED"
        until(lambda: daemon.readiness()[0] == 200)
        until(lambda: world.row(goes_on)["nextPollAt"] < time.time() * 1000)
    assert world.aws.jobs.all_checks() == {"ends": 1, "goes-on": 1}
    assert {world.row(job)["attemptCount"] for job in unasked} == {0}


def test_with_a_cron_a_backlog_is_worked_off_once_and_not_again_and_again(world: World) -> None:
    world.aws.faults.late("Invoke", 0.2, times=None)
    row: Any = {"intervalSeconds": 1, "maxAttempts": 1_000}
    jobs = [world.add(f"job-{number:02}", polls=1_000, row=row) for number in range(50)]
    with world.daemon(**NEVER, SCHEDULER_CONCURRENCY="2") as daemon:
        until(lambda: len(world.aws.jobs.all_checks()) == len(jobs), 30)
        until(lambda: daemon.events("tick.finished"), 30)
        assert set(world.aws.jobs.all_checks().values()) == {1}


def test_a_task_gets_its_heartbeats_while_its_job_waits_in_the_queue_of_a_source_that_hangs(world: World) -> None:
    settings = {"SCHEDULER_CONCURRENCY": "2", "SCHEDULER_CHECK_TIMEOUT_SECONDS": "60", "SCHEDULER_DRAIN_SECONDS": "0"}
    for number in range(2):
        world.add(f"hung-{number}", always="hang")
    with world.daemon(**settings):
        until(lambda: sum(world.aws.jobs.all_checks().values()) == 2)
        (job,) = beating(world, 1)
        until(lambda: len(world.aws.ledger.heartbeats(job.token)) >= 3, 15)


def test_rows_that_are_left_alone_are_not_read_at_each_tick(world: World) -> None:
    away: Any = {"executionId": "arn:aws:states:eu-central-1:000000000000:execution:flow:run"}
    for number in range(300):
        world.add(f"away-{number}", row=away)
    with world.daemon() as daemon:
        until(lambda: len(daemon.events("row.left_alone")) == 300)
        world.ticks(daemon)
        read = world.aws.calls["BatchGetItem"]
        world.ticks(daemon, more=5)
        assert world.aws.calls["BatchGetItem"] == read
        assert world.ended(world.add("here"))["status"] == "COMPLETED"


def test_a_check_that_is_throttled_after_an_idle_time_is_no_reason_to_be_unready() -> None:
    now = [0.0]
    refused = Outcome(Kind.UNASKED, "job-1", troubles=(Trouble(Part.SOURCE, "throttled", "", Refusal.THROTTLED),))

    async def work_once(lane: Lane) -> None:
        async def poll() -> list[Outcome]:
            return [refused]

        assert lane.offer(Work(("job-1",), poll, Turn.unlimited()))
        await lane.drained()

    async def starve() -> list[bool]:
        lane = Lane("source", cast("Poller", None), 2, Listener(), lambda: now[0])
        starved = []
        for at in (3_600, 3_620, 3_640):
            now[0] = at
            await work_once(lane)
            starved.append(lane.starved)
        return starved

    assert asyncio.run(starve()) == [False, False, True]
