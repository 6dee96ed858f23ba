"""Doubt: where Step Functions knows none of our tokens, no more rows are closed, and one answer tries now and then."""

import pytest

from scheduler.core.token_doubt import MOST_CLOSED_IN_A_ROW, TRY_EVERY_MS, TokenDoubt

NOW = 1_000_000


def raised() -> TokenDoubt:
    doubt = TokenDoubt()
    assert [doubt.closes() for _ in range(MOST_CLOSED_IN_A_ROW)] == [True] * MOST_CLOSED_IN_A_ROW
    return doubt


def test_ten_unknown_tokens_in_a_row_close_their_rows_and_the_eleventh_does_not() -> None:
    doubt = TokenDoubt()
    assert [doubt.closes() for _ in range(12)] == [True] * 10 + [False] * 2
    assert doubt.raised


def test_there_is_no_doubt_before_the_tenth() -> None:
    doubt = TokenDoubt(in_a_row=9)
    assert not doubt.raised
    assert doubt.closes()
    assert doubt.raised


def test_an_answer_that_is_taken_ends_the_doubt_and_the_count() -> None:
    doubt = raised()
    doubt.taken()
    assert not doubt.raised
    assert [doubt.closes() for _ in range(11)] == [True] * 10 + [False]


def test_without_doubt_every_answer_may_be_tried() -> None:
    doubt = TokenDoubt(in_a_row=9)
    assert [doubt.may_try(NOW) for _ in range(3)] == [True] * 3


def test_with_doubt_one_answer_is_tried_each_ten_seconds() -> None:
    doubt = raised()
    late = (0, 0, 1, TRY_EVERY_MS - 1, TRY_EVERY_MS, TRY_EVERY_MS + 1, 2 * TRY_EVERY_MS)
    assert [doubt.may_try(NOW + after) for after in late] == [True, False, False, False, True, False, True]


@pytest.mark.parametrize("back", [1, TRY_EVERY_MS, 86_400_000])
def test_a_clock_that_was_set_back_holds_up_no_try(back: int) -> None:
    doubt = raised()
    assert doubt.may_try(NOW)
    assert doubt.may_try(NOW - back)
    assert not doubt.may_try(NOW - back)
