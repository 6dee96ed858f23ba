"""Faults 24, 39 and 60 with two sources: what one of them does, the jobs of the other do not notice."""

import json
import time
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest

from tests.faults.world import HOLDING, World, until

SECOND: Any = {"intervalSeconds": 1, "maxAttempts": 1_000}
CLAIMS = {"SCHEDULER_HOLD_SECONDS": "0"}


class Punctual:
    """A function that answers at once, and notes when it was asked of which job."""

    def __init__(self, world: World) -> None:
        self.times: defaultdict[str, list[float]] = defaultdict(list)
        world.aws.functions.add("punctual", self.check)

    async def check(self, event: Any) -> Any:
        self.times[event["jobId"]].append(time.monotonic())
        return {"status": "IN_PROGRESS"}

    def longest_gap(self, since: float) -> float:
        """Give the longest time between two checks of a job since then, and up to now."""
        now = time.monotonic()
        gaps = [
            later - earlier
            for times in self.times.values()
            for earlier, later in pairwise([since, *(at for at in times if at > since), now])
        ]
        return max(gaps)


def sources(**limits: Any) -> dict[str, str]:
    return {
        "SCHEDULER_SOURCE_FUNCTION": "punctual",
        "SCHEDULER_DRAIN_SECONDS": "0",
        "SCHEDULER_CONCURRENCY": "8",
        "SCHEDULER_INTERVAL_SECONDS": "0.5",
        "SCHEDULER_SOURCES": json.dumps({"reports": {"lambda": {"function": "reports-source"}, **limits}}),
    }


def of_reports(world: World, count: int, **behaviour: Any) -> list[str]:
    world.aws.functions.add_source("reports-source")
    row: Any = {"source": "reports", "maxAttempts": 100}
    return [world.add(f"reports-{number:03}", row=row, **behaviour).job_id for number in range(count)]


@pytest.mark.parametrize("settings", [HOLDING, CLAIMS], ids=["held", "claim by claim"])
@pytest.mark.parametrize("trouble", ["hang", "slow", "throttled"])
def test_fault_24_and_39_one_source_with_many_jobs_leaves_those_of_the_other_on_time(
    world: World, trouble: str, settings: dict[str, str]
) -> None:
    punctual = Punctual(world)
    of_reports(world, 300, always=trouble, slow_seconds=2.0)
    with world.daemon(**sources(timeout_seconds=4), **settings) as daemon:
        until(lambda: len(world.aws.jobs.all_checks()) >= 8)
        ids = [world.add(f"punctual-{number}", row=SECOND).job_id for number in range(10)]
        until(lambda: punctual.times.keys() >= set(ids))
        since = time.monotonic()
        until(lambda: time.monotonic() > since + 8, 20)
        # The machine of a test may be busy; alone they would be asked once a second.
        assert punctual.longest_gap(since) < 3
        assert daemon.readiness()[0] == 200 or trouble == "throttled"


def test_fault_24_a_source_has_slots_and_a_deadline_of_its_own(world: World) -> None:
    Punctual(world)
    hung = of_reports(world, 10, always="hang")
    with world.daemon(**sources(timeout_seconds=1, concurrency=3), **HOLDING) as daemon:
        until(lambda: len(world.aws.jobs.all_checks()) == 10)
        late = until(lambda: daemon.events("poll.check_failed"))
    assert {line["error"] for line in late} == {"the source gave no reply within 1 s"}
    assert {line["job_id"] for line in late} <= set(hung)


def test_fault_60_a_source_that_denies_access_is_named_spends_nothing_and_recovers(world: World) -> None:
    punctual = Punctual(world)
    denied = world.aws.faults.fail("Invoke", code="AccessDeniedException", times=None, containing="reports-0")
    jobs = of_reports(world, 3, polls=1)
    with world.daemon(**sources(), **HOLDING) as daemon:
        until(lambda: daemon.readiness()[1].get("reason") == "source reports: access is denied", 20)
        world.add("punctual", row=SECOND)
        until(lambda: len(punctual.times["punctual"]) >= 3, 20)
        denied.cancel()
        rows = [world.ended(job, 60) for job in jobs]
        until(lambda: daemon.readiness()[0] == 200)
    assert {(row["status"], row["attemptCount"]) for row in rows} == {("COMPLETED", 1)}


def test_fault_20_a_row_of_a_source_that_is_not_known_here_is_polled_by_the_daemon_that_knows_it(world: World) -> None:
    Punctual(world)
    jobs = of_reports(world, 20, polls=1)
    with world.daemon(**HOLDING, SCHEDULER_SOURCE_FUNCTION="punctual") as stranger:
        world.ticks(stranger, more=5)
        assert stranger.readiness() == (200, stranger.readiness()[1])
        assert len(stranger.events("source.unknown")) == 1
        assert {world.row(job)["attemptCount"] for job in jobs} == {0}
        with world.daemon(**sources(), **HOLDING):
            rows = [world.ended(job, 30) for job in jobs]
    assert {row["status"] for row in rows} == {"COMPLETED"}


@pytest.mark.parametrize("settings", [HOLDING, CLAIMS], ids=["held", "claim by claim"])
def test_a_row_of_its_job_its_token_and_its_status_alone_is_polled_to_its_end(
    world: World, settings: dict[str, str]
) -> None:
    bare: Any = dict.fromkeys(["executionId", "createdAt", "expiresAt", "attemptCount", "maxAttempts"])
    jobs = [world.add(f"bare-{number}", polls=2, foreign=True, row=bare) for number in range(30)]
    world.aws.functions.add_source("reports-source")
    most: Any = bare | {"source": "reports"}
    endless = world.add("endless", polls=1_000, foreign=True, row=most)
    named = sources(max_attempts=2) | {"SCHEDULER_SOURCE_FUNCTION": "poc-simulated-api"}
    with world.daemon(**named, **settings):
        rows = [world.ended(job, 60) for job in jobs]
        given_up = world.ended(endless, 90)
    assert {(row["status"], row["attemptCount"]) for row in rows} == {("COMPLETED", 2)}
    assert (given_up["status"], world.aws.jobs.checks("endless")) == ("MAX_ATTEMPTS", 2)
    assert "expiresAt" not in rows[0]
