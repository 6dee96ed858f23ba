"""What a poll does while the services struggle: jitter, the retry budget, and no token in any error."""

import itertools

import pytest

from scheduler.core.effects import (
    Check,
    Claim,
    Delivered,
    Delivery,
    Failure,
    Keep,
    Mark,
    Pause,
    Quarantine,
    Send,
)
from scheduler.core.outcome import Kind
from scheduler.core.states import EndState
from scheduler.core.timing import Policy
from tests.fakes import fixed_policy, token_row
from tests.unit.core.test_protocol import DELIVERED, DONE, NOW, THROTTLED, begin, claimed, kinds, play

BUSY = Failure("ThrottlingException: slow down")


@pytest.mark.parametrize("chance", [0.0, 0.25, 1.0])
def test_the_pauses_before_an_answer_is_tried_again_have_full_jitter(chance: float) -> None:
    row, won = claimed()
    told = (won, DONE, THROTTLED, None, THROTTLED, None, DELIVERED, None)
    effects, _ = play(begin(row, fixed_policy(chance=chance)), *told)
    assert effects[3:7:2] == [Pause(0.2 * chance), Pause(0.8 * chance)]


@pytest.mark.parametrize("chance", [0.0, 0.25, 1.0])
def test_the_pauses_before_a_mark_is_tried_again_have_full_jitter(chance: float) -> None:
    row, won = claimed()
    told = (won, DONE, DELIVERED, BUSY, None, BUSY, None, None)
    effects, _ = play(begin(row, fixed_policy(chance=chance)), *told)
    assert effects[4:8:2] == [Pause(0.2 * chance), Pause(0.8 * chance)]


def test_each_pause_and_each_time_has_a_chance_of_its_own() -> None:
    chances = (0.0, 0.25, 0.5, 0.75, 1.0)
    drawn = itertools.cycle(chances)
    policy = Policy(60, 31, 4, chance=lambda: next(drawn))
    row, _ = claimed()
    assert len({policy.next_poll(row, NOW, NOW) for _ in chances}) == len(chances)
    assert len({policy.retry_deferred(3, NOW) for _ in chances}) == len(chances)
    assert [pause for _ in range(5) for pause in policy.pauses()] == [
        pytest.approx(longest * chance) for longest, chance in zip((0.2, 0.8) * 5, chances * 2, strict=True)
    ]


def test_a_policy_of_its_own_accord_is_left_to_chance() -> None:
    policy, other = Policy(60, 31, 4), Policy(60, 31, 4)
    drawn = [policy.chance() for _ in range(1_000)]
    assert all(0 <= chance < 1 for chance in drawn)
    assert 0.4 < sum(drawn) / len(drawn) < 0.6
    # Replicas that drew the same would come back all at once.
    assert drawn != [other.chance() for _ in range(1_000)]


def test_a_mark_is_not_tried_again_where_the_retry_budget_is_used_up() -> None:
    row, won = claimed()
    policy = fixed_policy()
    policy.retries.left = 0.5
    effects, outcome = play(begin(row, policy), won, DONE, DELIVERED, BUSY)
    assert kinds(effects) == [Claim, Check, Send, Mark]
    assert (outcome.end_state, outcome.unmarked) == (EndState.COMPLETED, BUSY.error)


def test_each_try_of_a_mark_comes_out_of_the_retry_budget() -> None:
    row, won = claimed()
    policy = fixed_policy()
    policy.retries.left = 10
    play(begin(row, policy), won, DONE, DELIVERED, BUSY, None, BUSY, None, None)
    # Two retries, and the tenth that the answer earned.
    assert policy.retries.left == pytest.approx(8.1)


def test_a_mark_of_a_closed_token_earns_nothing() -> None:
    row, won = claimed()
    policy = fixed_policy()
    policy.retries.left = 10
    play(begin(row, policy), won, DONE, Delivery(Delivered.CLOSED, "TaskTimedOut: it is over"), None)
    assert policy.retries.left == 10


def test_a_token_in_the_error_of_a_mark_that_fails_is_masked() -> None:
    row, won = claimed()
    leak = Failure(f"InternalServerError: {row.token.reveal()}")
    _, outcome = play(begin(row), won, DONE, DELIVERED, leak, None, leak, None, leak)
    assert outcome.unmarked == f"InternalServerError: {row.token}"


def test_a_token_in_the_error_of_an_answer_that_cannot_be_kept_is_masked() -> None:
    row, won = claimed()
    leak = Failure(f"InternalServerError: {row.token.reveal()}")
    tried = (THROTTLED, None, THROTTLED, None, THROTTLED)
    effects, outcome = play(begin(row), won, DONE, *tried, leak, None, leak, None, leak)
    assert isinstance(effects[-1], Keep)
    assert (outcome.kind, outcome.unmarked) == (Kind.DEFERRED, f"InternalServerError: {row.token}")


def test_a_token_in_the_error_of_a_claim_is_masked() -> None:
    row = token_row()
    leak = f"ValidationException: {row.token.reveal()}"
    _, unreached = play(begin(row), Failure(leak))
    assert unreached.error == f"ValidationException: {row.token}"
    effects, refused = play(begin(row), Failure(leak, refused=True), None)
    assert refused.error == f"the row cannot be claimed: ValidationException: {row.token}"
    assert row.token.reveal() not in str(effects[-1])


def test_a_claim_that_the_table_refuses_sets_aside_this_row_and_at_this_time() -> None:
    effects, _ = play(begin(token_row("job-7")), Failure("ValidationException: too large", refused=True), None)
    (aside,) = effects[1:]
    assert isinstance(aside, Quarantine)
    assert (aside.job_id, aside.now, aside.fault.attribute) == ("job-7", NOW, None)


def test_a_row_that_nobody_may_poll_now_says_why() -> None:
    _, unknown = play(begin(token_row(source="reports")))
    assert unknown.error == "the row names source 'reports', which is not known here"
    _, under_way = play(begin(token_row(attempt_count=10, next_poll_at=NOW + 1)))
    assert under_way.error == "its last check may still be under way"


def test_a_job_out_of_turn_is_left_to_its_last_check_up_to_the_instant_it_expires() -> None:
    def out_of_turn(expires_at: int) -> list[type]:
        row = token_row(attempt_count=10, next_poll_at=NOW + 1, expires_at=expires_at)
        polling = begin(row)
        try:
            return [type(next(polling))]
        except StopIteration:
            return []

    assert out_of_turn(NOW + 1) == []
    assert out_of_turn(NOW) == [Claim]


def test_an_answer_that_is_kept_stands_in_the_outcome() -> None:
    row, won = claimed()
    effects, outcome = play(begin(row), won, DONE, THROTTLED, None, THROTTLED, None, THROTTLED, None)
    kept = effects[-1]
    assert isinstance(kept, Keep)
    assert outcome.answer == kept.pending.answer
