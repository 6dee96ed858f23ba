"""Turns: how fast the rows of one page are claimed, so that replicas do not fight over it."""

import pytest

from scheduler.engine.turns import Turn


def taken(turn: Turn) -> int:
    """Take as many rows as may be claimed now; give how many those were."""
    count = 0
    while count < 100 and turn.take():
        count += 1
    return count


def test_one_row_of_a_page_is_claimed_until_a_claim_was_won() -> None:
    turn = Turn()
    assert taken(turn) == 1
    assert taken(turn) == 0


def test_with_each_claim_that_is_won_twice_as_many_are_made_at_once() -> None:
    turn = Turn()
    assert taken(turn) == 1
    turn.won()
    assert taken(turn) == 1
    turn.won()
    assert taken(turn) == 2
    turn.won()
    assert taken(turn) == 4


def test_a_poll_that_has_ended_makes_room_for_one_more_claim() -> None:
    turn = Turn()
    turn.take()
    turn.end()
    assert taken(turn) == 1


def test_a_lost_claim_ends_the_turn_and_is_told_once() -> None:
    told: list[str] = []
    turn = Turn(on_lost=lambda: told.append("lost"))
    turn.won()
    assert (turn.over, told) == (False, [])
    turn.lost()
    turn.lost()
    assert (turn.over, told) == (True, ["lost"])


@pytest.mark.parametrize("claims", [1, 99])
def test_rows_that_nobody_else_is_after_are_claimed_without_a_limit(claims: int) -> None:
    turn = Turn.unlimited()
    assert all(turn.take() for _ in range(claims))
    assert taken(turn) == 100
    assert not turn.over
