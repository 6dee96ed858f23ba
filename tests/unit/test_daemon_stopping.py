"""The daemon's end: at once in every phase with no poll in flight, and within the grace where there are some."""

import asyncio
from typing import Any

import pytest

from scheduler.core.check_replies import Completed, InProgress, Unasked
from scheduler.core.service_calls import Refusal
from tests.unit.daemons import DaemonInMemory, DaemonOf, daemon_of, wall
from tests.virtual_time import in_virtual_time, now

__all__ = ["daemon_of", "wall"]

DONE = Completed({"status": "COMPLETED"})
GONE = Unasked("function jobs does not exist", Refusal.MISSING)


# --- no poll in flight


async def hung_probe(daemon: DaemonInMemory) -> None:
    """Let the table never answer the first probe."""
    daemon.jobs.table.client.hold()
    await daemon.after(1)


async def missing_table(daemon: DaemonInMemory) -> None:
    """Let it wait between two probes."""
    daemon.jobs.table.client.go_down("ResourceNotFoundException")
    await daemon.after(18)


async def hung_first_sweep(daemon: DaemonInMemory) -> None:
    """Let the table never answer what comes after the probe."""
    sweep = daemon.jobs.finder.sweep

    async def hung(now: int, limit: int) -> tuple[int, bool]:
        await asyncio.Event().wait()
        return await sweep(now, limit)

    daemon.jobs.finder.sweep = hung  # type: ignore[method-assign]
    await daemon.after(1)


async def idle(daemon: DaemonInMemory) -> None:
    """Let nothing be due."""
    await daemon.after(1)


async def hung_finding(daemon: DaemonInMemory) -> None:
    """Let the table never answer a tick."""
    await daemon.after(1)
    daemon.jobs.table.client.hold()
    await daemon.after(5)


async def failed_tick(daemon: DaemonInMemory) -> None:
    """Let the table refuse every tick."""
    await daemon.after(1)
    daemon.jobs.table.client.go_down()
    await daemon.after(20)


async def stopped_lane(daemon: DaemonInMemory) -> None:
    """Let the source be gone, and a tick wait for room."""
    daemon.jobs.add("a")
    daemon.jobs.source.scripts["a"] = [GONE]
    await daemon.after(20)


async def hung_source_probe(daemon: DaemonInMemory) -> None:
    """Let the source never say whether it is there."""
    daemon.jobs.source.probe = asyncio.Event().wait  # type: ignore[method-assign, assignment]
    await daemon.after(1)


async def hung_renewal(daemon: DaemonInMemory) -> None:
    """Let new clients never be made."""
    daemon.clients.gate.clear()
    await daemon.after(1)
    daemon.engine.attention.note_refusal(Refusal.CREDENTIALS)
    await daemon.after(5)
    assert daemon.clients.renewed_at


PHASES = [
    hung_probe,
    missing_table,
    hung_first_sweep,
    idle,
    hung_finding,
    failed_tick,
    stopped_lane,
    hung_source_probe,
    hung_renewal,
]


@pytest.mark.parametrize("reach", PHASES, ids=lambda reach: reach.__name__)
@pytest.mark.parametrize("due", ["scan", "auto"])
@in_virtual_time
async def test_it_ends_at_once_in_every_phase_without_a_poll_in_flight(
    daemon_of: DaemonOf, reach: Any, due: str
) -> None:
    daemon = daemon_of(interval_seconds=2, due=due)
    await reach(daemon)
    assert daemon.engine.lane.in_flight == 0
    assert await daemon.stop() < 0.1
    assert len(daemon.lines("scheduler.draining")) == 1
    assert daemon.lines("scheduler.drain_cut_short") == []


@in_virtual_time
async def test_nothing_of_it_goes_on_after_its_end(daemon_of: DaemonOf) -> None:
    daemon = daemon_of({"a": GONE, "b": InProgress()}, interval_seconds=1)
    daemon.jobs.table.client.fail("scan", TimeoutError())
    await daemon.after(3)
    await daemon.stop()
    before, tasks = dict(daemon.jobs.table.client.calls), asyncio.all_tasks() - {asyncio.current_task()}
    assert tasks == set()
    await asyncio.sleep(100)
    assert dict(daemon.jobs.table.client.calls) == before


# --- polls in flight


@in_virtual_time
async def test_polls_in_flight_end_and_no_others_begin(daemon_of: DaemonOf) -> None:
    daemon = daemon_of({f"job-{number}": DONE for number in range(9)}, interval_seconds=1, concurrency=2)
    daemon.jobs.source.hold()
    await daemon.after(2.5)
    stopping = asyncio.create_task(daemon.stop())
    await asyncio.sleep(5)
    assert not stopping.done()
    daemon.jobs.source.let_go()
    assert await stopping == 5
    assert daemon.jobs.statuses().count("C") == 2
    assert sum(daemon.jobs.source.checks.values()) == 2
    assert sum(item["attemptCount"]["N"] == "1" for item in daemon.jobs.table.items.values()) == 2
    assert daemon.lines("scheduler.drain_cut_short") == []


@pytest.mark.parametrize("grace", [0, 3])
@in_virtual_time
async def test_the_drain_ends_with_its_grace_and_leaves_the_rows_for_later(daemon_of: DaemonOf, grace: float) -> None:
    daemon = daemon_of({"a": DONE}, drain_seconds=grace, check_timeout_seconds=600)
    daemon.jobs.source.hold()
    await daemon.after(1)
    assert await daemon.stop() == grace
    assert (daemon.jobs.statuses(), daemon.jobs.answers.calls, daemon.engine.lane.in_flight) == ("P", [], 0)
    assert [line["event"] for line in daemon.lines("scheduler.drain_cut_short", "scheduler.polls_abandoned")] == [
        "scheduler.drain_cut_short"
    ]
    (draining,) = daemon.lines("scheduler.draining")
    assert draining["grace_seconds"] == grace


@in_virtual_time
async def test_an_answer_under_way_has_two_seconds_more_and_is_marked(daemon_of: DaemonOf) -> None:
    daemon = daemon_of({"a": DONE}, drain_seconds=1)
    reply = daemon.jobs.answers.before_reply = asyncio.Event()
    await daemon.after(1)
    stopping = asyncio.create_task(daemon.stop())
    await asyncio.sleep(2)
    reply.set()
    assert await stopping == pytest.approx(2)
    assert (daemon.jobs.statuses(), len(daemon.jobs.answers.calls)) == ("C", 1)
    assert daemon.lines("scheduler.polls_abandoned") == []


@in_virtual_time
async def test_a_poll_that_does_not_end_even_then_is_abandoned(daemon_of: DaemonOf) -> None:
    daemon = daemon_of({"a": DONE}, drain_seconds=1)
    daemon.jobs.answers.before_reply = asyncio.Event()
    await daemon.after(1)
    assert await daemon.stop() == pytest.approx(3)
    assert [line["event"] for line in daemon.lines("scheduler.drain_cut_short", "scheduler.polls_abandoned")] == [
        "scheduler.drain_cut_short",
        "scheduler.polls_abandoned",
    ]
    assert now() == pytest.approx(4)
    daemon.jobs.answers.before_reply.set()


@in_virtual_time
async def test_heartbeats_and_kept_answers_under_way_are_waited_for_too(daemon_of: DaemonOf) -> None:
    daemon = daemon_of({}, interval_seconds=1)
    daemon.jobs.add("kept", pendingAnswer={"M": {"tries": {"N": "0"}, "output": {"S": "{}"}}})
    reply = daemon.jobs.answers.before_reply = asyncio.Event()
    await daemon.after(0.5)
    stopping = asyncio.create_task(daemon.stop())
    await asyncio.sleep(1)
    assert not stopping.done()
    reply.set()
    await stopping
    assert daemon.jobs.statuses() == "C"
