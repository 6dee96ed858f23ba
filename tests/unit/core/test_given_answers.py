"""An answer that was taken and could not be marked: it is not given again."""

from dataclasses import replace

from scheduler.core.answers import fail
from scheduler.core.effects import Check, Claim, Failure, Mark, Send
from scheduler.core.given_answers import MOST_KNOWN, GivenAnswers
from scheduler.core.protocol import poll_held
from scheduler.core.states import EndState
from scheduler.core.token import TaskToken, TokenTrace
from tests.fakes import fixed_policy, token_row
from tests.unit.core.test_protocol import DELIVERED, DONE, NOW, begin, claimed, kinds, play

BUSY = Failure("ThrottlingException: slow down")


def test_the_next_poll_of_a_row_that_could_not_be_marked_marks_it_and_asks_nobody() -> None:
    row, won = claimed()
    policy = fixed_policy()
    play(begin(row, policy), won, DONE, DELIVERED, BUSY, None, BUSY, None, BUSY)
    again = replace(won, version=2)
    effects, outcome = play(begin(again, policy), again.claimed("claim-2"), None)
    assert kinds(effects) == [Claim, Mark]
    assert isinstance(effects[1], Mark)
    # The answer said after how many attempts it came, and the row says the same.
    assert (outcome.end_state, effects[1].attempts) == (EndState.COMPLETED, won.attempt_count)


def test_a_held_row_that_could_not_be_marked_is_known_by_the_trace_of_its_token() -> None:
    row, won = claimed()
    policy = fixed_policy()
    play(begin(row, policy), won, DONE, DELIVERED, BUSY, None, BUSY, None, BUSY)
    held = replace(won, token=TokenTrace(won.token), attempt_count=won.attempt_count + 1)
    effects, outcome = play(poll_held(held, policy, NOW), None)
    assert kinds(effects) == [Mark]
    assert outcome.end_state is EndState.COMPLETED


def test_what_is_marked_at_last_is_forgotten() -> None:
    row, won = claimed()
    policy = fixed_policy()
    play(begin(row, policy), won, DONE, DELIVERED, BUSY, None, BUSY, None, BUSY)
    play(begin(won, policy), won, None)
    assert policy.given.to(won) is None


def test_a_newer_token_of_the_same_job_has_had_no_answer() -> None:
    row, won = claimed()
    policy = fixed_policy()
    play(begin(row, policy), won, DONE, DELIVERED, BUSY, None, BUSY, None, BUSY)
    newer = replace(won, token=TaskToken("another attempt's token"))
    effects, _ = play(begin(newer, policy), newer, DONE, DELIVERED, None)
    assert kinds(effects) == [Claim, Check, Send, Mark]


def test_the_oldest_is_forgotten_where_too_many_are_known() -> None:
    given = GivenAnswers()
    rows = [token_row(job_id=f"job-{number}") for number in range(MOST_KNOWN + 1)]
    for row in rows:
        given.note(row, fail("JobFailed", "broke"))
    assert given.to(rows[0]) is None
    assert all(given.to(row) for row in rows[1:])
