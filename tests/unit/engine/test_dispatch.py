"""Dispatch: which lane a due row goes to, which are passed by, and heartbeats while the source's lane takes nothing."""

import asyncio
from collections.abc import Sequence

import pytest

from scheduler.core.answers import PendingAnswer, Succeed
from scheduler.core.home import Home
from scheduler.core.instant import Instant, parse_iso
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import Found, Malformed, MalformedRowError
from scheduler.core.token_row import TokenRow
from scheduler.engine import dispatch
from scheduler.engine.dispatch import Dispatch
from scheduler.engine.lanes import Lane
from scheduler.engine.poller import Claimed
from tests.fakes import token_row
from tests.unit.conftest import Logs
from tests.unit.engine.lane_fakes import MISSING, Heard
from tests.virtual_time import idle, in_virtual_time, now

pytestmark = pytest.mark.usefixtures("logs")

NOW = parse_iso("2026-01-01T00:10:00Z")
FAULT = MalformedRowError("expiresAt", None, "is missing")


class NotingPoller:
    """Notes which rows it was asked to poll, and waits with them while it is held; its claims are won or lost."""

    def __init__(self, batch: int = 1, *, claims: bool = True) -> None:
        self.batch = batch
        self.claims = claims
        self.polled: list[list[str]] = []
        self.loses: set[str] = set()
        self._gate = asyncio.Event()
        self._gate.set()

    def hold(self) -> None:
        self._gate.clear()

    def let_go(self) -> None:
        self._gate.set()

    async def poll(self, rows: Sequence[Found], tick: Instant, claimed: Claimed | None = None) -> list[Outcome]:
        assert tick == NOW
        self.polled.append([row.job_id for row in rows])
        if claimed:
            claimed(won=rows[0].job_id not in self.loses)
        await self._gate.wait()
        return [Outcome(Kind.LOST, row.job_id) for row in rows]

    async def probe(self) -> None:
        raise NotImplementedError


class DispatchUnderTest:
    """Dispatch to a lane and a desk that only note what they are asked."""

    def __init__(self, slots: int = 4, *, poller: NotingPoller | None = None, desk: bool = True) -> None:
        self.poller, self.at_desk = poller or NotingPoller(), NotingPoller()
        self.heard = Heard()
        self.lane = Lane("jobs", self.poller, slots, self.heard, now)
        self.desk = Lane("desk", self.at_desk, 64, self.heard, now) if desk else None
        self.dispatch = Dispatch(self.lane, self.desk, Home("us-east-1", "000000000000"), 60, now)
        self.lost: list[int | None] = []
        self.dispatch.on_lost = self.lost.append

    async def hand(self, *rows: Found, shard: int | None = None) -> dispatch.Handed:
        handed = self.dispatch.hand(rows, NOW, shard)
        await idle()
        return handed

    def ids(self) -> list[str]:
        """Give the ids of all rows that the source's lane has polled."""
        return [job_id for batch in self.poller.polled for job_id in batch]

    def beaten(self) -> list[str]:
        """Give the ids of all rows that the desk has polled."""
        return [job_id for batch in self.at_desk.polled for job_id in batch]


def rows(ids: str, **changes: object) -> list[TokenRow]:
    return [token_row(job_id, **changes) for job_id in ids]


# --- which lane


@in_virtual_time
async def test_a_due_row_goes_to_the_lane_of_its_source() -> None:
    test = DispatchUnderTest()
    handed = await test.hand(*rows("abc"))
    assert (test.ids(), test.beaten()) == (["a", "b", "c"], [])
    assert (handed.taken, handed.refused) == (3, set())


@in_virtual_time
async def test_kept_answers_and_rows_that_cannot_be_understood_go_to_the_desk() -> None:
    test = DispatchUnderTest()
    kept = token_row("kept", pending=PendingAnswer(Succeed("{}")))
    handed = await test.hand(kept, token_row("a"), Malformed("odd", FAULT))
    assert (test.ids(), test.beaten(), handed.taken) == (["a"], ["kept", "odd"], 3)


@in_virtual_time
async def test_they_go_there_though_the_source_s_lane_takes_nothing() -> None:
    test = DispatchUnderTest()
    test.lane.stop(MISSING.troubles[0])
    handed = await test.hand(token_row("a"), Malformed("odd", FAULT))
    assert (test.beaten(), handed.taken, handed.refused) == (["odd"], 1, {"a"})
    test.lane.close()


@in_virtual_time
async def test_without_a_desk_everything_is_the_poller_s() -> None:
    test = DispatchUnderTest(poller=NotingPoller(claims=False), desk=False)
    await test.hand(token_row("kept", pending=PendingAnswer(Succeed("{}"))), Malformed("odd", FAULT))
    assert sorted(test.ids()) == ["kept", "odd"]
    assert test.dispatch.lanes == [test.lane]


@pytest.mark.parametrize(
    ("batch", "polled"), [(1, [["a"], ["b"], ["c"]]), (2, [["a", "b"], ["c"]]), (5, [["a", "b", "c"]])]
)
@in_virtual_time
async def test_rows_are_polled_in_batches_and_the_last_may_be_smaller(batch: int, polled: list[list[str]]) -> None:
    test = DispatchUnderTest(poller=NotingPoller(batch, claims=False), desk=False)
    handed = await test.hand(*rows("abc"))
    assert (test.poller.polled, handed.taken) == (polled, 3)


@in_virtual_time
async def test_what_a_lane_has_no_room_for_is_left_batch_by_batch() -> None:
    test = DispatchUnderTest(1, poller=NotingPoller(2, claims=False), desk=False)
    test.poller.hold()
    handed = await test.hand(*rows("abcdefg"))
    assert (handed.taken, handed.refused) == (4, {"e", "f", "g"})
    assert [row.job_id for row in handed.left()] == ["e", "f", "g"]
    assert [row.job_id for row in handed.taken_in_order()] == ["a", "b", "c", "d"]
    test.poller.let_go()


@in_virtual_time
async def test_only_the_rows_before_the_first_that_was_left_count_as_taken_in_order() -> None:
    test = DispatchUnderTest(1)
    test.poller.hold()
    handed = await test.hand(*rows("abc"), Malformed("odd", FAULT))
    assert (handed.taken, handed.refused) == (3, {"c"})
    assert [row.job_id for row in handed.taken_in_order()] == ["a", "b"]
    test.poller.let_go()


# --- which are passed by


@in_virtual_time
async def test_a_job_that_is_queued_or_polled_is_passed_by() -> None:
    test = DispatchUnderTest(1)
    test.poller.hold()
    await test.hand(*rows("ab"))
    handed = await test.hand(*rows("ab"))
    assert (handed.taken, handed.refused, test.ids()) == (0, set(), ["a"])
    test.poller.let_go()
    await idle()
    assert test.ids() == ["a", "b"]
    await test.hand(*rows("a"))
    assert test.ids() == ["a", "b", "a"]


@in_virtual_time
async def test_in_lambda_mode_a_job_whose_invocation_is_under_way_is_not_invoked_again() -> None:
    test = DispatchUnderTest(poller=NotingPoller(3, claims=False), desk=False)
    test.poller.hold()
    await test.hand(*rows("abcd"))
    await test.hand(*rows("abcde"))
    assert test.poller.polled == [["a", "b", "c"], ["d"], ["e"]]
    test.poller.let_go()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"execution_id": "arn:aws:states:eu-west-1:000000000000:execution:flow:run"},
            "its execution is in region eu-west-1, and this is us-east-1",
        ),
        (
            {"execution_id": "arn:aws:states:us-east-1:111122223333:execution:flow:run"},
            "its execution is in account 111122223333, and this is 000000000000",
        ),
    ],
    ids=str,
)
@in_virtual_time
async def test_a_row_that_is_not_ours_is_left_alone_with_one_warning(
    changes: dict[str, object], reason: str, logs: Logs
) -> None:
    test = DispatchUnderTest()
    for _ in range(3):
        handed = await test.hand(token_row("theirs", **changes), token_row("ours"))
        assert (handed.taken, handed.refused) == (1, set())
    assert test.ids() == ["ours"] * 3
    (line,) = logs()
    assert (line["level"], line["event"], line["job_id"], line["error"]) == (
        "warning",
        "row.left_alone",
        "theirs",
        reason,
    )


@in_virtual_time
async def test_a_row_that_cannot_be_polled_here_is_passed_by_for_five_minutes() -> None:
    test = DispatchUnderTest()
    test.dispatch.leave("a")
    seen = []
    for _ in range(4):
        seen.append((await test.hand(*rows("ab"))).taken)
        await asyncio.sleep(100)
    assert seen == [1, 1, 1, 2]


@in_virtual_time
async def test_a_row_whose_execution_is_elsewhere_is_told_of_again_after_five_minutes(logs: Logs) -> None:
    test, told = DispatchUnderTest(), []
    for _ in range(5):
        await test.hand(token_row("theirs", execution_id="arn:aws:states:eu-west-1:000000000000:execution:flow:run"))
        told.append(len(logs()))
        await asyncio.sleep(100)
    assert (told, test.ids()) == ([1, 1, 1, 2, 2], [])


@in_virtual_time
async def test_of_a_source_that_is_not_known_here_one_row_is_told_for_each_name_and_spell(logs: Logs) -> None:
    test = DispatchUnderTest()
    for _ in range(15):
        theirs = [token_row(f"{name}-{number}", source=name) for name in ("reports", "etl") for number in range(3)]
        handed = await test.hand(*theirs, token_row("ours"))
        assert (handed.taken, handed.refused) == (1, set())
        await asyncio.sleep(100)
    assert test.ids() == ["ours"] * 15
    assert [(line["level"], line["event"], line["job_id"], line["error"]) for line in logs()] == [
        ("warning", "source.unknown", "reports-0", "the row names source 'reports', which is not known here"),
        ("warning", "source.unknown", "etl-0", "the row names source 'etl', which is not known here"),
    ]
    await asyncio.sleep(1_000)
    await test.hand(token_row("reports-9", source="reports"))
    assert len(logs()) == 3


@in_virtual_time
async def test_in_lambda_mode_the_poller_gets_rows_of_any_source(logs: Logs) -> None:
    test = DispatchUnderTest(poller=NotingPoller(5, claims=False), desk=False)
    await test.hand(token_row("a"), token_row("b", source="reports"), token_row("c", source="etl"))
    assert (test.poller.polled, logs()) == ([["a", "b", "c"]], [])


@in_virtual_time
async def test_no_more_than_so_many_left_rows_are_remembered_and_the_oldest_is_forgotten_first() -> None:
    test = DispatchUnderTest()
    for number in range(dispatch._MOST_LEFT):
        test.dispatch.leave(f"left-{number}")
    test.dispatch.leave("left-0")
    test.dispatch.leave("one more")
    assert len(test.dispatch._left) == dispatch._MOST_LEFT
    await test.hand(*[token_row(job_id) for job_id in ("left-0", "left-1", "left-2", "one more")])
    assert test.ids() == ["left-1"]


# --- pages that other replicas may be at


@in_virtual_time
async def test_the_rows_of_a_shard_go_out_in_any_order_and_those_of_a_scan_in_their_own() -> None:
    ids = [f"job-{number:02}" for number in range(60)]
    orders = []
    for shard in (None, 3, 3):
        test = DispatchUnderTest(64)
        await test.hand(*map(token_row, ids), shard=shard)
        orders.append(test.ids())
    assert orders[0] == ids
    assert all(sorted(order) == ids != order for order in orders[1:])
    assert orders[1] != orders[2]


@in_virtual_time
async def test_of_the_rows_of_a_page_one_is_claimed_and_then_twice_as_many_with_each_that_is_won() -> None:
    test = DispatchUnderTest(16)
    test.poller.hold()
    handed = test.dispatch.hand(rows("abcdefgh"), NOW, 0)
    assert handed.taken == 8
    seen = []
    for _ in range(6):
        await asyncio.sleep(0)
        seen.append(len(test.poller.polled))
    assert seen[0] == 1
    assert seen[-1] == 8
    test.poller.let_go()


@in_virtual_time
async def test_a_claim_that_is_lost_leaves_the_rest_of_its_page_to_whoever_won_it_and_tells_the_shard() -> None:
    test = DispatchUnderTest(16)
    test.poller.loses.update("abcdefgh")
    handed = await test.hand(*rows("abcdefgh"), shard=2)
    assert (handed.taken, len(test.ids()), test.lost) == (8, 1, [2])
    assert test.lane.in_hand == set()


@in_virtual_time
async def test_a_lost_claim_ends_no_other_page() -> None:
    test = DispatchUnderTest(16)
    test.poller.loses.add("a")
    test.dispatch.hand(rows("abc"), NOW, 0)
    await test.hand(*rows("def"), shard=1)
    assert set(test.ids()) >= {"d", "e", "f"}
    assert test.lost in ([], [0])


@in_virtual_time
async def test_where_the_claims_are_not_ours_to_see_all_rows_of_a_page_go_out_at_once() -> None:
    test = DispatchUnderTest(16, poller=NotingPoller(claims=False), desk=False)
    test.poller.hold()
    test.dispatch.hand(rows("abcdefgh"), NOW, 0)
    await asyncio.sleep(0)
    assert len(test.poller.polled) == 8
    test.poller.let_go()


# --- heartbeats while the source's lane takes nothing

LATE = {"heartbeat": True, "next_poll_at": NOW - 31_000}


def stopped() -> DispatchUnderTest:
    """Give a dispatch whose source cannot be used."""
    test = DispatchUnderTest()
    test.lane.stop(MISSING.troubles[0])
    return test


@in_virtual_time
async def test_a_task_that_wants_heartbeats_gets_them_at_the_desk_while_its_source_cannot_be_asked() -> None:
    test = stopped()
    handed = await test.hand(token_row("beats", **LATE), token_row("mute", next_poll_at=NOW - 31_000))
    assert (test.beaten(), test.ids()) == (["beats"], [])
    assert handed.refused == {"beats", "mute"}
    test.lane.close()


@in_virtual_time
async def test_it_gets_one_in_each_interval_however_often_it_is_found() -> None:
    test = stopped()
    beats = []
    for _ in range(130):
        await test.hand(token_row("slow", **LATE), token_row("quick", **LATE, interval_seconds=30))
        beats += [(job_id, round(now())) for job_id in test.beaten()]
        test.at_desk.polled.clear()
        await asyncio.sleep(1)
    assert [at for job_id, at in beats if job_id == "slow"] == [0, 60, 120]
    assert [at for job_id, at in beats if job_id == "quick"] == [0, 30, 60, 90, 120]
    test.lane.close()


@pytest.mark.parametrize(
    ("next_poll_at", "beaten"), [(None, True), (NOW - 30_001, True), (NOW - 29_999, False), (NOW, False)], ids=str
)
@in_virtual_time
async def test_a_lane_that_is_only_full_lets_it_wait_for_half_of_its_interval(
    next_poll_at: int | None, *, beaten: bool
) -> None:
    test = DispatchUnderTest(1)
    test.poller.hold()
    await test.hand(*rows("ab"))
    await test.hand(token_row("beats", heartbeat=True, next_poll_at=next_poll_at))
    assert test.beaten() == (["beats"] if beaten else [])
    test.poller.let_go()


@in_virtual_time
async def test_a_beat_that_the_desk_has_no_room_for_is_sent_when_it_has() -> None:
    test = stopped()
    assert test.desk
    test.at_desk.hold()
    await test.hand(*[Malformed(f"odd-{number}", FAULT) for number in range(128)])
    await test.hand(token_row("beats", **LATE))
    test.at_desk.let_go()
    await idle()
    assert "beats" not in test.beaten()
    await test.hand(token_row("beats", **LATE))
    assert "beats" in test.beaten()
    test.lane.close()


@in_virtual_time
async def test_without_a_desk_nobody_beats() -> None:
    test = DispatchUnderTest(1, poller=NotingPoller(claims=False), desk=False)
    test.lane.stop(MISSING.troubles[0])
    assert (await test.hand(token_row("beats", **LATE))).refused == {"beats"}
    test.lane.close()
