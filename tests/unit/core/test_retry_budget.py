"""Retries cost, successes earn, and a service that fails is not asked much more often than it answers."""

import pytest

from scheduler.core.retry_budget import RetryBudget


def test_a_retry_is_taken_where_one_is_left() -> None:
    budget = RetryBudget(2.0)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    assert budget.left == 0


@pytest.mark.parametrize(("left", "taken"), [(1.0, True), (0.99, False), (1.5, True), (0.0, False)])
def test_a_part_of_a_retry_is_none(left: float, *, taken: bool) -> None:
    assert RetryBudget(left).take() is taken


def test_ten_successes_earn_one_retry() -> None:
    budget = RetryBudget(0.0)
    for _ in range(10):
        assert not budget.take()
        budget.earn()
    budget.left = round(budget.left, 6)  # ten tenths are a little less than one
    assert budget.take()


def test_no_more_is_earned_than_the_budget_holds() -> None:
    budget = RetryBudget()
    full = budget.left
    budget.earn()
    assert budget.left == full == 100


def test_of_a_service_that_always_fails_at_most_one_call_in_eleven_is_a_retry() -> None:
    budget, retries = RetryBudget(0.0), 0
    for _ in range(1_100):
        budget.earn()
        retries += budget.take()
    assert 100 <= retries <= 110
