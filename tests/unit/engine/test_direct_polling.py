"""Polling directly, over the clouds in memory."""

import asyncio
import json
from typing import Any

import pytest

from scheduler.core.answers import Fail, PendingAnswer, Succeed, write_pending
from scheduler.core.attributes import Attribute, from_item, to_attribute
from scheduler.core.check_replies import Completed, Failed, InProgress, Report, Unasked
from scheduler.core.instant import parse_iso
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import Found
from scheduler.core.service_calls import Refusal
from scheduler.core.states import EndState
from scheduler.core.trouble import Part
from scheduler.engine.direct_polling import DirectPoller
from scheduler.sources import Source
from scheduler.sources.lambda_function import LambdaSource
from scheduler.sources.unasked import UnaskedSource
from tests.fakes import (
    FakeFunctions,
    FakeSource,
    FakeStepFunctions,
    FakeTokenTable,
    fixed_policy,
    row_item,
    shard_of,
)
from tests.virtual_time import until

START = parse_iso("2026-01-01T00:10:00Z")
MINUTE = 60_000
TOKEN = "AQ-job-1"
DONE = Completed({"status": "COMPLETED", "pages": 2})


class World:
    """One job in all three clouds in memory, and as many pollers for it as a test wants."""

    def __init__(self, *script: Report | Exception, **changes: Attribute | None) -> None:
        self.now = START
        self.table = FakeTokenTable()
        self.table.put(row_item(**changes))
        self.answers = FakeStepFunctions()
        self.answers.wait(TOKEN)
        self.script = FakeSource({"job-1": script})
        self.source: Source = self.script
        self.policy = fixed_policy()

    def poller(self, check_timeout: float = 10) -> DirectPoller:
        return DirectPoller(self.table, self.answers, self.source, self.policy, check_timeout, lambda: self.now)

    async def due(self) -> list[Found]:
        return [row async for page in self.table.finder().pages(self.now) for row in page.rows]

    async def tick(self, check_timeout: float = 10) -> list[Outcome]:
        """Poll what is due, then let a minute pass."""
        outcomes = await self.poller(check_timeout).poll(await self.due(), self.now)
        self.now += MINUTE
        return outcomes

    def row(self) -> dict[str, Any]:
        return from_item(self.table.items["job-1"])


async def test_a_job_is_polled_until_it_has_ended_and_its_task_answered_once() -> None:
    world = World(InProgress(), DONE)
    kinds = [outcome.kind for _ in range(4) for outcome in await world.tick()]
    assert kinds == [Kind.IN_PROGRESS, Kind.ENDED]
    (answer,) = world.answers.ledger[TOKEN]
    assert isinstance(answer, Succeed)
    assert json.loads(answer.output) == {
        "jobId": "job-1",
        "status": "COMPLETED",
        "completedAt": "2026-01-01T00:11:00.000Z",
        "attempts": 2,
        "result": DONE.result,
    }


async def test_a_row_that_has_ended_keeps_nothing_that_could_find_it_again() -> None:
    world = World(DONE, **shard_of("job-1"), nextPollAt={"N": str(START)})
    await world.tick()
    row = world.row()
    assert (row["status"], row["attemptCount"], row["version"]) == ("COMPLETED", 1, 2)
    assert not row.keys() & {"dueShard", "nextPollAt", "pendingAnswer"}
    assert await world.due() == []


async def test_the_first_claim_of_a_foreign_row_adds_what_the_index_needs() -> None:
    world = World(InProgress())
    await world.tick()
    row = world.row()
    assert (row["version"], row["dueShard"], row["nextPollAt"]) == (1, 3, START + MINUTE)


@pytest.mark.parametrize(
    ("script", "changes", "error", "state"),
    [
        (Failed("no paper"), {}, "JobFailed", "FAILED"),
        (InProgress(), {"maxAttempts": {"N": "2"}}, "MaxAttemptsExceeded", "MAX_ATTEMPTS"),
        (InProgress(), {"expiresAt": {"S": "2026-01-01T00:11:30Z"}}, "PollingExpired", "EXPIRED"),
    ],
)
async def test_a_job_that_does_not_complete_fails_its_task(
    script: Report, changes: dict[str, Attribute], error: str, state: str
) -> None:
    world = World(script, **changes)
    for _ in range(4):
        await world.tick()
    (answer,) = world.answers.ledger[TOKEN]
    assert isinstance(answer, Fail)
    assert (answer.error, world.row()["status"]) == (error, state)


async def test_a_check_past_its_deadline_is_a_spent_attempt() -> None:
    world = World(InProgress())
    world.script.hold()
    (outcome,) = await world.tick(check_timeout=0)
    assert outcome.kind is Kind.CHECK_FAILED
    assert outcome.error == "the source gave no reply within 0 s"
    assert (world.row()["attemptCount"], world.row()["lastError"]) == (1, outcome.error)
    assert world.script.in_flight == 0


async def test_a_check_that_was_refused_spends_nothing_and_the_row_keeps_its_place() -> None:
    world = World(Unasked("busy", Refusal.THROTTLED), DONE, nextPollAt={"N": str(START - 5_000)})
    (outcome,) = await world.tick()
    assert (outcome.kind, [trouble.part for trouble in outcome.troubles]) == (Kind.UNASKED, [Part.SOURCE])
    assert (world.row()["attemptCount"], world.row()["nextPollAt"]) == (0, START - 5_000)
    (outcome,) = await world.tick()
    assert (outcome.end_state, world.row()["attemptCount"]) == (EndState.COMPLETED, 1)


async def test_a_source_that_is_not_asked_spends_nothing_but_sends_heartbeats_and_kept_answers() -> None:
    world = World(DONE, heartbeat={"BOOL": True})
    world.source = UnaskedSource()
    await world.source.probe()
    (outcome,) = await world.tick()
    assert (outcome.kind, world.row()["attemptCount"], world.answers.heartbeats[TOKEN]) == (Kind.UNASKED, 0, 1)
    world.table.items["job-1"]["pendingAnswer"] = to_attribute(write_pending(PendingAnswer(Succeed("{}"))))
    (outcome,) = await world.tick()
    assert (outcome.end_state, world.row()["attemptCount"]) == (EndState.COMPLETED, 0)
    assert world.answers.ledger[TOKEN] == [Succeed("{}")]


async def test_whoever_asks_is_told_how_each_claim_went() -> None:
    world, told = World(DONE), []
    due = await world.due()

    def claimed(*, won: bool) -> None:
        told.append(won)

    for _ in range(2):
        await world.poller().poll(due, START, claimed)
    assert told == [True, False]


async def test_a_poll_without_a_claim_tells_nobody_of_one() -> None:
    world = World(DONE, source={"S": "another"})

    def claimed(*, won: bool) -> None:
        pytest.fail(f"there was no claim, won or not: {won}")

    (outcome,) = await world.poller().poll(await world.due(), START, claimed)
    assert outcome.kind is Kind.LEFT_ALONE


async def test_the_source_itself_is_what_is_probed() -> None:
    functions = FakeFunctions()
    world = World()
    world.source = LambdaSource(functions, "jobs")
    await world.poller().probe()
    assert functions.probed == ["jobs"]


async def test_rows_of_one_call_have_their_outcomes_in_their_order() -> None:
    world = World(InProgress())
    world.table.put(row_item("job-2", expiresAt={"S": ""}))
    outcomes = await world.poller().poll([*reversed(await world.due())], START)
    assert [(outcome.job_id, outcome.kind) for outcome in outcomes] == [
        ("job-2", Kind.ENDED),
        ("job-1", Kind.IN_PROGRESS),
    ]


async def test_a_malformed_row_is_quarantined_and_its_task_left_waiting() -> None:
    world = World(DONE, expiresAt={"S": "tomorrow"})
    (outcome,) = await world.tick()
    assert outcome.end_state is EndState.QUARANTINED
    assert world.row()["status"] == "QUARANTINED"
    assert world.row()["lastError"] == "expiresAt (type S) must be an ISO 8601 timestamp"
    assert world.answers.calls == []


# --- faults


async def test_two_replicas_that_found_one_row_check_it_once() -> None:
    world = World(DONE)
    due = await world.due()
    outcomes = await asyncio.gather(world.poller().poll(due, START), world.poller().poll(due, START))
    assert sorted(outcome.kind for (outcome,) in outcomes) == [Kind.ENDED, Kind.LOST]
    assert (world.script.checks["job-1"], len(world.answers.ledger[TOKEN])) == (1, 1)


async def test_a_row_that_ended_after_it_was_found_is_lost() -> None:
    world = World(DONE)
    due = await world.due()
    await world.tick()
    (outcome,) = await world.poller().poll(due, START)
    assert (outcome.kind, world.script.checks["job-1"]) == (Kind.LOST, 1)


async def test_a_claim_that_was_throttled_leaves_the_row_due() -> None:
    world = World(DONE)
    world.table.fail_next_writes()
    (outcome,) = await world.tick()
    assert (outcome.kind, world.row()["attemptCount"]) == (Kind.UNREACHED, 0)
    assert [row.job_id for row in await world.due()] == ["job-1"]


async def test_a_claim_whose_reply_was_lost_is_polled_again_after_its_lease() -> None:
    world = World(DONE)
    world.table.lose_next_reply()
    kinds = [outcome.kind for _ in range(2) for outcome in await world.tick()]
    assert kinds == [Kind.UNREACHED, Kind.ENDED]
    assert world.row()["attemptCount"] == 2


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException", "InternalError"])
async def test_an_answer_that_does_not_get_through_is_sent_later_without_a_check_or_an_attempt(code: str) -> None:
    world = World(DONE)
    world.answers.fail_next(3, code)
    kinds = [outcome.kind for _ in range(2) for outcome in await world.tick()]
    assert kinds == [Kind.DEFERRED, Kind.ENDED]
    assert (world.script.checks["job-1"], world.row()["attemptCount"], world.row()["status"]) == (1, 1, "COMPLETED")
    assert len(world.answers.ledger[TOKEN]) == 1


async def test_an_answer_that_arrived_though_its_reply_was_lost_closes_the_row() -> None:
    world = World(DONE)
    world.answers.lose_next_reply()
    (outcome,) = await world.tick()
    assert (outcome.end_state, world.row()["status"]) == (EndState.CLOSED, "CLOSED")
    assert len(world.answers.ledger[TOKEN]) == 1


async def test_an_answer_that_arrived_before_all_else_failed_closes_the_row() -> None:
    world = World(DONE)
    world.answers.lose_next_reply()
    world.answers.fail_next(2)
    kinds = [outcome.kind for _ in range(2) for outcome in await world.tick()]
    assert kinds == [Kind.DEFERRED, Kind.ENDED]
    assert (world.row()["status"], len(world.answers.ledger[TOKEN])) == ("CLOSED", 1)


async def test_a_task_that_was_stopped_ends_its_row() -> None:
    world = World(DONE)
    world.answers.stop(TOKEN)
    (outcome,) = await world.tick()
    assert (outcome.end_state, world.row()["status"]) == (EndState.CLOSED, "CLOSED")
    assert TOKEN not in world.row()["lastError"]
    assert await world.due() == []


async def test_a_poller_that_died_before_its_mark_leads_to_no_second_answer() -> None:
    world = World(DONE)
    world.script.on_check = lambda: world.table.fail_next_writes(3)
    await world.tick()
    world.script.on_check = lambda: None
    world.policy = fixed_policy()  # that of another process, which knows of no answer
    await world.tick()
    assert (len(world.answers.calls), len(world.answers.ledger[TOKEN])) == (2, 1)
    assert await world.due() == []


async def test_a_mark_that_failed_is_made_by_the_next_poll_and_the_task_is_not_answered_again() -> None:
    world = World(DONE)
    world.script.on_check = lambda: world.table.fail_next_writes(3)
    await world.tick()
    await world.tick()
    assert (len(world.answers.calls), world.row()["status"], world.row()["attemptCount"]) == (1, "COMPLETED", 1)


async def test_a_mark_that_failed_shows_and_the_row_stays_waiting() -> None:
    world = World(DONE)
    world.script.on_check = lambda: world.table.fail_next_writes(3)
    (outcome,) = await world.tick()
    assert outcome.unmarked == "ThrottlingException: as the test asked for"
    assert world.row()["status"] == "POLLING"


async def test_a_mark_that_failed_once_is_tried_again_and_the_row_ends_in_its_true_state() -> None:
    world = World(DONE)
    world.script.on_check = world.table.fail_next_writes
    await world.tick()
    assert (world.row()["status"], len(world.answers.ledger[TOKEN])) == ("COMPLETED", 1)


async def test_a_poll_cancelled_before_its_answer_sends_none() -> None:
    world = World(DONE)
    world.script.hold()
    polling = asyncio.create_task(world.tick())
    await until(lambda: world.script.in_flight)
    polling.cancel()
    await asyncio.wait([polling])
    assert polling.cancelled()
    assert (world.answers.calls, world.row()["status"]) == ([], "POLLING")


async def test_a_poll_cancelled_after_its_answer_still_marks_its_row() -> None:
    world = World(DONE)
    world.answers.before_reply = asyncio.Event()
    polling = asyncio.create_task(world.tick())
    await world.answers.applied.wait()
    polling.cancel()
    world.answers.before_reply.set()
    await asyncio.wait([polling])
    assert world.row()["status"] == "COMPLETED"
