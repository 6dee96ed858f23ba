"""What the tables of a person show."""

from typing import Any

import pytest

from scheduler.monitor import attempts


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ({"attemptCount": 2, "maxAttempts": 10}, "2/10"),
        ({"attemptCount": 11, "maxAttempts": 10}, "10/10"),  # the attempt that gives a job up checks nothing
        ({"attemptCount": 2}, "2"),
        ({"maxAttempts": 10}, "0/10"),
        ({}, "0"),
    ],
)
def test_attempts_are_shown_without_a_bound_that_nobody_set(row: dict[str, Any], shown: str) -> None:
    assert attempts(row) == shown
