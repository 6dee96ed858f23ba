"""Handing due jobs over to the poller Lambda without waiting: what is sent, what is remembered and for how long."""

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from scheduler.core.home import Home
from scheduler.core.instant import parse_iso
from scheduler.core.invocation import NoInvocation
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import Malformed, MalformedRowError
from scheduler.core.service_calls import Refusal
from scheduler.core.token import TaskToken
from scheduler.core.trouble import Part
from scheduler.engine.attention import Attention
from scheduler.engine.dispatch import Dispatch
from scheduler.engine.handing_over import EventPoller, HandedOver
from scheduler.engine.lanes import Lane
from scheduler.engine.poll_log import log_outcome
from scheduler.engine.report import TickReport
from scheduler.log import logger
from scheduler.web.health import Health
from tests.fakes import token_row
from tests.unit.conftest import Logs

NOW = parse_iso("2026-01-01T00:10:00Z")
THROTTLED = NoInvocation("too many events", Refusal.THROTTLED)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Queue:
    """Lambda's queue of events: notes what it is given, and refuses as a test says."""

    def __init__(self, *refusals: NoInvocation | None) -> None:
        self.events: list[Any] = []
        self.probed: list[str] = []
        self._refusals: Iterator[NoInvocation | None] = itertools.chain(refusals, itertools.repeat(None))

    async def hand_over(self, name: str, payload: bytes) -> NoInvocation | None:
        assert name == "poller"
        self.events.append(json.loads(payload))
        return next(self._refusals)

    async def probe(self, name: str) -> None:
        self.probed.append(name)


def memory(most: int = 100, clock: Clock | None = None) -> HandedOver:
    return HandedOver(30, most, clock or Clock())


async def hand_over(queue: Queue, *job_ids: str, batch: int = 10, held: HandedOver | None = None) -> list[Outcome]:
    rows = [token_row(job_id, execution_id="run", next_poll_at=NOW) for job_id in job_ids]
    held = memory() if held is None else held
    return await EventPoller(queue, "poller", batch, held).poll(rows, NOW)


# --- events


async def test_jobs_are_handed_over_together_with_the_time_by_which_they_were_due() -> None:
    queue = Queue()
    outcomes = await hand_over(queue, "b", "a")
    assert queue.events == [{"jobIds": ["b", "a"], "dueBy": NOW}]
    assert outcomes == [
        Outcome(Kind.HANDED_OVER, job_id, "run", worked=frozenset({Part.SOURCE})) for job_id in ("b", "a")
    ]


async def test_with_batches_of_one_a_job_is_handed_over_by_its_id() -> None:
    queue = Queue()
    await hand_over(queue, "a", batch=1)
    assert queue.events == [{"jobId": "a", "dueBy": NOW}]


async def test_a_queue_that_refuses_is_trouble_with_the_poller_and_nothing_is_remembered() -> None:
    held = memory()
    (outcome,) = await hand_over(Queue(THROTTLED), "a", held=held)
    assert (outcome.kind, outcome.error) == (Kind.UNASKED, "too many events")
    (trouble,) = outcome.troubles
    assert (trouble.part, trouble.refusal, len(held)) == (Part.SOURCE, Refusal.THROTTLED, 0)


async def test_an_event_whose_reply_was_lost_may_be_in_the_queue_and_is_remembered() -> None:
    held = memory()
    (outcome,) = await hand_over(Queue(NoInvocation("no reply in time")), "a", held=held)
    assert (outcome.kind, outcome.error) == (Kind.CHECK_FAILED, "no reply in time")
    assert held.holds(token_row("a", next_poll_at=NOW))


async def test_an_event_that_lambda_does_not_take_for_what_is_in_it_is_split_until_one_job_is_left() -> None:
    unfit = NoInvocation("too large", unfit=True)
    queue = Queue(unfit, None, unfit, None, unfit)
    outcomes = await hand_over(queue, "a", "b", "c", "d")
    assert [event["jobIds"] for event in queue.events] == [[*"abcd"], [*"ab"], [*"cd"], ["c"], ["d"]]
    assert [(outcome.job_id, outcome.kind) for outcome in outcomes] == [
        ("a", Kind.HANDED_OVER),
        ("b", Kind.HANDED_OVER),
        ("c", Kind.HANDED_OVER),
        ("d", Kind.CHECK_FAILED),
    ]


async def test_a_row_that_cannot_be_understood_is_handed_over_too() -> None:
    queue = Queue()
    row = Malformed("a", MalformedRowError("maxAttempts", {"S": "ten"}, "must be a number"))
    (outcome,) = await EventPoller(queue, "poller", 5, memory()).poll([row], NOW)
    assert (outcome.kind, queue.events) == (Kind.HANDED_OVER, [{"jobIds": ["a"], "dueBy": NOW}])


async def test_no_token_is_in_what_a_queue_says() -> None:
    row = token_row("a", token=TaskToken("AQ-canary-of-a"))
    refused = NoInvocation("cannot take AQ-canary-of-a", Refusal.UNAVAILABLE)
    (outcome,) = await EventPoller(Queue(refused), "poller", 1, memory()).poll([row], NOW)
    assert "canary" not in str((outcome.error, outcome.troubles))


async def test_the_poller_itself_is_what_is_probed() -> None:
    queue = Queue()
    await EventPoller(queue, "poller", 1, memory()).probe()
    assert queue.probed == ["poller"]


def test_what_was_handed_over_is_told_at_debug_and_counted(logs: Logs) -> None:
    outcome = Outcome(Kind.HANDED_OVER, "a", "run")
    log_outcome(logger(), outcome, 7)
    (line,) = logs()
    assert (line["level"], line["event"], line["job_id"]) == ("debug", "poll.handed_over", "a")
    report, total = TickReport(), TickReport(handed_over=2)
    report.count(outcome)
    total.add(report)
    assert (report.shown()["handed_over"], report.errors, report.claimed, total.handed_over) == (1, 0, 0, 3)


# --- the memory


def test_a_row_is_remembered_while_it_is_due_as_it_was() -> None:
    held = memory()
    row = token_row("a", next_poll_at=NOW)
    assert not held.holds(row)
    held.note([row])
    assert held.holds(row)
    assert not held.holds(token_row("b", next_poll_at=NOW))


def test_a_row_whose_time_has_moved_on_is_handed_over_again_when_it_is_due() -> None:
    held = memory()
    held.note([token_row("a", next_poll_at=NOW)])
    assert not held.holds(token_row("a", next_poll_at=NOW + 1))
    assert len(held) == 0


def test_a_row_of_a_foreign_creator_has_no_time_until_its_first_claim() -> None:
    held = memory()
    held.note([token_row("a")])
    assert held.holds(token_row("a"))
    assert not held.holds(token_row("a", next_poll_at=NOW))


def test_a_row_is_handed_over_again_after_a_while_for_an_event_may_be_lost() -> None:
    clock = Clock()
    held = memory(clock=clock)
    row = token_row("a", next_poll_at=NOW)
    held.note([row])
    clock.now += 29.9
    assert held.holds(row)
    clock.now += 0.1
    assert not held.holds(row)


def test_of_too_many_rows_those_go_first_that_were_not_seen_due_for_the_longest() -> None:
    held = memory(most=3)
    rows = {job_id: token_row(job_id, next_poll_at=NOW) for job_id in "abcde"}
    held.note([rows[job_id] for job_id in "abc"])
    assert held.holds(rows["a"])  # it is due still; b and c have most likely been polled
    held.note([rows["d"], rows["e"]])
    assert [job_id for job_id in rows if held.holds(rows[job_id])] == ["a", "d", "e"]


def test_what_is_over_is_forgotten_though_nobody_asks_for_it() -> None:
    clock = Clock()
    held = memory(clock=clock)
    held.note([token_row(job_id) for job_id in "abc"])
    clock.now += 30
    held.note([token_row("d")])
    assert len(held) == 1


# --- ticks


class Ticks:
    """What finds rows due again and again, and hands them to a lane."""

    def __init__(self, queue: Queue, clock: Clock) -> None:
        held = HandedOver(30, clock=clock)
        self.attention = Attention(Health(clock))
        self.lane = Lane("poller", EventPoller(queue, "poller", 2, held), 4, self.attention, clock)
        self.dispatch = Dispatch(self.lane, None, Home("us-east-1"), 60)
        self.dispatch.handed_over = held.holds

    async def tick(self, rows: Sequence[Any]) -> TickReport:
        self.dispatch.hand(rows, NOW)
        await self.lane.drained()
        return self.attention.take()


@pytest.mark.usefixtures("logs")
async def test_a_job_is_handed_over_once_until_its_row_has_moved_on() -> None:
    queue, clock = Queue(), Clock()
    ticks = Ticks(queue, clock)
    rows = [token_row(job_id, next_poll_at=NOW) for job_id in "abc"]
    assert [(await ticks.tick(rows)).handed_over for _ in range(3)] == [3, 0, 0]
    moved = [*rows[:2], token_row("c", next_poll_at=NOW + 5)]
    assert [(await ticks.tick(moved)).handed_over for _ in range(2)] == [1, 0]
    assert [event["jobIds"] for event in queue.events] == [["a", "b"], ["c"], ["c"]]


@pytest.mark.usefixtures("logs")
async def test_a_queue_that_is_full_slows_the_lane_and_the_jobs_stay_due() -> None:
    queue, clock = Queue(THROTTLED), Clock()
    ticks = Ticks(queue, clock)
    rows = [token_row(job_id, next_poll_at=NOW) for job_id in "ab"]
    report = await ticks.tick(rows)
    assert (report.unasked, report.handed_over, ticks.lane.trouble is not None) == (2, 0, True)
    assert not ticks.dispatch.hand([token_row("c"), token_row("d")], NOW).refused
    assert len(queue.events) == 1  # not yet: the lane waits
    clock.now += 1
    ticks.lane.advance()
    await ticks.lane.drained()
    assert len(queue.events) == 2
