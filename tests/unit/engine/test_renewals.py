"""Renewals: the one write that keeps a row held, and that by which it is given free."""

from collections.abc import Sequence
from typing import Any

import pytest

from scheduler.core.check_replies import Unanswered
from scheduler.core.effects import Claim, Failure, Lost, Renew
from scheduler.core.instant import format_iso
from scheduler.core.row_reader import read_row
from scheduler.engine.held_row import Stage
from tests.replicas import START, Cloud, Replica
from tests.virtual_time import in_virtual_time, now, sleep

pytestmark = pytest.mark.usefixtures("logs")


def renewals(cloud: Cloud) -> list[Renew]:
    return [effect for effect in cloud.table.writes if isinstance(effect, Renew)]


@in_virtual_time
async def test_one_write_in_thirty_polls_renews_a_hold_and_saves_what_memory_knows() -> None:
    cloud = Cloud()
    cloud.add(unknownChecks={"N": "1"})
    cloud.source.default = Unanswered("no paper")
    async with Replica(cloud).running() as replica:
        await replica.take_up()
        await sleep(1_200)
        polls = len(cloud.source.checks["job-1"])
        (first, *others) = renewals(cloud)
        assert polls == 121
        assert 3 <= len(renewals(cloud)) <= 4
        assert first.row.attempt_count == 30
        item = cloud.item()
        assert item["lastError"] == {"S": "no paper"}
        assert item["unknownChecks"] == {"N": "0"}
        assert cloud.number("attemptCount") == others[-1].row.attempt_count
        assert item["heldBy"] == {"S": "one"}
        assert item["lastPolledAt"] == {"S": format_iso(others[-1].polled_at)}
        assert cloud.number("version") == 1 + len(renewals(cloud))
        assert cloud.due_in() == pytest.approx(replica.row().ends - now())


@in_virtual_time
async def test_a_hold_is_renewed_in_time_for_every_poll() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud, interval=3, hold=45).running() as replica:
        await replica.take_up()
        await sleep(300)
    assert cloud.source.checks["job-1"] == pytest.approx([3.0 * number for number in range(101)])


@pytest.mark.parametrize("stage", ["between polls", "in a poll"])
@in_virtual_time
async def test_a_renewal_that_is_lost_drops_the_row_in_silence(stage: str) -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud, hold=45).running() as replica:
        await replica.take_up()
        if stage == "in a poll":
            await sleep(5)
            cloud.source.seconds = 9
        await Replica(cloud, "two").take_up()
        await sleep(60)
        assert replica.rows == {}
        assert cloud.item()["heldBy"] == {"S": "two"}
        assert max(cloud.source.checks["job-1"]) < 15  # when the hold was to be renewed
        assert replica.attention.table_trouble is None


@in_virtual_time
async def test_a_renewal_whose_reply_is_lost_is_made_again_and_known_as_ones_own() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud, hold=60).running() as replica:
        await replica.take_up()
        cloud.table.lose_next_reply()
        await sleep(100)
        assert set(replica.rows) == {"job-1"}
        assert cloud.source.checks["job-1"] == [10.0 * number for number in range(11)]


@in_virtual_time
async def test_no_claim_of_what_was_read_before_a_renewal_wins_the_row() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud, hold=60).running() as replica:
        await replica.take_up()
        cloud.table.lose_next_reply()
        await sleep(24.5)  # it was renewed, and the reply lost
        claim = Claim(read_row(cloud.item()), "theirs", 0, 0, 0)
        await sleep(2)  # it was renewed once more
        assert len(renewals(cloud)) >= 2
        assert isinstance(await cloud.table.write(claim), Lost)
        assert set(replica.rows) == {"job-1"}


@in_virtual_time
async def test_a_renewal_that_arrives_late_holds_nothing_that_was_given_free() -> None:
    cloud = Cloud()
    cloud.add()
    replica = Replica(cloud)
    await replica.take_up()
    late = Renew(replica.row().saved(), 9_000_000_000_000, "one", START)
    await replica.renewals.free_all()
    free = dict(cloud.item())
    assert isinstance(await cloud.table.write(late), Lost)
    assert cloud.item() == free
    assert cloud.due_in() == 0


@in_virtual_time
async def test_a_renewal_fails_for_as_long_as_the_hold_lasts_and_then_the_row_is_dropped() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud, hold=60).running() as replica:
        await replica.take_up()
        cloud.table.fail_next_writes(10_000)
        await sleep(59)
        assert set(replica.rows) == {"job-1"}
        await sleep(3)
        assert replica.rows == {}


@in_virtual_time
async def test_renewals_are_made_in_batches_that_connections_can_carry() -> None:
    cloud = Cloud()
    ids = cloud.add_many(1_200)
    sizes: list[int] = []
    async with Replica(cloud, slots=2_000, most=2_000, hold=60).running() as replica:
        await replica.take_up(*ids)
        writer = replica.writer

        class Counted:
            async def write_many(self, effects: Sequence[Any]) -> list[Any]:
                sizes.append(len(effects))
                return list(await writer.write_many(effects))

        replica.writer = Counted()
        await sleep(25)
        assert sum(sizes) >= 1_200
        assert max(sizes) <= 500


@in_virtual_time
async def test_a_row_that_is_given_free_is_due_when_it_really_is() -> None:
    cloud = Cloud()
    cloud.add("timed")
    cloud.add("overdue")
    async with Replica(cloud).running() as replica:
        await replica.take_up("timed")
        await sleep(3)
        await replica.renewals.give_free([replica.row("timed")])
        assert cloud.due_in("timed") == 7
        assert "heldBy" not in cloud.item("timed")
        assert cloud.number("attemptCount", "timed") == 1
        assert replica.rows == {}
        await sleep(60)
        assert cloud.source.checks["timed"] == [0]


@in_virtual_time
async def test_a_row_that_was_never_polled_is_given_free_with_the_attempt_of_its_claim() -> None:
    cloud = Cloud()
    cloud.add()
    replica = Replica(cloud)
    replica.lane.close()
    await replica.take_up()
    assert cloud.number("attemptCount") == 1
    assert await replica.renewals.free_all()
    assert cloud.number("attemptCount") == 0
    assert cloud.due_in() == 0


@in_virtual_time
async def test_a_row_that_is_being_polled_is_not_given_free() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud).running() as replica:
        cloud.source.seconds = 5
        await replica.take_up()
        await sleep(1)
        assert replica.row().stage is Stage.POLLING
        await replica.renewals.free_all()
        assert set(replica.rows) == {"job-1"}
        await sleep(5)
        await replica.renewals.free_all()
        assert replica.rows == {}
        assert cloud.number("attemptCount") == 1


@in_virtual_time
async def test_a_row_that_could_not_be_given_free_goes_on_once_it_is_known_to_be_held() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud).running() as replica:
        await replica.take_up()
        await sleep(5)
        cloud.table.fail_next_writes(1)
        await replica.renewals.give_free([replica.row()])
        await sleep(2)
        assert set(replica.rows) == {"job-1"}
        assert cloud.item()["heldBy"] == {"S": "one"}
        assert cloud.due_in() > 100
        await sleep(20)
        assert cloud.source.checks["job-1"] == [0, 10, 20]


@in_virtual_time
async def test_a_row_that_was_given_free_with_its_reply_lost_is_dropped_as_soon_as_that_is_known() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud).running() as replica:
        await replica.take_up()
        await sleep(5)
        cloud.table.lose_next_reply()
        await replica.renewals.give_free([replica.row()])
        await sleep(2)
        assert replica.rows == {}
        assert "heldBy" not in cloud.item()
        assert cloud.due_in() == 3


@in_virtual_time
async def test_a_row_that_was_given_free_with_its_reply_lost_may_have_been_won_by_another() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud).running() as replica:
        await replica.take_up()
        await sleep(5)
        cloud.table.lose_next_reply()
        await replica.renewals.give_free([replica.row()])
        await Replica(cloud, "two").take_up()
        await sleep(3)
        assert replica.rows == {}
        assert cloud.item()["heldBy"] == {"S": "two"}


@in_virtual_time
async def test_a_row_that_was_taken_up_once_more_meanwhile_is_not_held_twice() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud).running() as replica:
        await replica.take_up()
        await sleep(1)
        older = replica.row()
        writer = replica.writer

        class FreedAndTakenUp:
            async def write_many(self, effects: Sequence[Any]) -> list[Any]:
                replica.writer = writer
                await writer.write_many(effects)
                await replica.take_up()
                return [Failure("no reply in time")]

        replica.writer = FreedAndTakenUp()
        await replica.renewals.give_free([older])
        assert replica.row() is not older
        assert older.dropped
        await sleep(30)
        assert cloud.source.checks["job-1"] == [0, 1, 11, 21, 31]


@in_virtual_time
async def test_a_replica_that_gives_away_renews_nothing_it_can_give_free() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud, hold=60).running() as replica:
        await replica.take_up()
        replica.held.giving_away = True
        await sleep(40)
        assert replica.rows == {}
        assert "heldBy" not in cloud.item()


@in_virtual_time
async def test_thousands_of_rows_are_given_free_at_the_drain_each_due_when_it_is() -> None:
    cloud = Cloud()
    ids = cloud.add_many(2_000)
    async with Replica(cloud, slots=5_000, most=5_000).running() as replica:
        await replica.take_up(*ids[:1_000])
        await sleep(4)
        await replica.take_up(*ids[1_000:])
        await sleep(3)
        replica.held.closed = True
        assert await replica.renewals.free_all()
        assert replica.rows == {}
        assert {round(cloud.due_in(job_id)) for job_id in ids[:1_000]} == {3}
        assert {round(cloud.due_in(job_id)) for job_id in ids[1_000:]} == {7}
        assert not [job_id for job_id in ids if "heldBy" in cloud.item(job_id)]


@in_virtual_time
async def test_rows_that_the_table_does_not_take_back_stay_held_so_that_this_replica_is_not_forgotten() -> None:
    cloud = Cloud()
    cloud.add()
    replica = Replica(cloud)
    await replica.take_up()
    replica.held.closed = True
    cloud.table.fail_next_writes(1)
    assert not await replica.renewals.free_all()
    assert set(replica.rows) == {"job-1"}
    assert await replica.renewals.free_all()
    assert replica.rows == {}


@in_virtual_time
async def test_what_another_took_is_no_failure_of_the_drain() -> None:
    cloud = Cloud()
    cloud.add()
    replica = Replica(cloud)
    await replica.take_up()
    await Replica(cloud, "two").take_up()
    assert await replica.renewals.free_all()
    assert replica.rows == {}
    assert cloud.item()["heldBy"] == {"S": "two"}
    assert isinstance(await cloud.table.write(renewals(cloud)[0]), Lost)
