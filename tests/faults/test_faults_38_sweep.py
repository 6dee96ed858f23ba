"""Fault 38: the sweep for foreign rows is long or throttled, and nobody waits for it."""

import time
from typing import Any

from scheduler.core.attributes import to_attribute
from scheduler.engine.sweep import PAGE_ROWS, ROWS_A_SECOND
from tests.faults.world import World, until

ENDED: dict[str, Any] = {"status": {"S": "COMPLETED"}, "taskToken": {"S": "spent"}}


def store_ended_rows(world: World, count: int) -> None:
    """Store rows that ended long ago: a sweep reads them all."""
    for first in range(0, count, 25):
        puts: Any = [
            {"PutRequest": {"Item": {"jobId": to_attribute(f"ended-{first + n}"), **ENDED}}} for n in range(25)
        ]
        world.dynamodb.batch_write_item(RequestItems={world.table: puts})


def test_fault_38_no_tick_waits_for_a_long_sweep(world: World) -> None:
    store_ended_rows(world, 4_000)
    with world.daemon() as daemon:
        until(lambda: world.aws.calls["Scan"] >= 2)
        for number in range(4):
            started = time.monotonic()
            world.ended(world.add(f"job-{number}"))
            assert time.monotonic() - started < 1.5
        # Within the budget, give or take the page that is under way.
        scans, started = world.aws.calls["Scan"], time.monotonic()
        world.ticks(daemon, more=10)
        pages = (time.monotonic() - started) * ROWS_A_SECOND / PAGE_ROWS
        assert world.aws.calls["Scan"] - scans <= pages + 2
        assert max(tick["duration_ms"] for tick in daemon.events("tick.finished")) < 1_000
        started = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - started < 5


def test_fault_38_sigterm_does_not_wait_for_a_sweep_that_hangs(world: World) -> None:
    with world.daemon() as daemon:
        world.ticks(daemon)
        hangs = world.aws.faults.never_answer("Scan", times=None)
        hangs.wait()
        started = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - started < 5
        hangs.cancel()


def test_fault_38_a_sweep_that_is_throttled_goes_on_where_it_was(world: World) -> None:
    store_ended_rows(world, 1_500)
    # Three of four scans are refused, the SDK's own tries among them: one that began anew would never see the end.
    world.aws.faults.fail("Scan", code="ProvisionedThroughputExceededException", fraction=0.75, seed=1)
    foreign = [world.add(f"foreign-{number}", foreign=True) for number in range(20)]
    with world.daemon() as daemon:
        assert {world.ended(job, 90)["status"] for job in foreign} == {"COMPLETED"}
        assert daemon.readiness()[0] == 200
