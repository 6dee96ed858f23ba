"""Lanes whose source refuses: slowed down while it is busy, stopped while it cannot be used, and well by themselves."""

import asyncio
import itertools
from collections.abc import Callable

import pytest

from scheduler.core.service_calls import Refusal
from scheduler.errors import CloudError
from tests.unit.engine.lane_fakes import BUSY, GONE, LOST, MISSING, LaneUnderTest, refused
from tests.virtual_time import idle, in_virtual_time, now, until


@pytest.fixture(autouse=True)
def longest_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the jitter out of rests: each is as long as it may be."""
    monkeypatch.setattr("scheduler.engine.lanes.random.random", lambda: 1.0)


async def passed(seconds: float) -> None:
    """Let time pass."""
    await asyncio.sleep(seconds)
    await idle()


def gaps(times: list[float]) -> list[float]:
    return [round(later - sooner, 3) for sooner, later in itertools.pairwise(times)]


# --- slowed down


async def slowed(test: LaneUnderTest, polls: int = 8) -> None:
    """Let as many polls start as make a lane run at half of that a second once its source refuses one of them."""
    test.hold()
    for number in range(polls):
        assert test.offer(f"busy-{number}", BUSY)
    test.let_go()
    await until(lambda: test.lane.idle)
    test.started.clear()
    test.heard.freed_at.clear()


@pytest.mark.parametrize("refusal", [Refusal.THROTTLED, Refusal.UNAVAILABLE])
@in_virtual_time
async def test_a_source_that_is_busy_slows_its_lane_down_and_does_not_stop_it(refusal: Refusal) -> None:
    test = LaneUnderTest(4)
    test.offer("a", refused(refusal))
    await until(lambda: test.lane.idle)
    assert test.heard.changes == [refusal.value]
    assert not test.lane.stopped
    assert (test.lane.trouble and test.lane.trouble.error) == "no"


@in_virtual_time
async def test_a_lane_that_has_slowed_down_starts_its_polls_evenly() -> None:
    test = LaneUnderTest(8)
    await slowed(test)
    test.hold()
    test.offers(*"abcd")
    await passed(2)
    assert test.ids == list("abcd")
    assert gaps([0.0, *(at for _, at in test.started)]) == [0.25] * 4


@in_virtual_time
async def test_a_lane_that_has_slowed_down_queues_what_it_can_start_within_a_second_and_leaves_the_rest() -> None:
    test = LaneUnderTest(8)
    await slowed(test)
    assert test.lane.room() == 4
    assert test.offers(*"abcdef") == [True] * 4 + [False] * 2


@in_virtual_time
async def test_a_lane_that_has_slowed_down_tells_when_it_has_room_for_one() -> None:
    test = LaneUnderTest(8)
    await slowed(test)
    test.hold()
    test.offers(*"abcdef")
    await passed(0.3)
    assert (test.ids, [round(at, 3) for at in test.heard.freed_at]) == (["a"], [0.25])


@in_virtual_time
async def test_a_lane_tells_of_room_for_what_its_source_did_not_take() -> None:
    test = LaneUnderTest(8)
    test.hold()
    for number in range(8):
        assert test.offer(f"busy-{number}", BUSY)
    test.let_go()
    await passed(1)
    assert len(test.heard.freed_at) >= 1
    test.lane.nobody_waits()
    test.heard.freed_at.clear()
    await passed(10)
    assert test.heard.freed_at == []


@in_virtual_time
async def test_even_the_slowest_lane_has_room_for_one() -> None:
    test = LaneUnderTest(1)
    await slowed(test, polls=1)
    assert test.offers("a", "b") == [True, False]
    await passed(1.1)
    assert test.ids == ["a"]


@in_virtual_time
async def test_the_refusals_of_polls_under_way_slow_a_lane_down_once() -> None:
    test = LaneUnderTest(8)
    await slowed(test, polls=8)
    assert test.lane._pace.rate == 4


@in_virtual_time
async def test_a_lane_grows_faster_while_its_source_takes_what_it_is_asked() -> None:
    test = LaneUnderTest(8)
    await slowed(test)
    for number in range(20):
        await passed(0.5)
        test.offer(f"good-{number}")
    await until(lambda: test.lane.idle)
    assert (test.lane._pace.rate or 0) > 4


@in_virtual_time
async def test_a_minute_after_the_last_refusal_a_lane_is_well_again() -> None:
    test = LaneUnderTest(8)
    await slowed(test)
    test.offer("a")
    await passed(59)
    test.lane.refresh()
    assert (test.lane.trouble is not None, test.heard.changes[-1]) == (True, "throttled")
    await passed(1.5)
    test.lane.refresh()
    assert (test.lane.trouble, test.heard.changes[-1]) == (None, "well")
    assert test.lane.room() == 16


@in_virtual_time
async def test_a_poll_that_the_source_takes_ends_a_trouble_that_is_forgotten() -> None:
    test = LaneUnderTest(8)
    await slowed(test)
    await passed(61)
    test.offer("a")
    await until(lambda: test.lane.idle)
    assert test.heard.changes[-1] == "well"


@in_virtual_time
async def test_a_source_that_refuses_everything_for_half_a_minute_is_more_than_busy() -> None:
    test = LaneUnderTest(2)
    seen = []
    for number in range(40):
        test.offer(f"job-{number}", BUSY)
        await passed(1)
        seen.append(test.lane.starved)
    assert (set(seen[:30]), set(seen[32:])) == ({False}, {True})
    test.offer("good")
    await until(lambda: test.lane.idle)
    assert not test.lane.starved


@in_virtual_time
async def test_a_lane_without_trouble_is_not_starved_however_little_it_does() -> None:
    test = LaneUnderTest(2)
    await passed(3_600)
    test.lane.refresh()
    assert (test.lane.starved, test.heard.changes) == (False, [])


# --- stopped


async def stopped(test: LaneUnderTest) -> None:
    """Let a poll find out that the source is not there."""
    test.offer("gone", MISSING)
    await until(lambda: test.lane.stopped)
    test.started.clear()


@pytest.mark.parametrize("refusal", [refusal for refusal in Refusal if refusal.stops])
@in_virtual_time
async def test_a_source_that_cannot_be_used_stops_its_lane(refusal: Refusal) -> None:
    test = LaneUnderTest(2)
    test.offer("a", refused(refusal))
    await until(lambda: test.lane.stopped)
    assert test.heard.changes == [f"stopped: {refusal.value}"]
    assert (test.lane.room(), test.offer("b")) == (0, False)


@in_virtual_time
async def test_what_a_stopped_lane_has_queued_is_left_and_what_it_polls_goes_on() -> None:
    test = LaneUnderTest(2)
    test.hold()
    test.offer("a", MISSING)
    test.offers(*"bcd")
    await idle()
    test.let_go()
    await until(lambda: test.lane.idle)
    assert (test.ids, test.lane.in_hand) == (["a", "b"], set())


@in_virtual_time
async def test_a_stopped_lane_rests_and_asks_whether_the_source_is_there_less_and_less_often() -> None:
    test = LaneUnderTest(2, GONE)
    await stopped(test)
    await passed(60)
    assert gaps([0.0, *test.source.probed])[:7] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert (test.started, test.lane.room()) == ([], 0)


@in_virtual_time
async def test_a_lane_whose_source_is_there_again_lets_one_poll_try_and_then_opens() -> None:
    test = LaneUnderTest(4, GONE, None)
    await stopped(test)
    assert test.offers(*"abc") == [False] * 3
    await passed(1.6)
    assert [round(at, 3) for at in test.heard.freed_at] == [1.5]
    test.hold()
    assert (test.lane.room(), test.offers(*"abc")) == (1, [True, False, False])
    await passed(30)
    assert (test.ids, test.lane.stopped) == (["a"], True)
    test.let_go()
    await until(lambda: test.lane.idle)
    assert (test.lane.stopped, test.lane.trouble, test.heard.changes[-1]) == (False, None, "well")
    assert (len(test.heard.freed_at), test.lane.room()) == (2, 8)


@in_virtual_time
async def test_a_try_that_is_refused_makes_the_lane_rest_for_longer() -> None:
    test = LaneUnderTest(4)
    await stopped(test)
    tries = []
    for _ in range(4):
        test.offer("a", MISSING)
        await until_time_passes(test.lane.room)
        tries.append(now())
        test.offer("a", MISSING)
        await until(lambda: test.lane.idle)
        assert test.lane.stopped
    assert gaps([0.0, *tries]) == [0.5, 1.0, 2.0, 4.0]


@in_virtual_time
async def test_a_try_that_says_nothing_of_the_source_lets_another_one_try() -> None:
    test = LaneUnderTest(4)
    await stopped(test)
    test.offer("a")
    await passed(0.6)
    assert test.offers("lost", "b", end=LOST) == [True, False]
    await until(lambda: test.lane.idle)
    assert (test.lane.stopped, test.lane.room(), len(test.heard.freed_at)) == (True, 1, 2)


@in_virtual_time
async def test_a_try_that_finds_the_source_busy_opens_the_lane_slowly() -> None:
    test = LaneUnderTest(4)
    await stopped(test)
    test.offer("a")
    await passed(0.6)
    test.offer("a", BUSY)
    await until(lambda: test.lane.idle)
    assert (test.lane.stopped, test.lane.room(), test.heard.changes[-1]) == (False, 1, "throttled")


@in_virtual_time
async def test_a_lane_opens_after_its_rest_where_nothing_is_due() -> None:
    test = LaneUnderTest(2)
    await stopped(test)
    test.lane.nobody_waits()
    await passed(0.6)
    assert (test.lane.stopped, test.lane.trouble, test.heard.changes[-1]) == (False, None, "well")
    assert (test.lane.room(), test.heard.freed_at) == (4, [])


@in_virtual_time
async def test_a_lane_tells_of_room_for_what_it_left_when_it_stopped() -> None:
    test = LaneUnderTest(2)
    test.hold()
    test.offers(*"abcd", end=LOST)
    await idle()
    test.lane.stop(MISSING.troubles[0])
    test.let_go()
    await passed(0.6)
    assert (test.ids, [round(at, 3) for at in test.heard.freed_at]) == (["a", "b"], [0.5])


@in_virtual_time
async def test_a_lane_that_was_open_again_rests_shortly_the_next_time() -> None:
    test = LaneUnderTest(2, GONE, GONE, GONE, None)
    await stopped(test)
    test.lane.nobody_waits()
    await passed(20)
    assert not test.lane.stopped
    test.source.probed.clear()
    at = now()
    await stopped(test)
    await passed(20)
    assert gaps([at, *test.source.probed]) == [0.5]


@in_virtual_time
async def test_polls_that_were_under_way_when_a_lane_stopped_prolong_no_rest() -> None:
    test = LaneUnderTest(4)
    test.offers(*"abcd", end=MISSING)
    await until(lambda: test.lane.idle)
    assert test.heard.changes == ["stopped: does not exist"]
    test.offer("e")
    await passed(0.6)
    assert test.source.probed == [0.5]


@in_virtual_time
async def test_a_poll_that_was_under_way_and_was_taken_opens_the_lane_at_once() -> None:
    test = LaneUnderTest(2)
    test.hold()
    test.offer("a")
    await idle()
    test.lane.stop(MISSING.troubles[0])
    assert test.offer("b") is False
    test.let_go()
    await until(lambda: test.lane.idle)
    assert (now(), test.lane.stopped, len(test.heard.freed_at)) == (0, False, 1)


@in_virtual_time
async def test_a_lane_that_was_slow_before_it_stopped_lets_its_try_start() -> None:
    """The pace makes the try wait longer than the rest lasted."""
    test = LaneUnderTest(1)
    await slowed(test, polls=1)
    test.lane.stop(MISSING.troubles[0])
    test.offer("a")
    await passed(0.55)
    assert test.offer("a") is True
    await passed(1)
    assert (test.ids, test.lane.stopped) == (["a"], False)


@in_virtual_time
async def test_a_lane_that_opens_before_its_rest_is_over_keeps_its_pace() -> None:
    test = LaneUnderTest(2, GONE)
    await stopped(test)
    await passed(20)
    assert test.lane.stopped
    test.lane._learn([BUSY], now())
    test.offer("a")
    await passed(1.1)
    assert test.ids == ["a"]


@in_virtual_time
async def test_a_stopped_lane_stays_in_trouble_however_long_it_rests() -> None:
    test = LaneUnderTest(2, GONE)
    await stopped(test)
    await passed(300)
    test.lane.refresh()
    assert (test.lane.stopped, test.heard.changes[-1]) == (True, "stopped: does not exist")


# --- before the first job, and at the end


@in_virtual_time
async def test_a_source_that_is_not_there_is_told_of_before_the_first_job_needs_it() -> None:
    test = LaneUnderTest(2, GONE, None)
    test.lane.look_at_source()
    await idle()
    assert (test.lane.stopped, test.heard.changes) == (True, ["stopped: does not exist"])
    await passed(0.6)
    assert (test.lane.stopped, test.lane.room()) == (False, 4)


@in_virtual_time
async def test_a_source_that_is_there_changes_nothing() -> None:
    test = LaneUnderTest(2)
    test.lane.look_at_source()
    test.offer("a")
    await until(lambda: test.lane.idle)
    assert (test.source.probed, test.heard.changes, test.lane.room()) == ([0.0], [], 4)


@pytest.mark.parametrize("refusal", [Refusal.THROTTLED, Refusal.UNAVAILABLE])
@in_virtual_time
async def test_a_probe_that_meets_a_busy_service_says_nothing_of_the_source(refusal: Refusal) -> None:
    """Lambda answers questions about functions at another rate than it runs them."""

    test = LaneUnderTest(2, CloudError("slow down", refusal))
    test.lane.look_at_source()
    await idle()
    assert (test.lane.stopped, test.heard.changes, test.lane.room()) == (False, [], 4)
    await stopped(test)
    test.offer("a")
    await passed(0.6)
    assert test.offer("a") is True


@in_virtual_time
async def test_a_closed_lane_asks_for_its_source_no_more() -> None:
    test = LaneUnderTest(2, GONE)
    await stopped(test)
    test.lane.close()
    await passed(60)
    assert test.source.probed == []
    test.lane.stop(MISSING.troubles[0])
    await passed(60)
    assert test.source.probed == []


async def until_time_passes(true: Callable[[], object]) -> None:
    """Let time pass until something is true."""
    while not true():
        await passed(0.01)


@in_virtual_time
async def test_a_probe_that_ends_with_a_fault_of_ours_is_not_the_last_one() -> None:
    test = LaneUnderTest(2, ZeroDivisionError("ours"), None)
    await stopped(test)
    test.offer("a")
    await passed(3)
    assert (len(test.source.probed), test.lane.room()) == (2, 1)
