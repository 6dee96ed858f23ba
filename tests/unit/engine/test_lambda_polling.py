"""Polling by invoking a poller Lambda of any make."""

import json
from typing import Any

import pytest

from scheduler.core.instant import parse_iso
from scheduler.core.invocation import Invocation, NoInvocation
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import Malformed, MalformedRowError
from scheduler.core.service_calls import Refusal
from scheduler.core.states import EndState
from scheduler.core.timing import DEFERRED_SECONDS
from scheduler.core.token import TaskToken
from scheduler.core.trouble import Part, Trouble
from scheduler.engine.lambda_polling import LambdaPoller
from tests.fakes import FakeFunctions, token_row

START = parse_iso("2026-01-01T00:10:00Z")
WORKED = frozenset({Part.SOURCE})


def invoked(reply: Any) -> Invocation:
    return Invocation(json.dumps(reply).encode())


async def ask(reply: Invocation | NoInvocation) -> Outcome:
    (outcome,) = await LambdaPoller(FakeFunctions(reply), "poller", 1).poll([token_row(execution_id="run")], START)
    assert (outcome.job_id, outcome.execution_id) == ("job-1", "run")
    return outcome


def outcome(kind: Kind, **more: Any) -> Outcome:
    """Give an outcome of a poller that works."""
    return Outcome(kind, "job-1", "run", **({"worked": WORKED} | more))


def refused_to_the_poller(part: Part, error: str) -> dict[str, Any]:
    trouble = Trouble(part, "refused to the poller", error, Refusal.UNAVAILABLE)
    again = DEFERRED_SECONDS[1] if part is Part.ANSWERS else 0.0
    return {"error": error, "troubles": (trouble,), "worked": frozenset(), "again_seconds": again}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (
            {"status": "IN_PROGRESS", "attempt": 2, "maxAttempts": 9},
            outcome(Kind.IN_PROGRESS, attempt=2, max_attempts=9, claimed=True),
        ),
        ({"status": "IN_PROGRESS"}, outcome(Kind.IN_PROGRESS, claimed=True)),
        ({"status": "IN_PROGRESS", "outcome": "of the future"}, outcome(Kind.IN_PROGRESS, claimed=True)),
        ({"status": "IN_PROGRESS", "outcome": "lost"}, outcome(Kind.LOST)),
        (
            {"status": "IN_PROGRESS", "outcome": "left_alone", "reason": "elsewhere"},
            outcome(Kind.LEFT_ALONE, error="elsewhere"),
        ),
        (
            {"status": "IN_PROGRESS", "outcome": "check_failed", "reason": "it sleeps", "attempt": 1},
            outcome(Kind.CHECK_FAILED, attempt=1, claimed=True, error="it sleeps"),
        ),
        (
            {"status": "IN_PROGRESS", "outcome": "unasked", "reason": "throttled"},
            outcome(Kind.UNASKED, claimed=True, **refused_to_the_poller(Part.SOURCE, "throttled")),
        ),
        (
            {"status": "IN_PROGRESS", "outcome": "unasked"},
            outcome(Kind.UNASKED, claimed=True, **refused_to_the_poller(Part.SOURCE, "unasked") | {"error": None}),
        ),
        (
            {"status": "IN_PROGRESS", "outcome": "unreached", "reason": "throttled"},
            outcome(Kind.UNREACHED, **refused_to_the_poller(Part.SOURCE, "throttled")),
        ),
        (
            {"status": "IN_PROGRESS", "outcome": "deferred", "reason": "throttled"},
            outcome(Kind.DEFERRED, claimed=True, **refused_to_the_poller(Part.ANSWERS, "throttled")),
        ),
        (
            {"status": "COMPLETED", "reconnected": True},
            outcome(Kind.ENDED, claimed=True, end_state=EndState.COMPLETED),
        ),
        *(({"status": state.value}, outcome(Kind.ENDED, claimed=True, end_state=state)) for state in EndState),
    ],
    ids=str,
)
async def test_a_poller_s_reply_is_understood(reply: Any, expected: Outcome) -> None:
    assert await ask(invoked(reply)) == expected


@pytest.mark.parametrize("reason", [5, {"why": "busy"}, ["busy"], True], ids=str)
async def test_a_reason_that_is_no_text_is_shown_as_one(reason: Any) -> None:
    reply = {"status": "IN_PROGRESS", "outcome": "check_failed", "reason": reason}
    assert (await ask(invoked(reply))).error == str(reason)


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
    assert await ask(invoked(reply)) == outcome(Kind.CHECK_FAILED, error=error)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Invocation(b"<html>"), "the poller's reply is not JSON"),
        (Invocation(b""), "the poller's reply is not JSON"),
        (Invocation(b"\xff"), "the poller's reply is not JSON"),
        (Invocation(b"[" * 200_000), "the poller's reply is not JSON"),
        (Invocation(b'{"errorType": "KeyError", "errorMessage": "id"}', failed=True), "the poller raised KeyError: id"),
        (Invocation(b'{"status": "COMPLETED"}', failed=True), 'the poller raised b\'{"status": "COMPLETED"}\''),
        (NoInvocation("no reply in time"), "no reply in time"),
    ],
    ids=lambda case: str(case)[:60],
)
async def test_a_poller_that_did_not_reply_is_no_success(reply: Invocation | NoInvocation, error: str) -> None:
    assert await ask(reply) == outcome(Kind.CHECK_FAILED, error=error)


@pytest.mark.parametrize("refusal", Refusal)
async def test_a_poller_that_was_never_run_polled_nothing_and_is_its_lane_s_trouble(refusal: Refusal) -> None:
    trouble = Trouble(Part.SOURCE, refusal.value, "no", refusal)
    expected = Outcome(Kind.UNASKED, "job-1", "run", error="no", troubles=(trouble,), again_seconds=0.0)
    assert await ask(NoInvocation("no", refusal)) == expected


@pytest.mark.parametrize(
    "reply",
    [
        NoInvocation("no task AQ-secret", Refusal.DENIED),
        NoInvocation("no task AQ-secret"),
        invoked({"error": "no task AQ-secret"}),
        invoked({"status": "IN_PROGRESS", "outcome": "deferred", "reason": "no task AQ-secret"}),
        invoked({"status": "no task AQ-secret"}),
        Invocation(b'{"errorType": "E", "errorMessage": "no task AQ-secret"}', failed=True),
    ],
    ids=str,
)
async def test_what_a_poller_says_never_shows_the_token(reply: Invocation | NoInvocation) -> None:
    row = token_row(token=TaskToken("AQ-secret"))
    (ended,) = await LambdaPoller(FakeFunctions(reply), "poller", 1).poll([row], START)
    assert "AQ-secret" not in f"{ended.error} {ended.troubles}"
    assert str(row.token) in str(ended.error)


async def test_a_row_that_cannot_be_understood_is_the_poller_s_affair_too() -> None:
    functions = FakeFunctions(invoked({"status": "QUARANTINED"}))
    row = Malformed("job-1", MalformedRowError("expiresAt", None, "is missing"))
    (ended,) = await LambdaPoller(functions, "poller", 1).poll([row], START)
    assert functions.invocations == [("poller", {"jobId": "job-1"})]
    assert (ended.kind, ended.end_state) == (Kind.ENDED, EndState.QUARANTINED)


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


async def test_each_of_a_batch_that_was_never_run_is_told_so() -> None:
    reply = NoInvocation("busy", Refusal.THROTTLED)
    outcomes = await LambdaPoller(FakeFunctions(reply), "poller", 2).poll([token_row("b"), token_row("a")], START)
    assert [(outcome.job_id, outcome.kind) for outcome in outcomes] == [("b", Kind.UNASKED), ("a", Kind.UNASKED)]


async def test_the_poller_itself_is_what_is_probed() -> None:
    functions = FakeFunctions()
    await LambdaPoller(functions, "poller", 1).probe()
    assert functions.probed == ["poller"]


@pytest.mark.parametrize("kind", [[], {}], ids=str)
async def test_an_outcome_of_another_type_is_as_good_as_none(kind: Any) -> None:
    assert (await ask(invoked({"status": "IN_PROGRESS", "outcome": kind}))).kind is Kind.IN_PROGRESS
