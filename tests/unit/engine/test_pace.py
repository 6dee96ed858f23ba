"""The pace of a lane: additive increase, multiplicative decrease."""

import pytest

from scheduler.engine.pace import CUT, FORGET_SECONDS, GROWTH, LONGEST_PAUSE_SECONDS, SLOWEST, Pace


def running(polls: int = 40, *, at: float = 100.0) -> Pace:
    """Give the pace of a lane that has started so many polls just now."""
    pace = Pace()
    for _ in range(polls):
        assert pace.delay(at) == 0
        pace.started(at)
    return pace


def slowed(rate: float, at: float = 100.0) -> Pace:
    """Give a pace that was cut down to a rate at a time, and whose next poll may start now."""
    pace = running(round(rate / CUT), at=at)
    pace.refused(at, at)
    assert pace.rate == rate
    return pace


def test_a_lane_goes_as_fast_as_it_can_until_its_source_refuses() -> None:
    pace = running(1_000)
    assert pace.rate is None
    pace.took()
    assert (pace.rate, pace.delay(100.0)) == (None, 0.0)


def test_a_refusal_cuts_the_rate_to_half_of_what_was_started_within_a_second() -> None:
    pace = running(40)
    pace.refused(100.0, 100.5)
    assert pace.rate == 20


def test_what_was_started_more_than_a_second_ago_does_not_count() -> None:
    pace = running(40, at=100.0)
    for _ in range(6):
        pace.started(101.0)
    pace.refused(101.0, 101.0)
    assert pace.rate == 3


def test_a_second_refusal_halves_the_rate_itself() -> None:
    pace = slowed(20)
    pace.refused(started=101.0, now=101.1)
    assert pace.rate == 10


def test_the_refusals_of_polls_that_were_under_way_when_it_was_cut_tell_nothing_new() -> None:
    pace = running(40)
    pace.refused(started=99.0, now=100.0)
    for started in (98.0, 99.9, 100.0):
        pace.refused(started, now=100.2)
        assert pace.rate == 20
    pace.refused(started=100.1, now=100.3)
    assert pace.rate == 10


def test_however_often_the_source_refuses_it_is_asked_once_a_second() -> None:
    pace = running(1)
    for second in range(20):
        pace.refused(100.0 + second, 100.0 + second)
        assert pace.rate == SLOWEST == 1.0
        assert pace.delay(100.0 + second) == 1.0


def test_polls_are_spread_evenly_at_the_rate() -> None:
    pace = slowed(4)
    assert pace.delay(100.0) == 0.25
    assert pace.delay(100.25) == 0
    pace.started(100.25)
    assert pace.delay(100.25) == 0.25
    pace.started(100.5)
    assert pace.delay(100.5) == 0.25


def test_a_pause_is_not_made_up_for_by_a_burst() -> None:
    pace = slowed(4)
    for expected in (0.0, 0.25, 0.5):
        assert pace.delay(110.0) == expected
        pace.started(110.0)


def test_several_polls_that_start_at_once_are_paid_for_together() -> None:
    pace = slowed(4)
    pace.started(101.0, polls=3)
    assert pace.delay(101.0) == 0.75


@pytest.mark.parametrize("rate", [1.0, 2.0, 20.0])
def test_the_rate_grows_by_one_a_second_while_the_source_takes_what_it_is_asked(rate: float) -> None:
    pace = slowed(rate)
    for _ in range(round(rate)):
        pace.took()
    assert pace.rate == pytest.approx(rate + GROWTH, rel=0.05)


def test_what_the_source_takes_makes_it_no_faster_than_that() -> None:
    pace, seconds = slowed(10), 30
    rate = 10.0
    for _ in range(seconds):
        for _ in range(round(rate)):
            pace.took()
        assert pace.rate is not None
        rate = pace.rate
    assert rate == pytest.approx(10 + seconds * GROWTH, rel=0.05)


def test_a_minute_without_a_refusal_and_all_is_forgotten() -> None:
    pace = slowed(4, at=100.0)
    pace.delay(100.0 + FORGET_SECONDS - 0.1)
    assert pace.rate == 4
    assert pace.delay(100.0 + FORGET_SECONDS) == 0
    assert pace.rate is None


def test_a_refusal_that_tells_nothing_new_is_remembered_all_the_same() -> None:
    pace = slowed(4, at=100.0)
    pace.refused(started=99.0, now=130.0)
    pace.delay(100.0 + FORGET_SECONDS)
    assert pace.rate == 4
    pace.delay(130.0 + FORGET_SECONDS)
    assert pace.rate is None


# --- a rate that is never exceeded


def starts(pace: Pace, count: int, at: float = 100.0) -> list[float]:
    """Give when so many polls start, each as soon as it may."""
    found = []
    for _ in range(count):
        at += pace.delay(at)
        pace.started(at)
        found.append(at)
    return found


def test_a_rate_spreads_polls_evenly_from_the_first_on() -> None:
    assert starts(Pace(most=4), 5) == [100, 100.25, 100.5, 100.75, 101]


def test_what_was_not_started_in_time_is_not_made_up_for() -> None:
    pace = Pace(most=2)
    pace.started(100)
    assert starts(pace, 3, 110) == [110, 110.5, 111]


def test_a_refusal_cuts_below_the_rate_and_it_grows_back_to_it_and_no_further() -> None:
    pace = Pace(most=20)
    starts(pace, 20)
    pace.refused(101, 101)
    assert (pace.rate, pace.bound) == (10, 10)
    for _ in range(1_000):
        pace.took()
    assert (pace.rate, pace.bound) == (None, 20)


def test_a_rate_below_the_slowest_of_a_slowed_lane_holds_there_too() -> None:
    pace = Pace(most=0.2)
    pace.started(100)
    pace.refused(100, 100.1)
    assert (pace.bound, pace.delay(100.1)) == (0.2, 5)


def test_a_lane_queues_no_more_than_can_start_soon() -> None:
    assert Pace(most=20).within(1, 100) == 20
    slow = Pace(most=0.2)
    slow.started(100)
    assert [slow.within(1, at) for at in (100, 103.9, 104, 105)] == [0, 0, 1, 1]


# --- a source that says when it may be asked again


def test_no_poll_starts_before_the_source_wants_it() -> None:
    pace = Pace()
    assert pace.pause(100, 30)
    assert [pace.delay(at) for at in (100, 129, 130, 131)] == [30, 1, 0, 0]
    assert [pace.paused(at) for at in (100, 129.9, 130)] == [True, True, False]


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    pace = Pace()
    pace.pause(100, 30)
    assert not pace.pause(101, 5)
    assert pace.delay(101) == 29


def test_no_pause_is_longer_than_a_quarter_of_an_hour() -> None:
    pace = Pace()
    pace.pause(100, 10**9)
    assert pace.delay(100) == LONGEST_PAUSE_SECONDS == 900


def test_what_was_refused_is_forgotten_a_minute_after_the_pause() -> None:
    pace = slowed(20)
    pace.pause(100, 300)
    pace.delay(400 + FORGET_SECONDS - 1)
    assert pace.rate == 20
    pace.delay(400 + FORGET_SECONDS)
    assert pace.rate is None
