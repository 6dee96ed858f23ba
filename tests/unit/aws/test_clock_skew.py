"""Clock skew, by the `Date` of the services' replies."""

from email.utils import formatdate
from typing import Any

import pytest

from scheduler.aws.clock_skew import TELLING_SECONDS, ClockSkew

NOW = 1_800_000_000


class Replies:
    """A machine whose clock stands still, and replies that say another time."""

    def __init__(self) -> None:
        self.skew = ClockSkew(lambda: NOW * 1_000)

    def heard(self, *fast: float) -> float | None:
        """Hear replies whose services see this machine's clock so many seconds fast; gives the skew."""
        for seconds in fast:
            self.hear(formatdate(NOW - seconds, usegmt=True))
        return self.skew.seconds()

    def hear(self, date: str | None) -> None:
        headers = {} if date is None else {"date": date}
        self.skew.hear({"ResponseMetadata": {"HTTPHeaders": headers}}, model="any", context={})


@pytest.mark.parametrize("fast", [31, 40, 240, 86_400, -31, -240])
def test_a_clock_that_is_wrong_by_more_than_half_a_minute_is_told_of(fast: float) -> None:
    assert Replies().heard(fast, fast, fast) == pytest.approx(fast, abs=1)


@pytest.mark.parametrize("fast", [0, 1, -1, 29, -29])
def test_less_than_that_is_not_worth_a_word(fast: float) -> None:
    assert Replies().heard(*[fast] * 15) is None
    assert TELLING_SECONDS == 30


def test_a_date_has_whole_seconds_and_is_taken_for_the_middle_of_its_own() -> None:
    assert Replies().heard(40, 40, 40) == 39.5


def test_one_reply_or_two_say_nothing() -> None:
    replies = Replies()
    assert (replies.heard(240), replies.heard(240)) == (None, None)
    assert replies.heard(240) is not None


def test_one_slow_or_odd_reply_among_others_says_nothing() -> None:
    replies = Replies()
    assert replies.heard(0, 0, 3_600, 0, 0) is None
    assert Replies().heard(240, 240, 0, 240) is not None


def test_a_clock_that_was_set_right_is_no_more_told_of_after_some_replies() -> None:
    replies = Replies()
    assert replies.heard(*[240] * 15) is not None
    assert replies.heard(*[0] * 8) is None


def test_only_the_last_replies_count() -> None:
    replies = Replies()
    replies.heard(*[0] * 1_000)
    assert replies.heard(*[240] * 8) is not None


@pytest.mark.parametrize(
    "parsed",
    [
        None,
        {},
        {"ResponseMetadata": {}},
        {"ResponseMetadata": {"HTTPHeaders": {}}},
        {"ResponseMetadata": {"HTTPHeaders": {"date": "yesterday"}}},
        {"ResponseMetadata": {"HTTPHeaders": {"date": ""}}},
        {"ResponseMetadata": {"HTTPHeaders": {"date": "Fri, 99 Feb 9999 99:99:99 GMT"}}},
    ],
    ids=str,
)
def test_a_reply_without_a_date_that_can_be_read_says_nothing(parsed: Any) -> None:
    replies = Replies()
    for _ in range(5):
        replies.skew.hear(parsed, anything="else")
    assert replies.heard(240, 240) is None


@pytest.mark.parametrize("date", ["Fri, 15 Jan 2027 08:00:00 GMT", "Fri, 15 Jan 2027 09:00:00 +0100"])
def test_a_date_is_read_in_whatever_zone_it_is_given(date: str) -> None:
    replies = Replies()
    for _ in range(3):
        replies.hear(date)
    assert replies.skew.seconds() is None
