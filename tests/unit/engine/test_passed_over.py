"""Rows passed over: known to wait, not read again, and counted."""

from typing import cast

from scheduler.engine import passed_over
from scheduler.engine.lanes import Lane
from scheduler.engine.passed_over import Door, PassedOver
from tests.fakes import token_row


class WaitedFor:
    """A lane of which nothing is used but that it may be waited for."""

    waiting = 0
    stopped = False

    def somebody_waits(self) -> None:
        """Count who waits."""
        self.waiting += 1


LANE = cast("Lane", WaitedFor())
REPORTS, OTHER = Door("reports", LANE), Door(None, LANE)


class Under:
    """What is passed over, doors that a test opens, and its clock."""

    def __init__(self) -> None:
        self.at = 0.0
        self.open: set[Door] = set()
        self.asked = 0
        self.passed = PassedOver(self._lets_in, lambda: self.at)

    def _lets_in(self, door: Door) -> bool:
        self.asked += 1
        return door in self.open


def test_a_row_is_passed_over_while_its_door_is_closed_and_counted_once_a_pass() -> None:
    test = Under()
    test.passed.note(token_row("a", next_poll_at=500), REPORTS, unread=True)
    test.passed.note(token_row("b", next_poll_at=300), REPORTS, unread=True)
    test.passed.begin_pass()
    assert [test.passed.passes(job_id) for job_id in ("a", "b", "a", "c")] == [True, True, True, False]
    assert (test.passed.count, test.passed.oldest, test.passed.doors) == (2, 300, {REPORTS})
    test.passed.begin_pass()
    assert (test.passed.count, test.passed.oldest, test.passed.doors) == (0, None, set())


def test_a_door_is_asked_once_until_something_may_have_changed() -> None:
    test = Under()
    for job_id in "abc":
        test.passed.note(token_row(job_id), REPORTS, unread=True)
    assert all(test.passed.passes(job_id) for job_id in "abc")
    assert test.asked == 1
    test.open.add(REPORTS)
    assert test.passed.passes("a")
    test.passed.look_anew()
    assert not test.passed.passes("a")
    test.open.clear()
    test.passed.look_anew()
    assert not test.passed.passes("a")  # it is to be read


def test_another_door_is_another_one_s_affair() -> None:
    test = Under()
    test.open.add(OTHER)
    test.passed.note(token_row("a"), REPORTS, unread=True)
    test.passed.note(token_row("b"), OTHER, unread=True)
    assert [test.passed.passes(job_id) for job_id in "ab"] == [True, False]


def test_a_lane_is_told_once_a_pass_that_rows_wait_which_it_is_not_offered() -> None:
    lane, test = WaitedFor(), Under()
    door = Door(None, cast("Lane", lane))
    for job_id in "ab":
        test.passed.note(token_row(job_id), door, unread=True)
    for passes in (2, 3):
        test.passed.begin_pass()
        assert test.passed.passes("a")
        assert test.passed.passes("b")
        assert lane.waiting == passes


def test_a_row_is_read_anew_after_half_a_minute() -> None:
    test = Under()
    test.passed.note(token_row("a"), REPORTS, unread=True)
    test.at = 29.9
    assert test.passed.passes("a")
    test.at = 30.0
    assert not test.passed.passes("a")


def test_a_row_that_is_to_be_read_each_time_is_not_remembered() -> None:
    test = Under()
    test.passed.note(token_row("a"), REPORTS, unread=False)
    assert not test.passed.passes("a")
    assert test.passed.doors == {REPORTS}


def test_of_too_many_the_first_are_forgotten() -> None:
    test = Under()
    for number in range(passed_over._MOST + 1):
        test.passed.note(token_row(str(number)), REPORTS, unread=True)
    assert [test.passed.passes(job_id) for job_id in ("0", "1")] == [False, True]
