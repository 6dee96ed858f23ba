"""A daemon that holds rows: what it does by itself while it runs, and what it gives free at its end."""

import asyncio
from typing import Any, cast

import pytest

from scheduler.assembly import Parts
from scheduler.aws.clients import Clients
from scheduler.aws.clock_skew import ClockSkew
from scheduler.aws.token_table import TokenTable
from scheduler.core.effects import Claim, Renew
from scheduler.daemon import Daemon
from scheduler.settings import Settings
from tests.fake_dynamodb import refused
from tests.replicas import START, Cloud, Replica
from tests.unit.conftest import Logs
from tests.unit.daemons import FakeClients, FakeSkew, Wall, wall
from tests.virtual_time import in_virtual_time, now, sleep

__all__ = ["wall"]


class Holder:
    """A daemon over a replica of the clouds in memory."""

    def __init__(self, cloud: Cloud, settings: pytest.MonkeyPatch, **replica: Any) -> None:
        assert settings
        self.cloud = cloud
        self.replica = Replica(cloud, **replica)
        self.daemon = Daemon(Settings.load(http_port=0, interval_seconds=10, drain_seconds=5), self.replica.health)
        self.parts = Parts(
            cast("Clients", FakeClients()),
            cast("ClockSkew", FakeSkew()),
            self.replica.policy.home,
            TokenTable(cloud.table, cloud.table.name, "index"),
            self.replica.finder,
            self.replica.lane.poller,
            self.replica.dispatch,
            self.replica.attention,
            self.replica.ticker,
            self.replica.replicas,
        )
        self.running: asyncio.Task[None] | None = None

    async def after(self, seconds: float) -> None:
        """Let it run for so many seconds."""
        self.running = self.running or asyncio.create_task(self.daemon._run_until_stopped(self.parts))
        await sleep(seconds)

    async def stop(self) -> float:
        """Ask for the drain, and give how long it took."""
        asked = now()
        self.daemon.stop()
        assert self.running
        await self.running
        return now() - asked

    def writes(self, kind: type) -> int:
        """Count the writes of a kind."""
        return sum(isinstance(effect, kind) for effect in self.cloud.table.writes)

    def freed(self) -> int:
        """Count the writes that give a row free."""
        return sum(isinstance(effect, Renew) and effect.held_by is None for effect in self.cloud.table.writes)


@pytest.fixture
def holder(wall: Wall, logs: Logs, no_settings: pytest.MonkeyPatch) -> Any:
    """Give what makes a daemon that holds rows."""
    assert wall
    logs()

    def made(cloud: Cloud, **replica: Any) -> Holder:
        return Holder(cloud, no_settings, **replica)

    return made


@in_virtual_time
async def test_held_rows_are_polled_from_memory_and_their_holds_renewed(holder: Any) -> None:
    cloud = Cloud()
    cloud.add_many(5)
    daemon = holder(cloud, hold=60)
    await daemon.after(301)
    assert [len(checks) for checks in cloud.source.checks.values()] == [31] * 5
    assert daemon.writes(Claim) == 5
    assert daemon.writes(Renew) >= 5 * 4
    await daemon.stop()


@in_virtual_time
async def test_it_beats_from_its_first_moment_on_and_takes_over_what_a_dead_replica_held(holder: Any) -> None:
    cloud = Cloud()
    cloud.add_many(20, intervalSeconds={"N": "600"})
    dead = Replica(cloud, "dead")
    async with dead.running(replicas=True, ticks=1.0):
        await sleep(5)
        assert len(dead.rows) == 20
    daemon = holder(cloud)
    await daemon.after(0.5)
    assert int(cloud.item("replica#one")["nextPollAt"]["N"]) == START + 5_000
    await daemon.after(60)
    assert int(cloud.item("replica#one")["nextPollAt"]["N"]) >= START + 55_000
    assert len(daemon.replica.rows) == 20
    await daemon.stop()


@pytest.mark.parametrize(
    ("part", "method"), [("polls", "run"), ("renewals", "run"), ("replicas", "run_beats"), ("replicas", "run_looks")]
)
@in_virtual_time
async def test_whatever_of_it_dies_ends_the_daemon_with_the_error(
    holder: Any, part: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = holder(Cloud())

    async def dies() -> None:
        await asyncio.sleep(30)
        message = f"{part} are broken"
        raise ZeroDivisionError(message)

    monkeypatch.setattr(getattr(daemon.replica, part), method, dies)
    await daemon.after(29)
    assert not daemon.running.done()
    with pytest.raises(ZeroDivisionError, match=f"{part} are broken"):
        async with asyncio.timeout(5):
            await daemon.running


@in_virtual_time
async def test_at_its_end_each_row_is_free_and_due_when_it_is_and_the_replica_is_forgotten(holder: Any) -> None:
    cloud = Cloud()
    ids = cloud.add_many(7)
    daemon = holder(cloud)
    await daemon.after(33)
    assert "dueShard" in cloud.item("replica#one")
    assert await daemon.stop() < 0.5
    assert daemon.freed() == 7
    assert [job_id for job_id in ids if "heldBy" in cloud.item(job_id)] == []
    assert [0 < cloud.due_in(job_id) <= 10 for job_id in ids] == [True] * 7
    assert "dueShard" not in cloud.item("replica#one")


@in_virtual_time
async def test_rows_in_a_poll_are_given_free_once_it_has_ended(holder: Any) -> None:
    cloud = Cloud()
    cloud.add_many(3)
    daemon = holder(cloud)
    await daemon.after(5)
    cloud.source.hang()
    await daemon.after(10)
    assert daemon.replica.lane.in_flight == 3
    stopping = asyncio.create_task(daemon.stop())
    await sleep(2)
    assert not stopping.done()
    cloud.source.recover()
    assert await stopping == pytest.approx(2, abs=0.2)
    assert daemon.freed() == 3
    assert "dueShard" not in cloud.item("replica#one")


@in_virtual_time
async def test_during_the_drain_no_row_is_taken_up_any_more(holder: Any) -> None:
    cloud = Cloud()
    cloud.add()
    daemon = holder(cloud)
    await daemon.after(5)
    cloud.source.hang()
    await daemon.after(10)
    assert daemon.replica.taking_up.room() > 0
    stopping = asyncio.create_task(daemon.stop())
    await sleep(1)
    assert daemon.replica.taking_up.room() == 0
    cloud.source.recover()
    await stopping


@in_virtual_time
async def test_a_replica_that_could_not_give_its_rows_free_stays_in_sight_of_the_others(holder: Any) -> None:
    cloud = Cloud()
    cloud.add_many(3)
    daemon = holder(cloud)
    await daemon.after(5)
    cloud.table.fail_next_writes(100)
    await daemon.stop()
    assert cloud.item("job-0000")["heldBy"] == {"S": "one"}
    assert "dueShard" in cloud.item("replica#one")


@in_virtual_time
async def test_a_table_that_hangs_at_the_end_is_waited_for_no_longer_than_the_grace(holder: Any, logs: Logs) -> None:
    cloud = Cloud()
    cloud.add_many(3)
    daemon = holder(cloud)
    await daemon.after(5)

    async def hangs(_: Any) -> Any:
        await asyncio.Event().wait()

    daemon.replica.writer = type("Hung", (), {"write_many": staticmethod(hangs)})
    assert await daemon.stop() == 7  # the drain's 5 seconds and 2 to end in
    assert [line["level"] for line in logs() if line["event"] == "scheduler.rows_not_freed"] == ["warning"]


@in_virtual_time
async def test_a_replica_that_cannot_say_good_bye_ends_all_the_same(holder: Any) -> None:
    cloud = Cloud()
    cloud.add()
    daemon = holder(cloud)
    await daemon.after(5)
    cloud.table.client.fail("update_item", *[refused("AccessDeniedException")] * 9)
    await daemon.stop()
    assert daemon.freed() == 1
