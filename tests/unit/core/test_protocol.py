"""The poll protocol, driven by hand: no cloud, no clock, no luck."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.core.answers import Answer, Fail, PendingAnswer, Succeed
from scheduler.core.check_replies import Completed, Failed, InProgress, Report, Unanswered, Unasked
from scheduler.core.effects import (
    Check,
    Claim,
    Delivered,
    Delivery,
    Effect,
    Failure,
    Heartbeat,
    Keep,
    Lost,
    Mark,
    Pause,
    Quarantine,
    Release,
    Send,
)
from scheduler.core.home import Home
from scheduler.core.instant import Instant, parse_iso
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.poll_turn import Poll
from scheduler.core.protocol import poll, quarantine
from scheduler.core.row_reader import MalformedRowError
from scheduler.core.service_calls import Refusal
from scheduler.core.states import EndState
from scheduler.core.timing import Policy
from scheduler.core.token_doubt import MOST_CLOSED_IN_A_ROW, TRY_EVERY_MS
from scheduler.core.token_row import TokenRow
from scheduler.core.trouble import Part, Trouble
from scheduler.core.verdicts import answer_for
from tests.fakes import fixed_policy, token_row

NOW = parse_iso("2026-01-01T00:10:00Z")
TICK = NOW - 2_000
LEASE_END = NOW + 31_000
NEXT_POLL = TICK + 60_000
DELIVERED = Delivery(Delivered.DELIVERED)
CLOSED = Delivery(Delivered.CLOSED, "TaskTimedOut: it is over")
REFUSED = Delivery(Delivered.REFUSED, "InvalidOutput: it is not JSON")
THROTTLED = Delivery(Delivered.DEFERRED, "ThrottlingException: slow down", Refusal.THROTTLED)
UNKNOWN_TOKEN = Delivery(Delivered.CLOSED, "InvalidToken: no such token", unknown=True)
UNKNOWN = Unanswered("no such job", unknown_job=True)
NO_REPLY = Delivery(Delivered.DEFERRED, "ReadTimeoutError: no reply")
DONE = Completed({"status": "COMPLETED"})
UNASKED = Unasked("TooManyRequestsException: slow down", Refusal.THROTTLED)
FAULT = MalformedRowError("expiresAt", None, "is missing")
KEPT = Succeed('{"kept":1}')


def play(polling: Poll, *told: object) -> tuple[list[Effect], Outcome]:
    """Drive a poll to its end; what it is told must be just what it asks for."""
    effects: list[Effect] = []
    waiting: list[Any] = [None, *told]
    try:
        while waiting:
            effects.append(polling.send(waiting.pop(0)))
    except StopIteration as end:
        assert waiting == []
        outcome: Outcome = end.value
        return effects, outcome
    message = f"the poll goes on after {effects}"
    raise AssertionError(message)


def begin(row: TokenRow, policy: Policy | None = None) -> Poll:
    return poll(row, policy or fixed_policy(), NOW, TICK)


def kinds(effects: list[Effect]) -> list[type]:
    return [type(effect) for effect in effects]


def marked(row: TokenRow, end_state: EndState, now: Instant, error: str | None = None) -> Mark:
    """Give the mark of an end after which the row may be deleted, a week on."""
    purge_at = None if end_state is EndState.QUARANTINED else now // 1_000 + 7 * 86_400
    return Mark(row, end_state, now, error, purge_at)


def decided(row: TokenRow, report: Report) -> Answer:
    found = answer_for(row, report, NOW)
    assert found
    return found


def claimed(**changes: Any) -> tuple[TokenRow, TokenRow]:
    """Give a row as it is found and as its claim leaves it."""
    row = token_row(version=4, **changes)
    return row, row.claimed("claim-1")


# --- the claim


def test_a_poll_claims_its_row_first() -> None:
    row = token_row()
    assert Claim(row, "claim-1", NOW, NEXT_POLL, 3) == next(begin(row))


def test_a_claim_lasts_as_long_as_a_poll_may_take_where_the_interval_is_shorter() -> None:
    effect = next(begin(token_row(interval_seconds=1)))
    assert isinstance(effect, Claim)
    assert effect.until == LEASE_END


def test_a_lost_claim_ends_the_poll_in_silence() -> None:
    effects, outcome = play(begin(token_row()), Lost())
    assert kinds(effects) == [Claim]
    assert (outcome.kind, outcome.claimed, outcome.error) == (Kind.LOST, False, None)


def test_a_claim_that_failed_leaves_the_row_for_later_and_is_the_table_s_trouble() -> None:
    effects, outcome = play(begin(token_row()), Failure("throttled", refusal=Refusal.THROTTLED))
    assert kinds(effects) == [Claim]
    assert (outcome.kind, outcome.claimed, outcome.error) == (Kind.UNREACHED, False, "throttled")
    assert outcome.troubles == (Trouble(Part.TABLE, "throttled", "throttled", Refusal.THROTTLED),)


def test_a_claim_that_was_lost_or_won_is_nobody_s_trouble() -> None:
    row, won = claimed()
    assert play(begin(row), Lost())[1].troubles == ()
    assert play(begin(row), won, InProgress())[1].troubles == ()


def test_no_error_of_a_claim_shows_the_token() -> None:
    row = token_row()
    _, outcome = play(begin(row), Failure(f"no {row.token.reveal()} here"))
    assert row.token.reveal() not in f"{outcome.error} {outcome.troubles}"


def test_a_row_that_its_own_claim_shows_to_be_malformed_is_quarantined() -> None:
    effects, outcome = play(begin(token_row()), FAULT, None)
    assert effects[1:] == [Quarantine("job-1", FAULT, NOW)]
    assert (outcome.kind, outcome.end_state) == (Kind.ENDED, EndState.QUARANTINED)


def test_what_the_claim_returns_counts_and_not_what_was_found() -> None:
    row, won = claimed()
    won = replace(won, max_attempts=0)
    effects, _ = play(begin(row), won, DELIVERED, None)
    assert kinds(effects) == [Claim, Send, Mark]


def test_a_row_that_names_a_source_unknown_here_is_left_alone_without_any_effect() -> None:
    effects, outcome = play(begin(token_row(source="reports")))
    assert effects == []
    assert (outcome.kind, outcome.claimed) == (Kind.LEFT_ALONE, False)


def of_reports(row: TokenRow, **limits: Any) -> Poll:
    """Poll a row of the source "reports", which has these limits."""
    reports = replace(fixed_policy(interval=5, lease=12), **limits)
    return begin(row, replace(fixed_policy(), sources={"reports": reports}))


def test_a_row_of_a_named_source_has_that_source_s_lease_interval_and_most_attempts() -> None:
    row = token_row(source="reports", max_attempts=None, counted=False)
    effects, outcome = play(of_reports(row, max_attempts=1), row.claimed("c"), InProgress(), None)
    assert isinstance(effects[0], Claim)
    assert isinstance(effects[2], Release)
    assert (effects[0].until, effects[2].until) == (NOW + 12_000, TICK + 5_000)
    assert (outcome.kind, outcome.attempt, outcome.max_attempts) == (Kind.IN_PROGRESS, 1, 1)
    used_up = replace(row, attempt_count=1)
    effects, outcome = play(of_reports(used_up, max_attempts=1), used_up.claimed("c"), DELIVERED, None)
    assert (kinds(effects), outcome.end_state) == ([Claim, Send, Mark], EndState.MAX_ATTEMPTS)


def test_a_row_that_bounds_nothing_at_a_source_that_bounds_nothing_is_polled_on_and_on() -> None:
    row = token_row(source="reports", max_attempts=None, expires_at=None, attempt_count=10**6)
    effects, outcome = play(of_reports(row), row.claimed("c"), InProgress(), None)
    assert (kinds(effects), outcome.kind, outcome.max_attempts) == ([Claim, Check, Release], Kind.IN_PROGRESS, None)
    assert "maxAttempts" not in outcome.reply()


def test_a_source_that_says_when_it_may_be_asked_again_says_it_of_all_its_jobs() -> None:
    row, won = claimed()
    _, outcome = play(begin(row), won, Unasked("slow down", Refusal.THROTTLED, 90), None)
    assert outcome.troubles == (Trouble(Part.SOURCE, "throttled", "slow down", Refusal.THROTTLED, 90),)


@pytest.mark.parametrize(
    "home", [Home("eu-west-1"), Home("us-east-1", "111111111111")], ids=["of another region", "of another account"]
)
def test_a_row_whose_execution_is_elsewhere_is_left_alone_without_any_effect(home: Home) -> None:
    effects, outcome = play(begin(token_row(), replace(fixed_policy(), home=home)))
    assert effects == []
    assert (outcome.kind, outcome.claimed, outcome.troubles) == (Kind.LEFT_ALONE, False, ())
    assert str(outcome.error).startswith("its execution is in ")


# --- giving up


@pytest.mark.parametrize("report", [InProgress(), Unanswered("it sleeps")], ids=str)
def test_a_job_past_its_time_is_asked_once_more_and_then_given_up(report: Report) -> None:
    row, won = claimed(expires_at=NOW - 1)
    effects, outcome = play(begin(row), won, report, DELIVERED, None)
    cause = "job job-1 had not ended by 2026-01-01T00:09:59.999Z"
    if isinstance(report, Unanswered):
        cause += "; the last check that failed: it sleeps"
    assert effects[1:] == [
        Check(won),
        Send(row.token, Fail("PollingExpired", cause, EndState.EXPIRED)),
        marked(won, EndState.EXPIRED, NOW),
    ]
    assert outcome.end_state is EndState.EXPIRED


@pytest.mark.parametrize(
    ("report", "end_state"), [(DONE, EndState.COMPLETED), (Failed("no paper"), EndState.FAILED)], ids=str
)
def test_the_end_of_a_job_past_its_time_wins_over_its_expiry(report: Report, end_state: EndState) -> None:
    row, won = claimed(expires_at=NOW - 3_600_000)
    effects, outcome = play(begin(row), won, report, DELIVERED, None)
    assert effects[2:] == [Send(row.token, decided(won, report)), marked(won, end_state, NOW)]
    assert outcome.end_state is end_state


def test_the_check_at_the_very_instant_a_job_expires_is_its_last() -> None:
    row, won = claimed(expires_at=NOW)
    effects, _ = play(begin(row), won, InProgress(), DELIVERED, None)
    assert kinds(effects) == [Claim, Check, Send, Mark]


def test_a_job_past_its_time_whose_source_cannot_be_asked_goes_on_waiting() -> None:
    row, won = claimed(expires_at=NOW - 1)
    effects, outcome = play(begin(row), won, UNASKED, None)
    assert kinds(effects) == [Claim, Check, Release]
    assert outcome.kind is Kind.UNASKED


def test_a_job_long_past_its_time_whose_source_cannot_be_asked_is_given_up() -> None:
    row, won = claimed(expires_at=NOW - 600_000)
    effects, outcome = play(begin(row), won, UNASKED, DELIVERED, None)
    assert kinds(effects) == [Claim, Check, Send, Mark]
    assert outcome.end_state is EndState.EXPIRED


@pytest.mark.parametrize("most", [0, 1, 3])
def test_a_job_gets_just_as_many_checks_as_it_has_attempts(most: int) -> None:
    row, checks, ended = token_row(max_attempts=most), 0, None
    while not ended:
        polling = begin(row)
        next(polling)
        row = row.claimed("claim-1")
        effect = polling.send(row)
        if isinstance(effect, Check):
            checks += 1
            with pytest.raises(StopIteration):
                polling.send(InProgress())
        else:
            ended = effect
    assert checks == most
    cause = f"job job-1 had not ended after {most} status checks"
    assert ended == Send(row.token, Fail("MaxAttemptsExceeded", cause, EndState.MAX_ATTEMPTS))


def test_a_job_past_its_time_and_its_attempts_is_given_up_for_its_attempts_without_a_check() -> None:
    row, won = claimed(expires_at=NOW - 1, attempt_count=10)
    effects, _ = play(begin(row), won, DELIVERED, None)
    assert kinds(effects) == [Claim, Send, Mark]
    assert effects[-1] == marked(won, EndState.MAX_ATTEMPTS, NOW)


def test_a_job_out_of_turn_with_its_attempts_used_up_is_given_up_once_it_has_expired() -> None:
    row = token_row(attempt_count=10, max_attempts=10, next_poll_at=NOW + 1, expires_at=NOW)
    effects, _ = play(begin(row), row.claimed("claim-1"), DELIVERED, None)
    assert kinds(effects) == [Claim, Send, Mark]


# --- in progress


def test_a_job_in_progress_needs_no_write_besides_the_claim() -> None:
    row, won = claimed()
    effects, outcome = play(begin(row), won, InProgress())
    assert effects[1:] == [Check(won)]
    worked = frozenset({Part.TABLE, Part.SOURCE})
    assert Outcome(Kind.IN_PROGRESS, "job-1", row.execution_id, 1, 10, claimed=True, worked=worked) == outcome


@pytest.mark.parametrize("told", [None, Lost(), Failure("throttled")])
def test_an_interval_shorter_than_the_lease_is_kept_by_one_release(told: object) -> None:
    row, won = claimed(interval_seconds=5)
    effects, outcome = play(begin(row), won, InProgress(), told)
    assert effects[2:] == [Release(won, TICK + 5_000, None)]
    assert outcome.kind is Kind.IN_PROGRESS


def test_a_heartbeat_is_sent_while_the_job_is_in_progress() -> None:
    row, won = claimed(heartbeat=True)
    effects, outcome = play(begin(row), won, InProgress(), DELIVERED)
    assert effects[2:] == [Heartbeat(row.token)]
    assert outcome.kind is Kind.IN_PROGRESS


@pytest.mark.parametrize("beat", [THROTTLED, NO_REPLY, REFUSED])
def test_a_heartbeat_that_did_not_get_through_ends_nothing_and_is_told(beat: Delivery) -> None:
    row, won = claimed(heartbeat=True)
    effects, outcome = play(begin(row), won, InProgress(), beat)
    assert kinds(effects) == [Claim, Check, Heartbeat]
    assert (outcome.kind, outcome.end_state) == (Kind.IN_PROGRESS, None)
    reason = "throttled" if beat.refusal else "refused"
    assert outcome.troubles == (Trouble(Part.HEARTBEATS, reason, beat.error, beat.refusal),)


@pytest.mark.parametrize("report", [Unanswered("it sleeps"), UNASKED], ids=str)
def test_a_task_gets_its_heartbeat_while_its_source_does_not_answer(report: Report) -> None:
    row, won = claimed(heartbeat=True)
    effects, outcome = play(begin(row), won, report, DELIVERED, None)
    assert kinds(effects) == [Claim, Check, Heartbeat, Release]
    assert outcome.end_state is None


def test_a_task_gets_its_heartbeat_while_its_answer_waits() -> None:
    row, won = claimed(heartbeat=True)
    told = (won, DONE, THROTTLED, None, THROTTLED, None, THROTTLED, None, DELIVERED)
    effects, outcome = play(begin(row), *told)
    assert kinds(effects)[-2:] == [Keep, Heartbeat]
    assert outcome.kind is Kind.DEFERRED


def test_a_heartbeat_that_finds_the_token_closed_ends_a_row_whose_answer_waits() -> None:
    row, won = claimed(heartbeat=True)
    told = (won, DONE, THROTTLED, None, THROTTLED, None, THROTTLED, None, CLOSED, None)
    effects, outcome = play(begin(row), *told)
    assert effects[-1] == marked(won, EndState.CLOSED, NOW, CLOSED.error)
    assert outcome.end_state is EndState.CLOSED


def test_a_heartbeat_that_finds_the_token_closed_ends_the_row() -> None:
    row, won = claimed(heartbeat=True)
    effects, outcome = play(begin(row), won, InProgress(), CLOSED, None)
    assert effects[3:] == [marked(won, EndState.CLOSED, NOW, CLOSED.error)]
    assert (outcome.kind, outcome.end_state, outcome.answer) == (Kind.ENDED, EndState.CLOSED, None)


@pytest.mark.parametrize("report", [DONE, Failed("no paper")])
def test_no_heartbeat_is_sent_for_a_job_that_has_ended(report: Report) -> None:
    row, won = claimed(heartbeat=True)
    polling = begin(row)
    next(polling)
    polling.send(won)
    assert not isinstance(polling.send(report), Heartbeat)


# --- a check that failed


@pytest.mark.parametrize("interval", [5, 60])
def test_a_check_that_failed_is_noted_and_ends_nothing(interval: int) -> None:
    row, won = claimed(interval_seconds=interval)
    effects, outcome = play(begin(row), won, Unanswered("it sleeps"), None)
    assert effects[2:] == [Release(won, TICK + interval * 1_000, "it sleeps")]
    assert (outcome.kind, outcome.claimed, outcome.error) == (Kind.CHECK_FAILED, True, "it sleeps")
    assert (outcome.end_state, outcome.troubles) == (None, ())


# --- a check that was not made


@pytest.mark.parametrize("refusal", Refusal)
def test_a_check_that_never_reached_the_source_spends_nothing_and_is_the_source_s_trouble(refusal: Refusal) -> None:
    row, won = claimed(unknown_checks=2, next_poll_at=NOW - 5_000)
    effects, outcome = play(begin(row), won, Unasked("no", refusal), None)
    assert effects[2:] == [Release(won, NOW - 5_000, "no", 2, unspent=True)]
    assert (outcome.kind, outcome.claimed, outcome.error) == (Kind.UNASKED, True, "no")
    assert outcome.troubles == (Trouble(Part.SOURCE, refusal.value, "no", refusal),)


@pytest.mark.parametrize(("next_poll_at", "again"), [(None, NOW), (NOW - 9, NOW - 9), (NOW + 99_000, NEXT_POLL)])
def test_a_row_whose_check_was_not_made_keeps_its_place(next_poll_at: int | None, again: int) -> None:
    row, won = claimed(next_poll_at=next_poll_at)
    effects, _ = play(begin(row), won, UNASKED, None)
    (release,) = effects[2:]
    assert isinstance(release, Release)
    assert release.until == again


def test_a_release_that_gives_an_attempt_back_is_tried_again_and_any_other_is_not() -> None:
    row, won = claimed()
    failed = Failure("throttled", refusal=Refusal.THROTTLED)
    effects, outcome = play(begin(row), won, UNASKED, failed, None, failed, None, failed)
    assert kinds(effects)[2:] == [Release, Pause, Release, Pause, Release]
    assert [trouble.part for trouble in outcome.troubles] == [Part.SOURCE, Part.TABLE]
    effects, outcome = play(begin(row), won, Unanswered("it sleeps"), failed)
    assert kinds(effects)[2:] == [Release]
    assert [trouble.part for trouble in outcome.troubles] == [Part.TABLE]


@pytest.mark.parametrize(("before", "after"), [(0, 1), (1, 2)])
def test_a_job_that_its_source_does_not_know_is_counted(before: int, after: int) -> None:
    row, won = claimed(unknown_checks=before)
    effects, outcome = play(begin(row), won, UNKNOWN, None)
    assert effects[2:] == [Release(won, TICK + 60_000, "no such job", after)]
    assert outcome.kind is Kind.CHECK_FAILED


def test_a_job_that_its_source_does_not_know_three_times_in_a_row_fails() -> None:
    row, won = claimed(unknown_checks=2)
    effects, outcome = play(begin(row), won, UNKNOWN, DELIVERED, None)
    assert kinds(effects)[2:] == [Send, Mark]
    assert outcome.answer == Fail("JobUnknown", "3 checks in a row found no such job; no such job", EndState.FAILED)


def test_a_job_that_its_source_knows_again_is_counted_anew() -> None:
    row, won = claimed(unknown_checks=2)
    effects, _ = play(begin(row), won, InProgress(), None)
    assert effects[2:] == [Release(won, TICK + 60_000, None, 0)]


def test_a_job_whose_last_check_may_be_under_way_is_not_given_up_by_a_poll_out_of_turn() -> None:
    row = token_row(attempt_count=10, max_attempts=10, next_poll_at=NOW + 1)
    effects, outcome = play(begin(row))
    assert (effects, outcome.kind) == ([], Kind.LOST)


@pytest.mark.parametrize("next_poll_at", [NOW, None])
def test_a_job_that_is_due_with_its_attempts_used_up_is_given_up(next_poll_at: int | None) -> None:
    row = token_row(attempt_count=10, max_attempts=10, next_poll_at=next_poll_at)
    effects, outcome = play(begin(row), row.claimed("claim-1"), DELIVERED, None)
    assert kinds(effects) == [Claim, Send, Mark]
    assert outcome.end_state is EndState.MAX_ATTEMPTS


def test_an_answer_is_kept_at_once_where_the_retry_budget_is_used_up() -> None:
    row, won = claimed()
    policy = fixed_policy()
    policy.retries.left = 0.5
    effects, outcome = play(begin(row, policy), won, DONE, THROTTLED, None)
    assert kinds(effects)[2:] == [Send, Keep]
    assert outcome.kind is Kind.DEFERRED


def test_retries_cost_and_successes_earn() -> None:
    row, won = claimed()
    policy = fixed_policy()
    play(begin(row, policy), won, DONE, THROTTLED, None, DELIVERED, None)
    assert policy.retries.left == pytest.approx(99.1)


# --- answer, then mark


@pytest.mark.parametrize(
    ("report", "end_state"), [(DONE, EndState.COMPLETED), (Failed("no paper"), EndState.FAILED)], ids=str
)
def test_the_task_is_answered_before_the_row_is_marked(report: Report, end_state: EndState) -> None:
    row, won = claimed()
    effects, outcome = play(begin(row), won, report, DELIVERED, None)
    sent = decided(won, report)
    assert effects[2:] == [Send(row.token, sent), marked(won, end_state, NOW)]
    assert (outcome.kind, outcome.end_state, outcome.answer) == (Kind.ENDED, end_state, sent)
    assert (outcome.claimed, outcome.attempt, outcome.unmarked) == (True, 1, None)


def test_a_lost_mark_is_no_error() -> None:
    row, won = claimed()
    _, outcome = play(begin(row), won, DONE, DELIVERED, Lost())
    assert (outcome.end_state, outcome.error, outcome.unmarked) == (EndState.COMPLETED, None, None)


def test_a_mark_that_fails_is_tried_again_after_a_pause() -> None:
    row, won = claimed()
    effects, outcome = play(begin(row), won, DONE, DELIVERED, Failure("throttled"), None, None)
    assert kinds(effects)[3:] == [Mark, Pause, Mark]
    assert (outcome.end_state, outcome.unmarked) == (EndState.COMPLETED, None)


def test_a_mark_that_fails_three_times_shows_in_the_outcome_and_is_the_table_s_trouble() -> None:
    row, won = claimed()
    failed = Failure("throttled")
    effects, outcome = play(begin(row), won, DONE, DELIVERED, failed, None, failed, None, failed)
    assert kinds(effects)[3:] == [Mark, Pause, Mark, Pause, Mark]
    assert (outcome.end_state, outcome.error, outcome.unmarked) == (EndState.COMPLETED, None, "throttled")
    assert outcome.troubles == (Trouble(Part.TABLE, "refused", "throttled"),)


def test_a_mark_is_not_tried_again_where_the_retry_budget_is_used_up() -> None:
    row, won = claimed()
    policy = fixed_policy()
    policy.retries.left = 0.5
    effects, outcome = play(begin(row, policy), won, DONE, DELIVERED, Failure("throttled"))
    assert kinds(effects)[3:] == [Mark]
    assert outcome.unmarked == "throttled"


def test_a_mark_that_is_tried_again_costs_a_retry() -> None:
    row, won = claimed()
    policy = fixed_policy()
    play(begin(row, policy), won, DONE, DELIVERED, Failure("throttled"), None, None)
    assert policy.retries.left == pytest.approx(99)  # an answer that is taken earns nothing more where all is there


def test_a_mark_that_the_table_refuses_for_the_row_s_own_content_is_not_the_table_s_trouble() -> None:
    row, won = claimed()
    full = Failure("ValidationException: Item size", refused=True)
    _, outcome = play(begin(row), won, DONE, DELIVERED, full, None, full, None, full)
    assert (outcome.unmarked, outcome.troubles) == ("ValidationException: Item size", ())


def test_no_error_of_a_mark_or_a_keep_shows_the_token() -> None:
    row, won = claimed()
    failed = Failure(f"no {row.token.reveal()} here")
    marking = play(begin(row), won, DONE, DELIVERED, failed, None, failed, None, failed)[1]
    tried = (THROTTLED, None, THROTTLED, None, THROTTLED)
    keeping = play(begin(row), won, DONE, *tried, failed, None, failed, None, failed)[1]
    for outcome in (marking, keeping):
        assert outcome.unmarked == f"no {row.token} here"
        assert row.token.reveal() not in str(outcome.troubles)


def test_a_claim_that_the_table_refuses_sets_the_row_aside() -> None:
    row = token_row()
    effects, outcome = play(begin(row), Failure("ValidationException: too large", refused=True), None)
    assert kinds(effects) == [Claim, Quarantine]
    assert (outcome.end_state, outcome.error) == (
        EndState.QUARANTINED,
        "the row cannot be claimed: ValidationException: too large",
    )


def test_a_quarantine_that_the_table_refuses_is_tried_with_less_and_less() -> None:
    refused = Failure("ValidationException: too large", refused=True)
    fault = MalformedRowError("maxAttempts", None, "is missing")
    effects, outcome = play(quarantine("job-1", fault, NOW), refused, refused, refused)
    assert effects == [
        Quarantine("job-1", fault, NOW),
        Quarantine("job-1", fault, NOW, counted=False),
        Quarantine("job-1", fault, NOW, counted=False, with_reason=False),
    ]
    assert (outcome.kind, outcome.error) == (Kind.REFUSED, "ValidationException: too large")


@pytest.mark.parametrize("refusal", [*Refusal, None])
def test_an_answer_that_did_not_get_through_is_the_answers_trouble_and_no_other(refusal: Refusal | None) -> None:
    row, won = claimed()
    kept = Delivery(Delivered.DEFERRED, "no", refusal)
    _, outcome = play(begin(row), won, DONE, kept, None, kept, None, kept, None)
    assert outcome.kind is Kind.DEFERRED
    assert outcome.troubles == (Trouble(Part.ANSWERS, refusal.value if refusal else "refused", "no", refusal),)


def test_an_answer_that_got_through_in_the_end_is_nobody_s_trouble() -> None:
    row, won = claimed()
    _, outcome = play(begin(row), won, DONE, THROTTLED, None, DELIVERED, None)
    assert outcome.troubles == ()


# --- Step Functions of another region


def doubtful() -> Policy:
    """Give a policy of a process that has met as many unknown tokens in a row as close their rows."""
    policy = fixed_policy()
    for _ in range(MOST_CLOSED_IN_A_ROW):
        assert policy.doubt.closes()
    return policy


def test_only_so_many_rows_in_a_row_are_closed_for_an_unknown_token() -> None:
    policy, ends = fixed_policy(), []
    for number in range(MOST_CLOSED_IN_A_ROW + 3):
        row, won = claimed()
        polling = poll(row, policy, NOW + number * TRY_EVERY_MS, TICK)
        _, outcome = play(polling, won, DONE, UNKNOWN_TOKEN, None)
        ends.append(outcome.end_state or outcome.kind)
    assert ends == [EndState.CLOSED] * MOST_CLOSED_IN_A_ROW + [Kind.DEFERRED] * 3


def test_an_answer_that_is_taken_between_them_lets_unknown_tokens_close_their_rows_again() -> None:
    policy = doubtful()
    row, won = claimed()
    play(begin(row, policy), won, DONE, DELIVERED, None)
    _, outcome = play(begin(row, policy), won, DONE, UNKNOWN_TOKEN, None)
    assert outcome.end_state is EndState.CLOSED


def test_a_token_that_was_used_or_timed_out_closes_its_row_whatever_the_doubt() -> None:
    row, won = claimed()
    _, outcome = play(begin(row, doubtful()), won, DONE, CLOSED, None)
    assert outcome.end_state is EndState.CLOSED


def test_with_doubt_one_kept_answer_is_tried_now_and_then_and_the_others_are_kept_unsent() -> None:
    policy, sent = doubtful(), []
    for late in (0, 1, TRY_EVERY_MS - 1, TRY_EVERY_MS, TRY_EVERY_MS + 1):
        row, won = claimed(pending=PendingAnswer(KEPT, 1))
        polling = poll(row, policy, NOW + late, TICK)
        next(polling)
        effect = polling.send(won)
        sent.append(isinstance(effect, Send))
        if sent[-1]:
            effect = polling.send(UNKNOWN_TOKEN)
        assert isinstance(effect, Keep)
    assert sent == [True, False, False, True, False]


def test_with_doubt_an_answer_that_was_never_sent_is_tried_all_the_same() -> None:
    row, won = claimed()
    policy = doubtful()
    for _ in range(2):
        effects, _ = play(begin(row, policy), won, DONE, UNKNOWN_TOKEN, None)
        assert kinds(effects)[2:] == [Send, Keep]


def test_an_answer_that_is_kept_for_doubt_says_why_to_anybody() -> None:
    policy = doubtful()
    row, won = claimed()
    reason = "Step Functions knows none of our task tokens: is it of another region or account?"
    effects, tried = play(begin(row, policy), won, DONE, UNKNOWN_TOKEN, None)
    assert kinds(effects)[2:] == [Send, Keep]
    policy.doubt.may_try(NOW)
    row, won = claimed(pending=PendingAnswer(KEPT, 1))
    effects, untried = play(begin(row, policy), won, None)
    assert kinds(effects)[1:] == [Keep]
    for outcome, error in ((tried, UNKNOWN_TOKEN.error), (untried, None)):
        (trouble,) = outcome.troubles
        assert (trouble.part, trouble.reason, outcome.kind) == (Part.ANSWERS, reason, Kind.DEFERRED)
        assert trouble.error == (error or outcome.error)
        assert outcome.end_state is None


# --- closed and refused


def test_a_token_that_somebody_else_closed_ends_the_row_as_closed() -> None:
    row, won = claimed()
    effects, outcome = play(begin(row), won, DONE, CLOSED, None)
    assert effects[3:] == [marked(won, EndState.CLOSED, NOW, CLOSED.error)]
    assert (outcome.end_state, outcome.answer, outcome.error) == (EndState.CLOSED, None, CLOSED.error)


def test_a_token_that_an_earlier_try_may_have_closed_says_no_more_than_that_it_is_closed() -> None:
    row, won = claimed()
    effects, outcome = play(begin(row), won, DONE, NO_REPLY, None, CLOSED, None)
    assert kinds(effects) == [Claim, Check, Send, Pause, Send, Mark]
    assert effects[-1] == marked(won, EndState.CLOSED, NOW, CLOSED.error)
    assert outcome.end_state is EndState.CLOSED


def test_a_try_that_was_surely_refused_closed_nothing() -> None:
    row, won = claimed()
    _, outcome = play(begin(row), won, DONE, THROTTLED, None, CLOSED, None)
    assert outcome.end_state is EndState.CLOSED


def test_a_success_that_is_refused_becomes_a_failure() -> None:
    row, won = claimed()
    effects, outcome = play(begin(row), won, DONE, REFUSED, DELIVERED, None)
    failure = Fail("InvalidOutput", f"the job completed, but its output was refused: {REFUSED.error}")
    assert effects[3:] == [Send(row.token, failure), marked(won, EndState.FAILED, NOW)]
    assert (outcome.end_state, outcome.answer) == (EndState.FAILED, failure)


@pytest.mark.parametrize(("report", "told"), [(Failed("no paper"), [REFUSED]), (DONE, [REFUSED, REFUSED])])
def test_a_failure_that_is_refused_quarantines_the_row(report: Report, told: list[Delivery]) -> None:
    row, won = claimed()
    effects, outcome = play(begin(row), won, report, *told, None)
    assert effects[-1] == marked(won, EndState.QUARANTINED, NOW, REFUSED.error)
    assert (outcome.kind, outcome.end_state) == (Kind.ENDED, EndState.QUARANTINED)


# --- an answer that does not get through


@pytest.mark.parametrize("last", [THROTTLED, NO_REPLY], ids=["throttled", "no reply"])
def test_an_answer_is_tried_three_times_and_then_kept(last: Delivery) -> None:
    row, won = claimed()
    effects, outcome = play(begin(row, fixed_policy(chance=1)), won, DONE, THROTTLED, None, THROTTLED, None, last, None)
    sent = decided(won, DONE)
    assert effects[2:7] == [Send(row.token, sent), Pause(0.2), Send(row.token, sent), Pause(0.8), Send(row.token, sent)]
    assert effects[7:] == [Keep(won, PendingAnswer(sent, 1), NOW + 1_000, last.error)]
    assert (outcome.kind, outcome.claimed, outcome.error) == (Kind.DEFERRED, True, last.error)
    assert outcome.end_state is None


def test_a_kept_answer_is_delivered_without_a_check() -> None:
    row, won = claimed(pending=PendingAnswer(KEPT, 2), attempt_count=3)
    effects, outcome = play(begin(row), won, DELIVERED, None)
    assert effects[1:] == [Send(row.token, KEPT), marked(won, EndState.COMPLETED, NOW)]
    assert (outcome.answer, outcome.attempt) == (KEPT, 3)


def test_a_kept_answer_outlives_time_and_attempts() -> None:
    row, won = claimed(pending=PendingAnswer(KEPT, 2), attempt_count=99, expires_at=0)
    effects, _ = play(begin(row), won, DELIVERED, None)
    assert effects[1] == Send(row.token, KEPT)


def test_a_kept_answer_is_kept_again_with_a_longer_pause() -> None:
    row, won = claimed(pending=PendingAnswer(KEPT, 2))
    policy = fixed_policy(chance=1)
    effects, outcome = play(begin(row, policy), won, THROTTLED, None, THROTTLED, None, THROTTLED, None)
    assert effects[-1] == Keep(won, PendingAnswer(KEPT, 3), NOW + 4_000, THROTTLED.error)
    assert outcome.kind is Kind.DEFERRED


def test_a_kept_answer_that_finds_its_token_closed_claims_nothing_that_it_cannot_know() -> None:
    expired = Fail("PollingExpired", "too late", EndState.EXPIRED)
    row, won = claimed(pending=PendingAnswer(expired, 1))
    effects, outcome = play(begin(row), won, CLOSED, None)
    assert effects[-1] == marked(won, EndState.CLOSED, NOW, CLOSED.error)
    assert outcome.end_state is EndState.CLOSED


def test_what_is_kept_after_a_refused_success_is_the_failure() -> None:
    row, won = claimed()
    effects, _ = play(begin(row), won, DONE, REFUSED, THROTTLED, None, THROTTLED, None, THROTTLED, None)
    assert isinstance(effects[-1], Keep)
    assert isinstance(effects[-1].pending.answer, Fail)


# --- what of the surroundings worked


@pytest.mark.parametrize(
    ("changes", "told", "worked"),
    [
        ({}, [InProgress()], [Part.TABLE, Part.SOURCE]),
        ({}, [Unanswered("it sleeps"), None], [Part.TABLE, Part.SOURCE]),
        ({}, [UNASKED, None], [Part.TABLE]),
        ({}, [DONE, DELIVERED, None], [Part.TABLE, Part.SOURCE, Part.ANSWERS]),
        ({}, [DONE, CLOSED, None], [Part.TABLE, Part.SOURCE]),
        ({}, [DONE, THROTTLED, None, THROTTLED, None, THROTTLED, None], [Part.TABLE, Part.SOURCE]),
        ({"heartbeat": True}, [InProgress(), DELIVERED], [Part.TABLE, Part.SOURCE, Part.HEARTBEATS]),
        ({"heartbeat": True}, [UNASKED, DELIVERED, None], [Part.TABLE, Part.HEARTBEATS]),
        ({"heartbeat": True}, [InProgress(), THROTTLED], [Part.TABLE, Part.SOURCE]),
        ({"attempt_count": 10}, [DELIVERED, None], [Part.TABLE, Part.ANSWERS]),
        ({"pending": PendingAnswer(KEPT, 2)}, [DELIVERED, None], [Part.TABLE, Part.ANSWERS]),
    ],
)
def test_an_outcome_says_what_did_as_it_was_asked(
    changes: dict[str, Any], told: list[object], worked: list[Part]
) -> None:
    row, won = claimed(**changes)
    _, outcome = play(begin(row), won, *told)
    assert outcome.worked == frozenset(worked)


@pytest.mark.parametrize("told", [Lost(), Failure("throttled")], ids=str)
def test_a_claim_that_was_not_won_shows_nothing_to_work(told: object) -> None:
    assert play(begin(token_row()), told)[1].worked == frozenset()


# --- quarantine


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        (None, Outcome(Kind.ENDED, "job-1", end_state=EndState.QUARANTINED, error="expiresAt is missing")),
        (Lost(), Outcome(Kind.LOST, "job-1")),
        (
            Failure("throttled", refusal=Refusal.THROTTLED),
            Outcome(
                Kind.UNREACHED,
                "job-1",
                error="throttled",
                troubles=(Trouble(Part.TABLE, "throttled", "throttled", Refusal.THROTTLED),),
            ),
        ),
    ],
)
def test_a_malformed_row_is_set_aside_and_its_task_left_waiting(told: object, outcome: Outcome) -> None:
    assert ([Quarantine("job-1", FAULT, NOW)], outcome) == play(quarantine("job-1", FAULT, NOW), told)


def test_an_answer_that_could_not_be_kept_shows_in_the_outcome() -> None:
    row, won = claimed()
    too_large = Failure("ValidationException: too large")
    told = (won, DONE, THROTTLED, None, THROTTLED, None, THROTTLED, too_large, None, too_large, None, too_large)
    _, outcome = play(begin(row), *told)
    assert "too large" in f"{outcome.error} {outcome.unmarked}"


def test_a_token_in_a_source_s_error_is_masked_in_the_outcome() -> None:
    row, won = claimed()
    _, outcome = play(begin(row), won, Unanswered(f"no task {row.token.reveal()}"), None)
    assert row.token.reveal() not in str(outcome.reply())


def test_a_row_polled_late_in_a_long_tick_waits_for_most_of_its_interval() -> None:
    row, won = claimed()
    polling = poll(row, fixed_policy(), NOW, NOW - 600_000)
    claim = next(polling)
    assert isinstance(claim, Claim)
    polling.send(won)
    try:
        effect = polling.send(InProgress())
    except StopIteration:
        effect = claim
    assert isinstance(effect, Claim | Release)
    assert effect.until >= NOW + 54_000
