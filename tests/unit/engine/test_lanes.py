"""Lanes that are open: slots, queues, turns, and slots that are never lost."""

import asyncio

import pytest

from scheduler.core.outcome import Outcome
from scheduler.engine.turns import Turn
from tests.unit.engine.lane_fakes import LOST, TOOK, LaneUnderTest
from tests.virtual_time import idle, in_virtual_time, now, until

# --- room


@in_virtual_time
async def test_a_lane_takes_as_many_as_it_has_slots_and_queues_as_many_again() -> None:
    test = LaneUnderTest(2)
    test.hold()
    assert test.lane.room() == 4
    assert test.offers(*"abcdef") == [True] * 4 + [False] * 2
    await idle()
    assert (test.ids, test.lane.in_flight, test.lane.room()) == (["a", "b"], 2, 0)


@in_virtual_time
async def test_what_is_queued_starts_in_its_order_as_slots_get_free() -> None:
    test = LaneUnderTest(2)
    test.offers(*"abcd")
    await until(lambda: test.lane.idle)
    assert test.ids == list("abcd")
    assert [job_ids for job_ids, _ in test.heard.ends] == [("a",), ("b",), ("c",), ("d",)]


@in_virtual_time
async def test_what_was_refused_is_never_polled() -> None:
    test = LaneUnderTest(1)
    test.offers(*"abc")
    await until(lambda: test.lane.idle)
    assert test.ids == ["a", "b"]
    assert "c" not in test.lane.in_hand


@in_virtual_time
async def test_jobs_are_in_hand_while_they_are_queued_or_polled() -> None:
    test = LaneUnderTest(1)
    test.hold()
    test.offers(*"ab")
    await idle()
    assert test.lane.in_hand == {"a", "b"}
    assert not test.lane.idle
    test.let_go()
    await until(lambda: test.lane.idle)
    assert test.lane.in_hand == set()


@in_virtual_time
async def test_a_lane_that_refused_something_tells_once_it_has_room_for_half_of_its_slots() -> None:
    test = LaneUnderTest(4)
    test.hold()
    assert test.offers(*"abcdefghi")[-1] is False
    told = []
    for _ in range(2):
        next(iter(test.lane._polls)).cancel()
        await idle()
        told.append(len(test.heard.freed_at))
    assert told == [0, 1]
    test.let_go()
    await until(lambda: test.lane.idle)
    assert len(test.heard.freed_at) == 1


@in_virtual_time
async def test_a_lane_that_refused_nothing_tells_nobody_of_its_room() -> None:
    test = LaneUnderTest(2)
    test.offers(*"abcd")
    await until(lambda: test.lane.idle)
    assert test.heard.freed_at == []


@in_virtual_time
async def test_a_lane_tells_nobody_of_its_room_once_nobody_waits() -> None:
    test = LaneUnderTest(1)
    test.offers(*"abc")
    test.lane.nobody_waits()
    await until(lambda: test.lane.idle)
    assert test.heard.freed_at == []


# --- slots are never lost


@pytest.mark.parametrize("end", [TOOK, LOST, RuntimeError("a fault of ours")], ids=["taken", "lost", "crashed"])
@in_virtual_time
async def test_every_slot_is_given_back_however_a_poll_ends(end: Outcome | Exception) -> None:
    test = LaneUnderTest(2)
    for _ in range(3):
        test.offers(*"abcd", end=end)
        await until(lambda: test.lane.idle)
        assert (test.lane.in_flight, test.lane.room(), test.lane.in_hand) == (0, 4, set())
    assert len(test.started) == 12


@in_virtual_time
async def test_a_fault_of_ours_in_a_poll_is_heard_and_ends_no_other() -> None:
    test = LaneUnderTest(1)
    fault = RuntimeError("a fault of ours")
    test.offer("a", fault)
    test.offer("b")
    await until(lambda: test.lane.idle)
    assert test.heard.ends == [(("a",), fault), (("b",), [TOOK])]
    assert (test.lane.trouble, test.heard.changes) == (None, [])


@in_virtual_time
async def test_a_poll_that_is_aborted_before_its_first_step_gives_its_slot_back() -> None:
    test = LaneUnderTest(1)
    test.offer("a")
    test.lane.abort()
    await idle()
    assert (test.started, test.lane.idle, test.lane.in_hand) == ([], True, set())
    test.offer("b")
    await until(lambda: test.lane.idle)
    assert test.ids == ["b"]


@in_virtual_time
async def test_polls_that_are_aborted_give_their_slots_back_and_are_not_heard_of() -> None:
    test = LaneUnderTest(2)
    test.hold()
    test.offers(*"ab")
    await idle()
    test.lane.abort()
    await idle()
    assert (test.lane.idle, test.lane.in_hand, test.heard.ends) == (True, set(), [])
    assert test.lane.room() == 4


@in_virtual_time
async def test_what_is_dropped_from_the_queue_is_no_more_in_hand_and_what_is_polled_goes_on() -> None:
    test = LaneUnderTest(1)
    test.hold()
    test.offers(*"ab")
    await idle()
    test.lane.drop()
    assert test.lane.in_hand == {"a"}
    test.let_go()
    await until(lambda: test.lane.idle)
    assert test.ids == ["a"]


# --- the end


@in_virtual_time
async def test_a_lane_that_is_closed_takes_nothing_and_ends_what_it_polls() -> None:
    test = LaneUnderTest(1)
    test.hold()
    test.offers(*"ab")
    await idle()
    test.lane.close()
    assert (test.lane.room(), test.offer("c"), test.lane.in_hand) == (0, False, {"a"})
    test.let_go()
    await test.lane.ended()
    assert (test.ids, test.heard.freed_at) == (["a"], [])


@in_virtual_time
async def test_whoever_waits_for_a_lane_waits_for_what_is_queued_too() -> None:
    test = LaneUnderTest(1)
    test.offers(*"ab")
    await test.lane.drained()
    assert test.ids == ["a", "b"]
    await test.lane.drained()


@in_virtual_time
async def test_the_end_of_what_is_polled_does_not_wait_for_time_to_pass() -> None:
    test = LaneUnderTest(2)
    test.hold()
    test.offers(*"ab")
    ending = asyncio.create_task(test.lane.ended())
    await idle()
    assert not ending.done()
    test.let_go()
    await ending
    assert now() == 0


# --- turns


@in_virtual_time
async def test_the_rows_of_a_page_start_as_their_turn_lets_them() -> None:
    test, turn = LaneUnderTest(8), Turn()
    test.hold()
    test.offers(*"abcdefgh", turn=turn)
    seen = []
    for _ in range(4):
        await idle()
        seen.append(len(test.started))
        turn.won()
        test.lane.advance()
    assert seen == [1, 2, 4, 8]


@in_virtual_time
async def test_the_rest_of_a_page_is_left_where_one_of_it_was_lost_and_other_pages_go_on() -> None:
    test, lost, other = LaneUnderTest(4), Turn(), Turn()
    test.hold()
    test.offers(*"abc", turn=lost)
    test.offers(*"de", turn=other)
    await idle()
    lost.lost()
    test.lane.advance()
    assert test.lane.in_hand == {"a", "d", "e"}
    test.let_go()
    await until(lambda: test.lane.idle)
    assert test.ids == ["a", "d", "e"]


@in_virtual_time
async def test_a_page_whose_polls_end_without_a_claim_is_polled_to_its_end() -> None:
    test, turn = LaneUnderTest(2), Turn()
    test.offers(*"abcd", turn=turn)
    await until(lambda: test.lane.idle)
    assert test.ids == list("abcd")


@in_virtual_time
async def test_a_row_that_is_aborted_gives_its_turn_to_the_next_of_its_page() -> None:
    test, turn = LaneUnderTest(2), Turn()
    test.hold()
    test.offers(*"ab", turn=turn)
    await idle()
    test.lane.abort()
    await idle()
    assert test.ids == ["a", "b"]
