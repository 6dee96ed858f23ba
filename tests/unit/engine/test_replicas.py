"""Replicas: beats, what becomes of one that is gone, asleep or cut off, and how the work is shared."""

import itertools
from contextlib import AsyncExitStack
from typing import Any

import pytest

from scheduler.core.check_replies import Completed
from scheduler.core.effects import Claim
from scheduler.core.instant import Instant
from scheduler.core.row_reader import read_row
from tests.fake_dynamodb import refused
from tests.replicas import START, Cloud, Replica
from tests.unit.conftest import Logs
from tests.virtual_time import in_virtual_time, now, sleep

pytestmark = pytest.mark.usefixtures("logs")

ALONE: Any = {"replicas": True, "ticks": 1.0}


async def beats(cloud: Cloud) -> dict[str, int]:
    """Give what each replica says it holds."""
    return {beat.name: beat.held for beat in await Replica(cloud, "observer").roll.beats()}


@in_virtual_time
async def test_a_replica_beats_every_ten_seconds_and_says_what_it_holds() -> None:
    cloud = Cloud()
    cloud.add_many(5)
    async with Replica(cloud).running(**ALONE) as replica:
        await sleep(25)
        assert len(replica.rows) == 5
        assert await beats(cloud) == {"one": 5}
        item = cloud.item("replica#one")
        assert "status" not in item
        assert item["dueShard"] == {"N": "-1"}
        assert int(item["nextPollAt"]["N"]) == START + 20_000
        assert int(item["purgeAt"]["N"]) == (START + 20_000) // 1000 + 86_400
        assert item["program"] == {"S": "1.0.0"}


@in_virtual_time
async def test_without_the_index_nothing_is_held_and_nothing_beats() -> None:
    cloud = Cloud()
    cloud.add()
    replica = Replica(cloud)
    replica.indexed = False
    async with replica.running(replicas=True) as replica:
        await sleep(60)
        assert not replica.taking_up.takes(read_row(cloud.item()))
        assert "replica#one" not in cloud.table.items


@in_virtual_time
async def test_what_a_dead_replica_held_is_polled_again_within_45_seconds_and_it_is_forgotten() -> None:
    cloud = Cloud()
    cloud.add_many(300, intervalSeconds={"N": "600"})
    async with Replica(cloud, "two", slots=50).running(**ALONE) as two:
        async with Replica(cloud, "dead", slots=50).running(**ALONE) as dead:
            await sleep(5)
            split = {"dead": set(dead.rows), "two": set(two.rows)}
            assert split["dead"]
            assert not split["dead"] & split["two"]
        died = now()
        await sleep(45)
        assert set(two.rows) >= split["dead"]
        assert [job_id for job_id in split["dead"] if cloud.source.checks[job_id][-1] < died] == []
        await sleep(20)
        assert set(await beats(cloud)) == {"two"}


@in_virtual_time
async def test_what_a_dead_replica_held_is_shared_among_those_who_are_left() -> None:
    cloud = Cloud()
    ids = cloud.add_many(300, intervalSeconds={"N": "600"})
    async with AsyncExitStack() as stack:
        async with Replica(cloud, "dead", slots=200).running(**ALONE):
            await sleep(5)
        living = [
            await stack.enter_async_context(Replica(cloud, name, slots=200).running(**ALONE))
            for name in ("b", "c", "d")
        ]
        await sleep(45)
        counts = [len(replica.rows) for replica in living]
        assert sum(counts) > 0.9 * len(ids)  # some were given away meanwhile, and are not due yet
        assert min(counts) > 60
        assert [job_id for job_id in ids if cloud.item(job_id).get("heldBy") == {"S": "dead"}] == []
        claims = [effect for effect in cloud.table.writes if isinstance(effect, Claim)]
        assert len(claims) <= 2 * len(ids) * 1.05  # few of them were lost
        await sleep(30)
        assert set(await beats(cloud)) == {"b", "c", "d"}


@in_virtual_time
async def test_a_replica_that_lags_takes_no_share_of_what_is_taken_over() -> None:
    cloud = Cloud()
    ids = cloud.add_many(100, intervalSeconds={"N": "600"})
    async with Replica(cloud, "dead").running(**ALONE):
        await sleep(5)
    async with Replica(cloud, "lags").running(replicas=True) as lags, Replica(cloud, "well").running(**ALONE) as well:
        lags.polls.lateness = lambda: 9.0  # type: ignore[method-assign]
        await sleep(60)
        assert set(well.rows) == set(ids)
        assert lags.rows == {}


@in_virtual_time
async def test_a_row_is_taken_over_whatever_replica_cannot_hold_it() -> None:
    cloud = Cloud()
    cloud.add(intervalSeconds={"N": "600"})
    async with Replica(cloud, "dead").running(**ALONE):
        await sleep(5)
    async with Replica(cloud, "full", most=0).running(**ALONE):
        await sleep(60)
        assert "heldBy" not in cloud.item()
        assert cloud.due_in() < 600
        await sleep(600)
        assert len(cloud.source.checks["job-1"]) == 2


@in_virtual_time
async def test_a_replica_that_knows_a_rows_source_not_leaves_it_to_those_who_do() -> None:
    cloud = Cloud()
    cloud.add(source={"S": "elsewhere"}, heldBy={"S": "dead"}, nextPollAt={"N": str(START + 3_600_000)})
    async with Replica(cloud, "dead").running(replicas=True):
        await sleep(5)
    before = dict(cloud.item())
    async with Replica(cloud, "older").running(**ALONE):
        await sleep(120)
    assert cloud.item() == before


@in_virtual_time
async def test_nobody_forgets_a_dead_replica_while_rows_of_it_are_left_to_others() -> None:
    cloud = Cloud()
    ids = cloud.add_many(40, intervalSeconds={"N": "600"})
    async with Replica(cloud, "dead").running(**ALONE):
        await sleep(5)
    async with Replica(cloud, "b").running(**ALONE), Replica(cloud, "c").running(**ALONE) as c:
        c.taking_up.room = lambda *_, **__: 0  # type: ignore[method-assign]
        await sleep(50)
        assert "dead" in await beats(cloud)  # its rows are c's to take, and c is busy for now
        del c.taking_up.room
        await sleep(15)
        assert "dead" not in await beats(cloud)
        assert [job_id for job_id in ids if cloud.item(job_id).get("heldBy") == {"S": "dead"}] == []


@in_virtual_time
async def test_one_that_slept_drops_all_before_it_polls_anything_and_goes_on_as_another() -> None:
    cloud = Cloud()
    ids = cloud.add_many(20, intervalSeconds={"N": "3"})
    async with Replica(cloud).running(**ALONE) as replica:
        await sleep(5)
        assert set(replica.rows) == set(ids)
        replica.asleep = 25  # its timers are late by as much
        checks = {job_id: len(cloud.source.checks[job_id]) for job_id in ids}
        claims = len(cloud.table.writes)
        await sleep(0.1)
        while replica.held.name == "one":
            assert {job_id: len(cloud.source.checks[job_id]) for job_id in ids} == checks
            assert not [effect for effect in cloud.table.writes[claims:] if isinstance(effect, Claim)]
            await sleep(0.1)
        await sleep(30)
        assert set(replica.rows) == set(ids)  # its own are taken over at once
        assert {cloud.item(job_id)["heldBy"]["S"] for job_id in ids} == {replica.held.name}
        assert set(await beats(cloud)) == {replica.held.name}


@in_virtual_time
async def test_one_that_is_cut_off_polls_nothing_from_memory_after_20_seconds() -> None:
    cloud = Cloud()
    ids = cloud.add_many(10, intervalSeconds={"N": "2"})
    async with Replica(cloud).running(replicas=True) as replica:
        await replica.take_up(*ids)
        await sleep(9)
        cloud.table.client.fail("update_item", *[refused("InternalServerError")] * 1_000)  # its beats
        last_beat = 0.0
        await sleep(60)
        assert max(at for checks in cloud.source.checks.values() for at in checks) <= last_beat + 20
        assert replica.rows == {}


@in_virtual_time
async def test_a_beat_whose_reply_came_late_counts_from_when_it_was_sent() -> None:
    cloud = Cloud()
    replica = Replica(cloud)
    beat = replica.roll.beat

    async def slow(of: Any) -> None:
        await sleep(19)
        await beat(of)

    replica.roll.beat = slow  # type: ignore[assignment, method-assign]
    assert await replica.replicas.beat()
    assert replica.replicas.fresh()
    await sleep(1)
    assert not replica.replicas.fresh()


@in_virtual_time
async def test_a_replica_whose_beats_are_seen_is_left_alone_however_wrong_its_clock_is() -> None:
    cloud = Cloud()
    cloud.add_many(10, intervalSeconds={"N": "600"})
    odd = Replica(cloud, "odd")
    odd.asleep = -500_000
    async with odd.running(**ALONE) as odd, Replica(cloud, "two").running(**ALONE) as two:
        before = set(odd.rows)
        await sleep(200)
        assert set(odd.rows) >= before
        assert set(await beats(cloud)) == {"odd", "two"}
        assert odd.held.name == "odd"
        assert two.held.name == "two"


@in_virtual_time
async def test_one_that_joins_gets_a_fair_share_within_a_few_minutes() -> None:
    cloud = Cloud()
    ids = cloud.add_many(100, intervalSeconds={"N": "60"})
    async with Replica(cloud, "old", interval=60).running(**ALONE) as old:
        await sleep(100)
        async with Replica(cloud, "new", interval=60).running(**ALONE) as new:
            await sleep(240)
            assert len(old.rows) <= 50 * 1.1 + 10 + 5
            assert len(old.rows) + len(new.rows) == pytest.approx(100, abs=5)
            await sleep(300)
            assert len(old.rows) >= 35  # and it stays so
            gaps = [later - earlier for job_id in ids for earlier, later in _pairs(cloud.source.checks[job_id])]
            assert max(gaps) < 62  # nobody was polled late for it


def _pairs(times: list[float]) -> list[tuple[float, float]]:
    return list(itertools.pairwise(times))


@in_virtual_time
async def test_one_that_lags_gives_rows_away() -> None:
    cloud = Cloud()
    ids = cloud.add_many(60)
    async with Replica(cloud, "slow", slots=1).running(**ALONE) as slow:
        cloud.source.seconds = 0.5  # 6 a second are due, and it polls two
        await sleep(30)
        assert len(slow.rows) > 10
        async with Replica(cloud, "strong", slots=50).running(**ALONE) as strong:
            await sleep(400)
            assert len(strong.rows) >= 35
            assert slow.polls.lateness() < 1
            counted = {job_id: len(cloud.source.checks[job_id]) for job_id in ids}
            await sleep(100)
            assert min(len(cloud.source.checks[job_id]) - counted[job_id] for job_id in ids) >= 6


@in_virtual_time
async def test_one_alone_gives_nothing_away_however_late_it_is() -> None:
    cloud = Cloud()
    cloud.add_many(60)
    async with Replica(cloud, slots=1).running(**ALONE) as replica:
        cloud.source.seconds = 0.5
        await sleep(120)
        assert replica.polls.lateness() > 1
        assert not replica.held.giving_away


@in_virtual_time
async def test_one_that_leaves_is_forgotten_at_once() -> None:
    cloud = Cloud()
    async with Replica(cloud).running(replicas=True) as replica:
        await sleep(15)
        await replica.replicas.leave()
        assert await beats(cloud) == {}


@in_virtual_time
async def test_a_foreign_poller_wins_a_held_row() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud, hold=60).running(**ALONE) as replica:
        await sleep(5)
        claim = Claim(read_row(cloud.item()), "theirs", START + 5_000, START + 90_000, 0)
        await cloud.table.write(claim)
        await sleep(60)
        assert replica.rows == {}
        assert cloud.item()["claimId"] == {"S": "theirs"}
        await sleep(40)
        assert cloud.item()["heldBy"] == {"S": "one"}


@in_virtual_time
async def test_a_jobs_row_in_the_shard_of_replicas_is_taken_for_none(logs: Logs) -> None:
    cloud = Cloud()
    cloud.add(dueShard={"N": "-1"})
    async with Replica(cloud).running(replicas=True):
        await sleep(120)
    assert await beats(cloud) == {"one": 0}
    assert [line for line in logs() if line["event"] == "replica.gone"] == []


@in_virtual_time
async def test_rows_end_as_they_deserve_while_replicas_come_and_go() -> None:
    cloud = Cloud()
    ids = cloud.add_many(60, intervalSeconds={"N": "5"})
    for number in range(6):
        async with (
            Replica(cloud, f"a{number}").running(**ALONE) as one,
            Replica(cloud, f"b{number}").running(**ALONE),
        ):
            await sleep(20)
            one.asleep += 40
            await sleep(20)
    cloud.source.default = Completed("done")
    async with Replica(cloud, "last").running(**ALONE):
        await sleep(60)
    assert {cloud.item(job_id)["status"]["S"] for job_id in ids} == {"COMPLETED"}
    assert [job_id for job_id in ids if len(cloud.answers.ledger[f"AQ-{job_id}"]) != 1] == []
    assert max(cloud.number("attemptCount", job_id) for job_id in ids) <= 12 * 45


def every_minute(moment: Instant) -> Instant:
    return -(-moment // 60_000) * 60_000


@in_virtual_time
async def test_with_a_cron_a_takeover_polls_at_its_fires_alone() -> None:
    cloud = Cloud()
    ids = cloud.add_many(10)
    async with Replica(cloud, "dead", first_fire=every_minute).running(**ALONE):
        await sleep(10)
    async with Replica(cloud, "two", first_fire=every_minute).running(replicas=True) as two:
        await sleep(230)
        assert set(two.rows) == set(ids)
    assert {at % 60 for job_id in ids for at in cloud.source.checks[job_id]} == {0}
