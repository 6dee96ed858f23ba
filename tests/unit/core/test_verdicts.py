"""When a job is given up, and what its task is told."""

import json

import pytest

from scheduler.core.answers import MAX_CAUSE_LENGTH, Fail, Succeed
from scheduler.core.check_replies import Completed, Failed, InProgress, Report, Unanswered, Unasked
from scheduler.core.instant import parse_iso
from scheduler.core.service_calls import Refusal
from scheduler.core.states import EndState
from scheduler.core.verdicts import answer_for, due, expired, give_up
from tests.fakes import token_row

NOW = parse_iso("2026-01-01T00:30:00Z")


@pytest.mark.parametrize(("attempts", "given_up"), [(9, False), (10, False), (11, True)])
def test_a_job_is_given_up_only_after_its_last_attempt(attempts: int, *, given_up: bool) -> None:
    row = token_row(attempt_count=attempts, max_attempts=10)
    assert (give_up(row) is not None) is given_up


def test_a_job_without_any_attempt_allowed_is_given_up_at_its_first() -> None:
    assert give_up(token_row(attempt_count=1, max_attempts=0)) is not None


@pytest.mark.parametrize(("attempts", "most", "given_up"), [(4, 3, True), (3, 3, False), (10**9, None, False)])
def test_a_row_that_does_not_say_it_gets_as_many_checks_as_its_source_gives(
    attempts: int, most: int | None, *, given_up: bool
) -> None:
    answer = give_up(token_row(attempt_count=attempts, max_attempts=None), most)
    assert (answer is not None) is given_up
    if isinstance(answer, Fail):
        assert answer.cause == "job job-1 had not ended after 3 status checks"


def test_a_row_s_own_most_attempts_win() -> None:
    assert give_up(token_row(attempt_count=5, max_attempts=10), 3) is None


def test_a_job_without_an_expiry_never_expires() -> None:
    assert expired(token_row(expires_at=None), InProgress(), 10**14) is None


def test_a_cause_tells_of_the_last_check_that_failed() -> None:
    row = token_row(attempt_count=11, last_error="job not found")
    cause = "job job-1 had not ended after 10 status checks; the last check that failed: job not found"
    assert give_up(row) == Fail("MaxAttemptsExceeded", cause, EndState.MAX_ATTEMPTS)


# --- the last check past its expiry


@pytest.mark.parametrize(("late", "over"), [(-1, False), (0, True), (1, True)])
@pytest.mark.parametrize(
    "report", [InProgress(), Unanswered("it sleeps"), Unanswered("gone", unknown_job=True)], ids=str
)
def test_a_job_that_has_not_ended_by_its_expiry_has_been_asked_for_the_last_time(
    report: Report, late: int, *, over: bool
) -> None:
    found = expired(token_row(expires_at=NOW), report, NOW + late)
    assert (found is not None) is over
    if found:
        assert (found.end_state, getattr(found, "error", None)) == (EndState.EXPIRED, "PollingExpired")


@pytest.mark.parametrize(("late", "over"), [(0, False), (599_999, False), (600_000, True)])
def test_a_job_whose_source_could_not_be_asked_is_asked_for_ten_minutes_more(late: int, *, over: bool) -> None:
    report = Unasked("throttled", Refusal.THROTTLED)
    assert (expired(token_row(expires_at=NOW), report, NOW + late) is not None) is over


@pytest.mark.parametrize(
    ("report", "error"),
    [
        (InProgress(), "an earlier one"),
        (Unanswered("it sleeps"), "it sleeps"),
        (Unasked("denied", Refusal.DENIED), "denied"),
    ],
    ids=str,
)
def test_the_cause_of_an_expiry_tells_when_it_was_and_what_the_last_check_said(report: Report, error: str) -> None:
    found = expired(token_row(expires_at=NOW, last_error="an earlier one"), report, NOW + 600_000)
    cause = f"job job-1 had not ended by 2026-01-01T00:30:00.000Z; the last check that failed: {error}"
    assert found == Fail("PollingExpired", cause, EndState.EXPIRED)


def test_the_cause_of_an_expiry_never_holds_the_token() -> None:
    row = token_row(expires_at=NOW)
    found = expired(row, Unanswered(f"no task {row.token.reveal()}"), NOW)
    assert isinstance(found, Fail)
    assert row.token.reveal() not in found.cause
    assert str(row.token) in found.cause


@pytest.mark.parametrize(
    ("next_poll_at", "is_due"), [(None, True), (NOW - 1, True), (NOW, True), (NOW + 1, False)], ids=str
)
def test_a_row_is_due_from_its_time_on_and_without_one_at_once(next_poll_at: int | None, *, is_due: bool) -> None:
    assert due(token_row(next_poll_at=next_poll_at), NOW) is is_due


# --- answers


def test_a_completed_job_is_answered_with_the_source_s_whole_reply() -> None:
    found = answer_for(token_row(attempt_count=3), Completed({"status": "COMPLETED", "pages": 2}), NOW)
    assert isinstance(found, Succeed)
    assert json.loads(found.output) == {
        "jobId": "job-1",
        "status": "COMPLETED",
        "completedAt": "2026-01-01T00:30:00.000Z",
        "attempts": 3,
        "result": {"status": "COMPLETED", "pages": 2},
    }


def test_a_failed_job_is_answered_with_its_own_reason() -> None:
    assert answer_for(token_row(), Failed("no paper"), NOW) == Fail("JobFailed", "no paper", EndState.FAILED)


def test_a_long_reason_is_cut_to_what_a_cause_may_hold() -> None:
    found = answer_for(token_row(), Failed("x" * 40_000), NOW)
    assert isinstance(found, Fail)
    assert len(found.cause) == MAX_CAUSE_LENGTH


@pytest.mark.parametrize(
    "report", [InProgress(), Unanswered("it sleeps"), Unasked("throttled", Refusal.THROTTLED)], ids=str
)
def test_nothing_is_answered_unless_the_job_has_ended(report: Report) -> None:
    assert answer_for(token_row(), report, NOW) is None


@pytest.mark.parametrize(("before", "failed"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_job_that_its_source_does_not_know_fails_with_the_third_check_in_a_row(before: int, *, failed: bool) -> None:
    found = answer_for(token_row(unknown_checks=before), Unanswered("no such job", unknown_job=True), NOW)
    expected = Fail("JobUnknown", "3 checks in a row found no such job; no such job", EndState.FAILED)
    assert found == (expected if failed else None)


def test_a_check_that_merely_failed_is_no_unknown_job_however_many_came_before() -> None:
    assert answer_for(token_row(unknown_checks=9), Unanswered("it sleeps"), NOW) is None
