"""Polling a held row: no claim, no write while its job goes on, and its token is read again for the answer."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from scheduler.core.answers import Fail, Succeed
from scheduler.core.check_replies import Completed, Failed, InProgress, Unanswered, Unasked
from scheduler.core.effects import (
    Check,
    Delivered,
    Delivery,
    Effect,
    Failure,
    Heartbeat,
    Keep,
    Lost,
    Mark,
    Reread,
    Send,
)
from scheduler.core.instant import parse_iso
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.protocol import poll_held
from scheduler.core.row_reader import MalformedRowError
from scheduler.core.states import EndState
from scheduler.core.token import TokenTrace
from scheduler.core.token_row import TokenRow
from tests.fakes import fixed_policy, token_row

NOW = parse_iso("2026-01-01T00:10:00Z")
TAKEN, LATER = Delivery(Delivered.DELIVERED), Delivery(Delivered.DEFERRED, "busy")
WHOLE = token_row(version=4, claim_id="ours", attempt_count=4, entry="e1")


def held(**changes: Any) -> TokenRow:
    row = replace(token_row(version=4, claim_id="ours", attempt_count=4), **changes)
    return row if row.heartbeat or "token" in changes else replace(row, token=TokenTrace(row.token))


def run(row: TokenRow, *told: Any) -> tuple[list[Effect], Outcome]:
    """Run a poll with what it is told; gives its effects and its outcome."""
    polling, results = poll_held(row, fixed_policy(), NOW), iter(told)
    return _run(polling, results)


def _run(polling: Any, results: Iterator[Any]) -> tuple[list[Effect], Outcome]:
    effects: list[Effect] = []
    result: Any = None
    try:
        while True:
            effects.append(polling.send(result))
            result = next(results)
    except StopIteration as end:
        outcome: Outcome = end.value
        return effects, outcome


@pytest.mark.parametrize(
    ("report", "kind"),
    [
        (InProgress(), Kind.IN_PROGRESS),
        (Unanswered("hm"), Kind.CHECK_FAILED),
        (Unanswered("who?", unknown_job=True), Kind.CHECK_FAILED),
        (Unasked("busy", None), Kind.UNASKED),
    ],
)
def test_a_job_that_goes_on_costs_one_check_and_nothing_else(report: Any, kind: Kind) -> None:
    effects, outcome = run(held(), report)
    assert [type(effect) for effect in effects] == [Check]
    assert (outcome.kind, outcome.claimed, outcome.attempt) == (kind, False, 4)


@pytest.mark.parametrize(("report", "answer"), [(Completed("done"), Succeed), (Failed("no paper"), Fail)])
def test_an_answer_goes_out_with_the_token_that_the_row_holds_now(report: Any, answer: type) -> None:
    effects, outcome = run(held(), report, WHOLE, TAKEN, None)
    check, reread, send, mark = effects
    assert isinstance(check, Check)
    assert isinstance(reread, Reread)
    assert isinstance(send, Send)
    assert isinstance(mark, Mark)
    assert (send.token, type(send.answer)) == (WHOLE.token, answer)
    assert (mark.row.attempt_count, mark.row.entry, mark.row.claim_id) == (4, "e1", "ours")
    assert (outcome.kind, outcome.claimed) == (Kind.ENDED, False)


def test_a_row_that_is_held_no_more_is_not_answered_for() -> None:
    effects, outcome = run(held(), Completed("done"), Lost())
    assert [type(effect) for effect in effects] == [Check, Reread]
    assert outcome.kind is Kind.LOST


def test_a_row_that_cannot_be_read_again_is_the_tables_affair() -> None:
    effects, outcome = run(held(), Completed("done"), Failure("no reply"))
    assert [type(effect) for effect in effects] == [Check, Reread]
    assert outcome.kind is Kind.UNREACHED
    assert [trouble.part for trouble in outcome.troubles] == ["token table"]


def test_a_row_that_somebody_broke_meanwhile_is_set_aside() -> None:
    _, outcome = run(held(), Completed("done"), MalformedRowError("taskToken", None, "is missing"), None)
    assert (outcome.kind, outcome.end_state) == (Kind.ENDED, EndState.QUARANTINED)


def test_a_row_whose_attempts_are_used_up_is_given_up_unasked() -> None:
    effects, outcome = run(held(attempt_count=11), WHOLE, TAKEN, None)
    assert [type(effect) for effect in effects] == [Reread, Send, Mark]
    assert outcome.end_state is EndState.MAX_ATTEMPTS


def test_a_row_past_its_expiry_is_asked_for_the_last_time() -> None:
    effects, outcome = run(held(expires_at=NOW), InProgress(), WHOLE, TAKEN, None)
    assert [type(effect) for effect in effects] == [Check, Reread, Send, Mark]
    assert outcome.end_state is EndState.EXPIRED


def test_a_heartbeat_needs_no_reading() -> None:
    effects, outcome = run(held(heartbeat=True), InProgress(), TAKEN)
    assert [type(effect) for effect in effects] == [Check, Heartbeat]
    assert outcome.kind is Kind.IN_PROGRESS


def test_an_answer_that_does_not_get_through_is_kept_and_the_row_is_held_no_more() -> None:
    effects, outcome = run(held(), Completed("done"), WHOLE, LATER, None, LATER, None, LATER, None)
    keep = effects[-1]
    assert isinstance(keep, Keep)
    assert keep.row.attempt_count == 4
    assert (outcome.kind, outcome.unmarked) == (Kind.DEFERRED, None)
