"""Taking up: claims for a hold, what becomes of those that fail, and how many there are."""

from collections.abc import Sequence
from typing import Any

import pytest

from scheduler.core.check_replies import Completed
from scheduler.core.effects import Claim, Failure
from scheduler.core.home import Home
from scheduler.core.row_reader import read_found, read_row
from scheduler.core.token import TokenTrace
from tests.replicas import Cloud, Replica
from tests.virtual_time import in_virtual_time, sleep

pytestmark = pytest.mark.usefixtures("logs")

LEASE = 31


class LosesReplies:
    """Writes to a table, and loses the replies to some rows' writes, applied or not."""

    def __init__(self, cloud: Cloud, times: int = 1, *, applied: bool = True) -> None:
        self._cloud = cloud
        self._times = times
        self._applied = applied

    async def write_many(self, effects: Sequence[Any]) -> list[Any]:
        lost, self._times = self._times > 0, self._times - 1
        results = await self._cloud.table.write_many(effects) if self._applied or not lost else []
        return [Failure("ReadTimeoutError: no reply in time")] * len(effects) if lost else results


@pytest.mark.parametrize(
    ("interval", "hold", "lasts"),
    [(10, 3_600, 30 * 10 + LEASE), (0.5, 3_600, 15 + LEASE), (600, 3_600, 3_600), (5, 40, 40)],
)
@in_virtual_time
async def test_a_claim_holds_a_row_for_thirty_intervals_and_a_lease_at_most_as_long_as_is_set(
    interval: float, hold: float, lasts: float
) -> None:
    cloud = Cloud()
    cloud.add()
    replica = Replica(cloud, interval=interval, hold=hold)
    await replica.take_up()
    assert cloud.due_in() == lasts
    assert replica.row().ends == lasts
    assert cloud.item()["heldBy"] == {"S": "one"}


@in_virtual_time
async def test_a_hold_is_counted_from_before_its_claim_was_sent() -> None:
    cloud = Cloud()
    cloud.add()
    replica = Replica(cloud)
    writer = replica.writer

    class Slow:
        async def write_many(self, effects: Sequence[Any]) -> list[Any]:
            await sleep(3)
            return list(await writer.write_many(effects))

    replica.writer = Slow()
    await replica.take_up()
    assert replica.row().ends == 30 * 10 + LEASE


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        ({"intervalSeconds": {"N": "3600"}}, {}),
        ({"pendingAnswer": {"M": {"tries": {"N": "1"}, "output": {"S": "{}"}}}}, {}),
        ({"source": {"S": "elsewhere"}}, {}),
        ({}, {"most": 0}),
        ({}, {"hold": 0}),
        ({}, {"hold": 40}),
        ({"taskToken": {"S": ""}}, {}),
    ],
)
@in_virtual_time
async def test_rows_that_cannot_be_held_are_not_taken(changes: dict[str, Any], settings: dict[str, Any]) -> None:
    cloud = Cloud()
    cloud.add(**changes)
    replica = Replica(cloud, **settings)
    replica.held.fresh = lambda: True
    assert not replica.taking_up.takes(read_found(cloud.item()))


@in_virtual_time
async def test_rows_of_another_home_are_not_taken() -> None:
    cloud = Cloud()
    cloud.add()
    replica = Replica(cloud)
    replica.held.fresh = lambda: True
    assert replica.taking_up.takes(read_row(cloud.item()))
    replica.policy.home.region = "eu-west-1"
    assert isinstance(replica.policy.home, Home)
    assert not replica.taking_up.takes(read_row(cloud.item()))


@in_virtual_time
async def test_nothing_is_taken_by_a_replica_that_may_be_gone_to_the_others() -> None:
    cloud = Cloud()
    cloud.add()
    replica = Replica(cloud)
    assert not replica.taking_up.takes(read_row(cloud.item()))


@in_virtual_time
async def test_there_is_no_room_while_a_replica_gives_away_does_not_keep_up_or_drains() -> None:
    replica = Replica(Cloud(), most=1_500)
    assert replica.taking_up.room() == 1_000
    replica.held.claiming.update(map(str, range(990)))
    assert replica.taking_up.room() == 10
    replica.held.claiming.update(map(str, range(1_200)))
    assert replica.taking_up.room() == 0
    replica.held.claiming.clear()
    replica.held.giving_away = True
    assert replica.taking_up.room() == 0
    replica.held.giving_away, replica.held.closed = False, True
    assert replica.taking_up.room() == 0


@in_virtual_time
async def test_no_more_rows_are_held_than_may_be_and_the_rest_is_polled_claim_by_claim() -> None:
    cloud = Cloud()
    ids = cloud.add_many(30, intervalSeconds={"N": "40"})
    async with Replica(cloud, most=20, slots=100).running(ticks=1) as replica:
        replica.held.fresh = lambda: True
        await sleep(100)
        assert len(replica.rows) == 20
        assert {len(cloud.source.checks[job_id]) for job_id in ids} == {3}


@in_virtual_time
async def test_the_token_is_not_kept_in_memory_unless_heartbeats_need_it() -> None:
    cloud = Cloud()
    cloud.add("silent")
    cloud.add("beats", heartbeat={"BOOL": True})
    replica = Replica(cloud)
    await replica.take_up()
    assert isinstance(replica.row("silent").row.token, TokenTrace)
    assert replica.row("beats").row.token.reveal() == "AQ-beats"


# What goes wrong


@in_virtual_time
async def test_a_claim_that_another_replica_won_is_told_and_forgotten() -> None:
    cloud = Cloud()
    ids = cloud.add_many(10)
    replica = Replica(cloud)
    rows: list[Any] = [read_row(cloud.item(job_id)) for job_id in ids]
    await Replica(cloud, "two").take_up(*ids)
    told: list[bool] = []
    replica.taking_up.take_up(rows, lambda: told.append(True))
    await replica.taking_up.ended()
    assert (replica.rows, replica.held.claiming, told) == ({}, set(), [True])
    claims = [effect for effect in cloud.table.writes if isinstance(effect, Claim) and effect.held_by == "one"]
    assert len(claims) == 2  # enough to learn that another is at this page


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("times", [1, 4])
@in_virtual_time
async def test_a_claim_whose_reply_is_lost_is_made_again_until_it_is_known_what_became_of_it(
    times: int, *, applied: bool
) -> None:
    cloud = Cloud()
    ids = cloud.add_many(3)
    async with Replica(cloud).running() as replica:
        replica.writer = LosesReplies(cloud, times, applied=applied)
        rows: list[Any] = [read_row(cloud.item(job_id)) for job_id in ids]
        replica.taking_up.take_up(rows)
        await sleep(0.5)
        assert replica.rows == {}
        assert replica.held.claiming == set(ids)
        assert replica.attention.table_trouble is not None
        await sleep(times)
        assert set(replica.rows) == set(ids)
        assert replica.held.claiming == set()
        assert {cloud.number("attemptCount", job_id) for job_id in ids} == {1}
        assert {held.ends for held in replica.rows.values()} == {30 * 10 + LEASE}
        assert {len(cloud.source.checks[job_id]) for job_id in ids} == {1}


@in_virtual_time
async def test_a_claim_whose_reply_is_lost_and_that_another_has_won_is_lost() -> None:
    cloud = Cloud()
    cloud.add()
    replica = Replica(cloud)
    replica.writer = LosesReplies(cloud, applied=False)
    replica.taking_up.take_up([read_row(cloud.item())])
    await Replica(cloud, "two").take_up()
    await replica.taking_up.ended()
    assert replica.rows == {}
    assert cloud.item()["heldBy"] == {"S": "two"}


@in_virtual_time
async def test_a_claim_whose_reply_comes_after_all_was_dropped_is_not_held_under_the_new_name() -> None:
    cloud = Cloud()
    cloud.add()
    replica = Replica(cloud)
    writer = replica.writer

    class Asleep:
        async def write_many(self, effects: Sequence[Any]) -> list[Any]:
            written = await writer.write_many(effects)
            replica.held.name = "another"
            return list(written)

    replica.writer = Asleep()
    await replica.take_up()
    assert (replica.rows, replica.held.claiming) == ({}, set())
    assert cloud.source.checks == {}


@in_virtual_time
async def test_a_claim_is_not_made_again_for_ever_while_a_replica_drains() -> None:
    cloud = Cloud()
    cloud.add()
    replica = Replica(cloud)
    replica.writer = LosesReplies(cloud, 1_000, applied=False)
    replica.taking_up.take_up([read_row(cloud.item())])
    await sleep(5)
    replica.held.closed = True
    await replica.taking_up.ended()
    assert replica.held.claiming == set()


@in_virtual_time
async def test_a_row_that_turns_out_malformed_when_it_is_claimed_is_set_aside() -> None:
    cloud = Cloud()
    cloud.add()
    row = read_row(cloud.item())
    cloud.item()["expiresAt"] = {"S": "tomorrow"}  # type: ignore[index]
    async with Replica(cloud).running() as replica:
        replica.taking_up.take_up([row])
        await sleep(1)
        assert replica.rows == {}
    assert cloud.item()["status"] == {"S": "QUARANTINED"}


@in_virtual_time
async def test_a_row_that_takes_no_claim_is_set_aside() -> None:
    cloud = Cloud()
    cloud.add(padding={"S": "x" * 409_320})
    async with Replica(cloud).running() as replica:
        await replica.take_up()
        await sleep(1)
        assert replica.rows == {}
    assert cloud.item()["status"] == {"S": "QUARANTINED"}
    assert cloud.source.checks == {}


@in_virtual_time
async def test_what_a_claim_has_counted_is_counted_once() -> None:
    cloud = Cloud()
    cloud.add()
    cloud.source.default = Completed("done")
    async with Replica(cloud).running() as replica:
        await replica.take_up()
        await sleep(1)
    assert cloud.number("attemptCount") == 1
