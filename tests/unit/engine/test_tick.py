"""Ticks over the clouds in memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from scheduler.core.answers import Succeed
from scheduler.core.check_replies import Completed, Failed, InProgress, Report, Unanswered
from scheduler.core.instant import Instant, parse_iso
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import Found
from scheduler.core.states import EndState
from scheduler.engine.direct_polling import DirectPoller
from scheduler.engine.poll_log import log_outcome
from scheduler.engine.tick import Ticker, TickReport
from scheduler.errors import CloudError
from scheduler.log import logger
from tests.fakes import (
    MAX_ITEM_BYTES,
    FakeSource,
    FakeStepFunctions,
    FakeTokenTable,
    fixed_policy,
    item_size,
    row_item,
    token_row,
)
from tests.unit.conftest import Logs

NOW = parse_iso("2026-01-01T00:10:00Z")
DONE = Completed({"status": "COMPLETED"})

pytestmark = pytest.mark.usefixtures("logs")


class World:
    """Jobs in all three clouds in memory, and a ticker for them."""

    def __init__(self, jobs: dict[str, Report | Exception], concurrency: int = 8, longest: float = 60) -> None:
        self.table = FakeTokenTable()
        self.answers = FakeStepFunctions()
        self.source = FakeSource({job_id: [line] for job_id, line in jobs.items()})
        for job_id in jobs:
            self.table.put(row_item(job_id))
            self.answers.wait(f"AQ-{job_id}")
        poller = DirectPoller(self.table, self.answers, self.source, fixed_policy(), 10, lambda: NOW)
        self.ticker = Ticker(self.table, poller, concurrency, lambda: NOW, longest)

    async def tick(self) -> dict[str, Any]:
        """Run one tick; gives its figures without the time it took."""
        report = (await self.ticker.run("tick-1")).shown()
        assert report.pop("duration_ms") >= 0
        return report

    def status(self, job_id: str) -> str:
        status: str = self.table.items[job_id]["status"]["S"]
        return status


class ScriptedPoller:
    """Gives the same outcome, without its job id, for every row; notes what it was asked to poll."""

    def __init__(self, outcome: Outcome, batch: int) -> None:
        self.outcome = outcome
        self.batch = batch
        self.polled: list[list[str]] = []

    async def poll(self, rows: Sequence[Found], tick: Instant) -> list[Outcome]:
        assert tick == NOW
        self.polled.append([row.job_id for row in rows])
        return [self.outcome for _ in rows]

    async def probe(self) -> None:
        raise NotImplementedError


def figures(**counts: Any) -> dict[str, Any]:
    zeros = dict.fromkeys(("due", "polled", "claimed", "lost", "completed", "failed", "closed", "errors"), 0)
    return zeros | {"oldest_due_seconds": 0.0, "cut_short": False} | counts


# --- counts


async def test_a_tick_with_nothing_due_does_nothing() -> None:
    assert await World({}).tick() == figures()


async def test_a_tick_counts_what_became_of_its_rows() -> None:
    world = World({"a": DONE, "b": Failed("no paper"), "c": InProgress(), "d": Unanswered("it sleeps")})
    assert await world.tick() == figures(due=4, polled=4, claimed=4, completed=1, failed=1, errors=1)


async def test_a_row_that_is_not_due_is_not_taken() -> None:
    world = World({"a": InProgress()})
    world.table.put(row_item("a", nextPollAt={"N": str(NOW + 1)}))
    assert await world.tick() == figures()


ENDED = Kind.ENDED


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [
        (Outcome(Kind.IN_PROGRESS, "a", claimed=True), {"claimed": 1}),
        (Outcome(Kind.LOST, "a"), {"lost": 1}),
        (Outcome(Kind.LEFT_ALONE, "a"), {}),
        (Outcome(Kind.CHECK_FAILED, "a", claimed=True), {"claimed": 1, "errors": 1}),
        (Outcome(Kind.DEFERRED, "a", claimed=True), {"claimed": 1, "errors": 1}),
        (Outcome(Kind.UNREACHED, "a"), {"errors": 1}),
        (Outcome(Kind.REFUSED, "a"), {"errors": 1}),
        (Outcome(ENDED, "a", claimed=True, end_state=EndState.COMPLETED), {"claimed": 1, "completed": 1}),
        (Outcome(ENDED, "a", claimed=True, end_state=EndState.FAILED), {"claimed": 1, "failed": 1}),
        (Outcome(ENDED, "a", claimed=True, end_state=EndState.EXPIRED), {"claimed": 1, "failed": 1}),
        (Outcome(ENDED, "a", claimed=True, end_state=EndState.MAX_ATTEMPTS), {"claimed": 1, "failed": 1}),
        (Outcome(ENDED, "a", claimed=True, end_state=EndState.CLOSED), {"claimed": 1, "closed": 1}),
        (Outcome(ENDED, "a", end_state=EndState.QUARANTINED), {"errors": 1}),
        (Outcome(ENDED, "a", end_state=EndState.COMPLETED, unmarked="late"), {"completed": 1, "errors": 1}),
    ],
    ids=str,
)
def test_each_outcome_counts_once_in_each_figure_it_belongs_to(outcome: Outcome, counts: dict[str, int]) -> None:
    report = TickReport()
    report.count(outcome)
    assert report.shown() == figures(polled=1, duration_ms=0, **counts)


async def test_a_tick_shows_how_long_the_longest_due_row_has_waited() -> None:
    world = World({"a": InProgress(), "b": InProgress()})
    world.table.put(row_item("a", nextPollAt={"N": str(NOW - 90_500)}))
    world.table.put(row_item("b", nextPollAt={"N": str(NOW - 1_000)}))
    assert (await world.tick())["oldest_due_seconds"] == 90.5


async def test_a_tick_that_lasts_too_long_takes_no_more_rows() -> None:
    world = World({"a": DONE, "b": DONE, "c": DONE}, longest=-1)
    report = await world.tick()
    assert (report["due"], report["polled"], report["cut_short"]) == (1, 1, True)


# --- slots


async def test_no_more_polls_are_in_flight_than_there_are_slots() -> None:
    world = World({f"job-{number}": InProgress() for number in range(20)}, concurrency=3)
    report = await world.tick()
    assert (report["polled"], world.source.most_in_flight) == (20, 3)


async def test_a_slot_is_taken_before_the_next_row_but_one_is_read() -> None:
    world = World({f"job-{number}": InProgress() for number in range(20)}, concurrency=3)
    read: list[str] = []
    find = world.table.find

    async def counted(now: Instant) -> AsyncIterator[Found]:
        async for row in find(now):
            read.append(row.job_id)
            yield row

    world.table.find = counted  # type: ignore[method-assign]
    world.source.hold()
    ticking = asyncio.create_task(world.tick())
    await until(lambda: world.source.in_flight == 3)
    await idle()
    assert (len(read), len(world.ticker._polls)) == (4, 3)
    world.source.let_go()
    assert (await ticking)["polled"] == 20


async def idle() -> None:
    """Let every task run until it waits for something else than its turn."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until(true: Any) -> None:
    """Let the other tasks take turns until something is true."""
    for _ in range(1_000):
        if true():
            return
        await asyncio.sleep(0)
    message = "it never came true"
    raise AssertionError(message)


@pytest.mark.parametrize(
    ("batch", "polled"), [(1, [["a"], ["b"], ["c"]]), (2, [["a", "b"], ["c"]]), (5, [["a", "b", "c"]])]
)
async def test_rows_are_polled_in_batches_and_the_last_may_be_smaller(batch: int, polled: list[list[str]]) -> None:
    poller = ScriptedPoller(Outcome(Kind.LOST, "?"), batch)
    report = await Ticker(World(dict.fromkeys("abc", DONE)).table, poller, 4, lambda: NOW).run("tick-1")
    assert (poller.polled, report.due, report.lost) == (polled, 3, 3)


# --- trouble


async def test_a_table_that_cannot_be_read_is_told_and_not_raised(logs: Logs) -> None:
    world = World({"a": DONE})
    world.table.go_down("table tokens does not exist")
    assert await world.tick() == figures(trouble="table tokens does not exist")
    assert logs()[-1]["trouble"] == "table tokens does not exist"


async def test_what_is_in_flight_is_polled_to_its_end_where_finding_fails() -> None:
    world = World({"a": DONE})
    find = world.table.find

    async def broken(now: Instant) -> AsyncIterator[Found]:
        async for row in find(now):
            yield row
        message = "the second page is lost"
        raise CloudError(message)

    world.table.find = broken  # type: ignore[method-assign]
    assert await world.tick() == figures(due=1, polled=1, claimed=1, completed=1, trouble="the second page is lost")


async def test_a_table_that_cannot_be_written_stops_the_taking_of_rows() -> None:
    world = World({f"job-{number}": DONE for number in range(20)}, concurrency=1)
    world.table.fail_next_writes(20)
    report = await world.tick()
    assert report["trouble"] == "ThrottlingException: as the test asked for"
    assert report["polled"] < 3


async def test_a_source_that_does_not_exist_stops_the_taking_of_rows() -> None:
    gone = Unanswered("function jobs does not exist", unusable=True)
    world = World({f"job-{number}": gone for number in range(20)}, concurrency=1)
    report = await world.tick()
    assert report["trouble"] == "function jobs does not exist"
    assert report["polled"] < 3


async def test_a_job_that_its_source_does_not_know_troubles_no_other() -> None:
    world = World({"a": Unanswered("job not found"), "b": DONE}, concurrency=1)
    assert await world.tick() == figures(due=2, polled=2, claimed=2, completed=1, errors=1)


async def test_a_poll_that_crashes_does_not_end_the_tick(logs: Logs) -> None:
    world = World({"a": RuntimeError("a fault of ours"), "b": DONE}, concurrency=1)
    assert await world.tick() == figures(due=2, polled=2, claimed=1, completed=1, errors=1)
    (crash,) = [line for line in logs() if line["event"] == "poll.crashed"]
    assert (crash["job_id"], crash["level"]) == ("a", "error")
    assert "RuntimeError: a fault of ours" in crash["exception"]


async def test_a_row_that_crashes_its_poller_has_spent_an_attempt() -> None:
    world = World({"a": RuntimeError("a fault of ours")})
    await world.tick()
    assert world.table.items["a"]["attemptCount"] == {"N": "1"}


async def test_a_malformed_row_is_set_aside_while_the_rest_is_polled(logs: Logs) -> None:
    world = World({"a": DONE, "b": DONE, "c": DONE})
    world.table.put(row_item("b", maxAttempts={"S": "ten"}))
    assert await world.tick() == figures(due=3, polled=3, claimed=2, completed=2, errors=1)
    assert [world.status(job_id) for job_id in "abc"] == ["COMPLETED", "QUARANTINED", "COMPLETED"]
    (line,) = [line for line in logs() if line["event"] == "row.quarantined"]
    assert (line["job_id"], line["error"]) == (
        "b",
        "maxAttempts (type S) must be a whole number of 0 or more",
    )


# --- stopping


async def test_a_ticker_that_stops_takes_no_more_rows_and_ends_what_it_has() -> None:
    world = World({f"job-{number}": DONE for number in range(20)}, concurrency=2)
    world.source.hold()
    ticking = asyncio.create_task(world.tick())
    await until(lambda: world.source.in_flight == 2)
    world.ticker.stop_taking()
    world.source.let_go()
    report = await ticking
    assert (report["polled"], report["completed"], len(world.answers.ledger)) == (2, 2, 2)


async def test_a_ticker_that_has_stopped_polls_nothing() -> None:
    world = World({"a": DONE})
    world.ticker.stop_taking()
    assert (await world.tick())["polled"] == 0
    assert world.table.writes == []


async def test_aborted_polls_end_the_tick_and_leave_their_rows_for_later() -> None:
    world = World({"a": DONE, "b": DONE})
    world.source.hold()
    ticking = asyncio.create_task(world.tick())
    await until(lambda: world.source.in_flight == 2)
    world.ticker.abort()
    report = await ticking
    assert (report["due"], report["polled"], world.answers.calls) == (2, 0, [])
    assert [world.status(job_id) for job_id in "ab"] == ["POLLING", "POLLING"]


async def test_a_ticker_gives_every_slot_back() -> None:
    world = World({"a": RuntimeError("a fault of ours"), "b": InProgress()}, concurrency=1)
    for _ in range(3):
        world.table.put(row_item("a"))
        world.table.put(row_item("b"))
        assert (await world.tick())["polled"] == 2


# --- events


async def test_a_tick_ends_with_its_figures_and_every_line_has_its_id(logs: Logs) -> None:
    await World({"a": DONE, "b": InProgress()}).tick()
    assert {line["tick_id"] for line in logs()} == {"tick-1"}
    finished = logs()[-1]
    assert finished["event"] == "tick.finished"
    assert {name: finished[name] for name in figures()} == figures(due=2, polled=2, claimed=2, completed=1)
    assert finished["duration_ms"] >= 0
    assert "trouble" not in finished


ANSWER = Succeed("{}")


@pytest.mark.parametrize(
    ("outcome", "events"),
    [
        (Outcome(Kind.IN_PROGRESS, "a"), ["info poll.in_progress"]),
        (Outcome(Kind.CHECK_FAILED, "a", error="so"), ["warning poll.check_failed"]),
        (Outcome(Kind.DEFERRED, "a", error="so"), ["warning answer.deferred"]),
        (Outcome(Kind.LOST, "a"), ["debug poll.lost"]),
        (Outcome(Kind.LEFT_ALONE, "a", error="so"), ["debug row.left_alone"]),
        (Outcome(Kind.UNREACHED, "a", error="so"), ["error poll.unreached"]),
        (Outcome(ENDED, "a", end_state=EndState.QUARANTINED, error="so"), ["warning row.quarantined"]),
        (
            Outcome(ENDED, "a", end_state=EndState.COMPLETED, answer=ANSWER),
            ["info answer.delivered", "info poll.completed"],
        ),
        (Outcome(ENDED, "a", end_state=EndState.COMPLETED), ["info poll.completed"]),
        (Outcome(ENDED, "a", end_state=EndState.FAILED, answer=ANSWER), ["info answer.delivered", "info poll.failed"]),
        (Outcome(ENDED, "a", end_state=EndState.CLOSED, error="so"), ["warning answer.closed"]),
        (
            Outcome(ENDED, "a", end_state=EndState.COMPLETED, answer=ANSWER, unmarked="late"),
            ["info answer.delivered", "info poll.completed", "warning row.unmarked"],
        ),
    ],
    ids=str,
)
def test_each_outcome_is_logged_under_its_name(logs: Logs, outcome: Outcome, events: list[str]) -> None:
    log_outcome(logger(), outcome, 7)
    assert [f"{line['level']} {line['event']}" for line in logs()] == events
    assert {(line["job_id"], line["duration_ms"], line.get("error")) for line in logs()} == {("a", 7, outcome.error)}


def test_an_outcome_is_logged_with_its_execution_and_attempt(logs: Logs) -> None:
    log_outcome(logger(), Outcome(Kind.IN_PROGRESS, "a", "run", 2, 9), 7)
    (line,) = logs()
    assert (line["execution_id"], line["attempt"], line["max_attempts"]) == ("run", 2, 9)


@pytest.mark.parametrize("line", [DONE, Failed("no paper"), InProgress(), Unanswered("it sleeps"), RuntimeError("bug")])
@pytest.mark.parametrize("code", ["", "InvalidToken", "ThrottlingException", "ValidationException"])
async def test_a_canary_token_is_in_no_line_of_the_log(logs: Logs, line: Report | Exception, code: str) -> None:
    world = World({"a": line})
    world.table.put(row_item("a", taskToken={"S": "AQ-canary"}, heartbeat={"BOOL": True}))
    if code:
        world.answers.fail_next(3, code)
    await world.tick()
    assert logs()
    assert "canary" not in str(logs())


async def polls_the_rest(world: World) -> bool:
    """Tick once with one poison row that is found first; tell whether the others were polled all the same."""
    await world.tick()
    return [world.status(job_id) for job_id in ("b", "c", "d")] == ["COMPLETED"] * 3


def poisoned(**attributes: Any) -> World:
    world = World({"a": DONE, "b": DONE, "c": DONE, "d": DONE}, concurrency=1)
    world.table.put(row_item("a", **attributes))
    return world


async def test_a_row_with_a_second_fault_in_its_version_stops_no_tick() -> None:
    assert await polls_the_rest(poisoned(expiresAt={"S": "tomorrow"}, version={"S": "x"}))


@pytest.mark.parametrize("expires", ["2026-01-01T01:00:00Z", "tomorrow"])
async def test_a_row_that_is_full_stops_no_tick(expires: str) -> None:
    room = MAX_ITEM_BYTES - item_size(row_item("a", expiresAt={"S": expires}, note={"S": ""}))
    assert await polls_the_rest(poisoned(expiresAt={"S": expires}, note={"S": "x" * room}))


async def test_a_row_with_an_interval_beyond_all_numbers_stops_no_tick() -> None:
    assert await polls_the_rest(poisoned(intervalSeconds={"N": "1E+60"}))


def test_a_row_that_the_poller_lambda_found_closed_is_logged(logs: Logs) -> None:
    log_outcome(logger(), Outcome(ENDED, "a", claimed=True, end_state=EndState.CLOSED), 7)
    assert [line["event"] for line in logs()] == ["answer.closed"]


async def test_a_poll_aborted_before_its_first_step_gives_its_slot_back() -> None:
    world = World({"a": InProgress()}, concurrency=1)
    await world.ticker._take([token_row("a")], NOW, TickReport(), logger())
    world.ticker.abort()
    await idle()
    assert not world.ticker._slots.locked()
