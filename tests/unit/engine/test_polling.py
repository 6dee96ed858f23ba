"""Polling directly over the clouds in memory, and by invoking a poller of any make."""

import asyncio
import json
from typing import Any

import pytest

from scheduler.core.answers import Fail, Succeed
from scheduler.core.attributes import Attribute, from_item
from scheduler.core.check_replies import Completed, Failed, InProgress, Report
from scheduler.core.instant import parse_iso
from scheduler.core.invocation import Invocation, NoInvocation
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import Found
from scheduler.core.states import EndState
from scheduler.engine.direct_polling import DirectPoller
from scheduler.engine.lambda_polling import LambdaPoller
from tests.fakes import (
    FakeFunctions,
    FakeSource,
    FakeStepFunctions,
    FakeTokenTable,
    fixed_policy,
    row_item,
    shard_of,
    token_row,
)

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
        self.source = FakeSource({"job-1": script})
        self.policy = fixed_policy()

    def poller(self, check_timeout: float = 10) -> DirectPoller:
        return DirectPoller(self.table, self.answers, self.source, self.policy, check_timeout, lambda: self.now)

    async def due(self) -> list[Found]:
        return [row async for row in self.table.find(self.now)]

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
    world.source.hold()
    (outcome,) = await world.tick(check_timeout=0)
    assert outcome.kind is Kind.CHECK_FAILED
    assert outcome.error == "the source gave no reply within 0 s"
    assert (world.row()["attemptCount"], world.row()["lastError"]) == (1, outcome.error)
    assert world.source.in_flight == 0


async def test_rows_of_one_call_have_their_outcomes_in_their_order() -> None:
    world = World(InProgress())
    world.table.put(row_item("job-2", expiresAt=None))
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
    assert (world.source.checks["job-1"], len(world.answers.ledger[TOKEN])) == (1, 1)


async def test_a_row_that_ended_after_it_was_found_is_lost() -> None:
    world = World(DONE)
    due = await world.due()
    await world.tick()
    (outcome,) = await world.poller().poll(due, START)
    assert (outcome.kind, world.source.checks["job-1"]) == (Kind.LOST, 1)


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
    assert (world.source.checks["job-1"], world.row()["attemptCount"], world.row()["status"]) == (1, 1, "COMPLETED")
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
    world.source.on_check = lambda: world.table.fail_next_writes(3)
    await world.tick()
    world.source.on_check = lambda: None
    await world.tick()
    assert (len(world.answers.calls), len(world.answers.ledger[TOKEN])) == (2, 1)
    assert await world.due() == []


async def test_a_mark_that_failed_shows_and_the_row_stays_waiting() -> None:
    world = World(DONE)
    world.source.on_check = lambda: world.table.fail_next_writes(3)
    (outcome,) = await world.tick()
    assert outcome.unmarked == "ThrottlingException: as the test asked for"
    assert world.row()["status"] == "POLLING"


# --- lambda mode


def invoked(reply: Any) -> Invocation:
    return Invocation(json.dumps(reply).encode())


async def ask(reply: Invocation | NoInvocation) -> Outcome:
    (outcome,) = await LambdaPoller(FakeFunctions(reply), "poller", 1).poll([token_row(execution_id="run")], START)
    assert (outcome.job_id, outcome.execution_id) == ("job-1", "run")
    return outcome


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (
            {"status": "IN_PROGRESS", "attempt": 2, "maxAttempts": 9},
            Outcome(Kind.IN_PROGRESS, "job-1", "run", 2, 9, claimed=True),
        ),
        ({"status": "IN_PROGRESS"}, Outcome(Kind.IN_PROGRESS, "job-1", "run", claimed=True)),
        (
            {"status": "IN_PROGRESS", "outcome": "of the future"},
            Outcome(Kind.IN_PROGRESS, "job-1", "run", claimed=True),
        ),
        ({"status": "IN_PROGRESS", "outcome": "lost"}, Outcome(Kind.LOST, "job-1", "run")),
        (
            {"status": "IN_PROGRESS", "outcome": "check_failed", "reason": "it sleeps", "attempt": 1},
            Outcome(Kind.CHECK_FAILED, "job-1", "run", 1, claimed=True, error="it sleeps"),
        ),
        (
            {"status": "IN_PROGRESS", "outcome": "unreached", "reason": "throttled"},
            Outcome(Kind.UNREACHED, "job-1", "run", error="throttled"),
        ),
        (
            {"status": "COMPLETED", "reconnected": True},
            Outcome(Kind.ENDED, "job-1", "run", claimed=True, end_state=EndState.COMPLETED),
        ),
        *(
            ({"status": state.value}, Outcome(Kind.ENDED, "job-1", "run", claimed=True, end_state=state))
            for state in EndState
        ),
    ],
    ids=str,
)
async def test_a_poller_s_reply_is_understood(reply: Any, outcome: Outcome) -> None:
    assert await ask(invoked(reply)) == outcome


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ({"error": "Token not found"}, "the poller replied: Token not found"),
        ({"status": "DONE"}, "the poller's reply has no known status: {'status': 'DONE'}"),
        ({"status": ["COMPLETED"]}, "the poller's reply has no known status: {'status': ['COMPLETED']}"),
        ({"statusCode": 200}, "the poller's reply has no known status: {'statusCode': 200}"),
        (None, "the poller's reply has no known status: None"),
        ([], "the poller's reply has no known status: []"),
        ("COMPLETED", "the poller's reply has no known status: 'COMPLETED'"),
    ],
    ids=str,
)
async def test_a_reply_without_a_known_status_is_no_success(reply: Any, error: str) -> None:
    assert await ask(invoked(reply)) == Outcome(Kind.CHECK_FAILED, "job-1", "run", error=error)


@pytest.mark.parametrize(
    ("reply", "error", "halt"),
    [
        (Invocation(b"<html>"), "the poller's reply is not JSON", False),
        (Invocation(b""), "the poller's reply is not JSON", False),
        (Invocation(b"\xff"), "the poller's reply is not JSON", False),
        (
            Invocation(b'{"errorType": "KeyError", "errorMessage": "id"}', failed=True),
            "the poller raised KeyError: id",
            False,
        ),
        (
            Invocation(b'{"status": "COMPLETED"}', failed=True),
            'the poller raised b\'{"status": "COMPLETED"}\'',
            False,
        ),
        (NoInvocation("denied"), "denied", False),
        (NoInvocation("function poller does not exist", unusable=True), "function poller does not exist", True),
    ],
    ids=str,
)
async def test_a_poller_that_did_not_reply_is_no_success(
    reply: Invocation | NoInvocation, error: str, *, halt: bool
) -> None:
    expected = Outcome(Kind.CHECK_FAILED, "job-1", "run", error=error, halt=halt)
    assert await ask(reply) == expected


async def test_a_foreign_poller_is_asked_for_one_job_by_its_id_alone() -> None:
    functions = FakeFunctions(invoked({"status": "IN_PROGRESS"}))
    await LambdaPoller(functions, "their-poller", 1).poll([token_row()], START)
    assert functions.invocations == [("their-poller", {"jobId": "job-1"})]


async def test_a_batch_is_asked_for_together_and_read_in_its_order() -> None:
    functions = FakeFunctions(invoked({"results": [{"status": "FAILED"}, {"status": "IN_PROGRESS"}]}))
    outcomes = await LambdaPoller(functions, "poller", 5).poll([token_row("b"), token_row("a")], START)
    assert functions.invocations == [("poller", {"jobIds": ["b", "a"]})]
    assert [(outcome.job_id, outcome.kind) for outcome in outcomes] == [("b", Kind.ENDED), ("a", Kind.IN_PROGRESS)]


@pytest.mark.parametrize(
    "reply",
    [{"status": "COMPLETED"}, {"results": [{"status": "COMPLETED"}]}, {"results": {}}, {"error": "jobId?"}, [], None],
    ids=str,
)
async def test_a_batch_reply_of_another_length_or_shape_is_no_success_for_any(reply: Any) -> None:
    outcomes = await LambdaPoller(FakeFunctions(invoked(reply)), "poller", 2).poll(
        [token_row("b"), token_row("a")], START
    )
    error = 'the poller\'s reply has no "results" for its 2 job ids'
    assert [(outcome.job_id, outcome.kind, outcome.error) for outcome in outcomes] == [
        ("b", Kind.CHECK_FAILED, error),
        ("a", Kind.CHECK_FAILED, error),
    ]


async def test_the_poller_itself_is_what_is_probed() -> None:
    functions = FakeFunctions()
    await LambdaPoller(functions, "poller", 1).probe()
    assert functions.probed == ["poller"]


@pytest.mark.parametrize("kind", [[], {}], ids=str)
async def test_an_outcome_of_another_type_is_as_good_as_none(kind: Any) -> None:
    assert (await ask(invoked({"status": "IN_PROGRESS", "outcome": kind}))).kind is Kind.IN_PROGRESS


async def test_a_mark_that_failed_once_is_tried_again_and_the_row_ends_in_its_true_state() -> None:
    world = World(DONE)
    world.source.on_check = world.table.fail_next_writes
    await world.tick()
    assert (world.row()["status"], len(world.answers.ledger[TOKEN])) == ("COMPLETED", 1)


async def test_a_poll_cancelled_after_its_answer_still_marks_its_row() -> None:
    world = World(DONE)
    world.answers.before_reply = asyncio.Event()
    polling = asyncio.create_task(world.tick())
    await world.answers.applied.wait()
    polling.cancel()
    world.answers.before_reply.set()
    await asyncio.wait([polling])
    assert world.row()["status"] == "COMPLETED"
