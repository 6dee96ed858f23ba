"""A daemon's whole run: it listens, says how it starts and how it stopped, and holds its parts open meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from scheduler import __version__
from scheduler.assembly import Parts
from scheduler.core.check_replies import Completed
from scheduler.core.service_calls import Refusal
from scheduler.daemon import Daemon
from scheduler.errors import CloudError
from scheduler.settings import Settings
from scheduler.sources.file import Sources
from scheduler.web.health import Health
from tests.unit.conftest import Logs
from tests.unit.daemons import DaemonInMemory, DaemonOf, Wall, daemon_of, wall
from tests.virtual_time import in_virtual_time, until

__all__ = ["daemon_of", "wall"]

NOT_HERE = "127.0.0.2"


@pytest.mark.parametrize("endpoint", [None, "http://localhost:4566"])
async def test_it_listens_and_says_what_it_runs_with_and_how_it_stopped(
    wall: Wall, logs: Logs, no_settings: pytest.MonkeyPatch, endpoint: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert no_settings
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    made: list[Any] = []

    @asynccontextmanager
    async def in_memory(settings: Settings, _: Sources, health: Health, *, hold: bool) -> AsyncIterator[Parts]:
        made.append((settings, health, hold))
        jobs = DaemonInMemory({"a": Completed({})}, wall, logs)
        yield jobs.parts
        made.append("closed")

    monkeypatch.setattr("scheduler.daemon.assembled", in_memory)
    settings = Settings.load(http_port=0, http_host=NOT_HERE, token_table="ours", cron="0 * * * *")
    health = Health()
    daemon = Daemon(settings, health)
    running = asyncio.create_task(daemon.run())
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        await until(lambda: any(line["event"] == "tick.finished" for line in logs()))
        started = next(line for line in logs() if line["event"] == "scheduler.started")
        async with session.get(f"http://{NOT_HERE}:{started['http_port']}/readyz") as reply:
            assert json.loads(await reply.text())["status"] == "ready"
        daemon.stop()
        await running
    assert made == [(settings, health, True), "closed"]
    shown = {key: started[key] for key in ("version", "mode", "schedule", "token_table", "endpoint")}
    assert shown == {
        "version": __version__,
        "mode": "direct",
        "schedule": "cron 0 * * * * UTC",
        "token_table": "ours",
        "endpoint": endpoint or "AWS",
    }
    assert [line["skipped_ticks"] for line in logs() if line["event"] == "scheduler.stopped"] == [0]
    with pytest.raises(OSError, match=r"refused|Connect"):
        await asyncio.open_connection(NOT_HERE, started["http_port"])


@in_virtual_time
async def test_with_a_cron_what_becomes_due_after_the_fire_is_for_the_next_one(daemon_of: DaemonOf) -> None:
    daemon = daemon_of(cron="0 * * * *")
    seen = asked_of(daemon)
    await daemon.after(3_001)
    assert seen == [(True, daemon.wall.instant() - 3_001_000), (True, daemon.wall.instant() - 1_000)]
    await daemon.stop()


@in_virtual_time
async def test_with_an_interval_nothing_is_left_for_the_next_fire_and_each_tick_has_an_id_of_its_own(
    daemon_of: DaemonOf,
) -> None:
    daemon = daemon_of(interval_seconds=5)
    seen = asked_of(daemon)
    await daemon.after(21)
    assert seen == [(True, None)] * 5
    ids = [line["tick_id"] for line in daemon.lines("tick.finished")]
    assert (len(set(ids)), {len(tick_id) for tick_id in ids}) == (5, {8})
    await daemon.stop()


@in_virtual_time
async def test_with_a_cron_an_answer_that_was_kept_is_tried_between_the_fires_and_no_source_is_asked(
    daemon_of: DaemonOf,
) -> None:
    daemon = daemon_of({"a": Completed({})}, cron="0 * * * *")
    daemon.jobs.answers.fail_next(3)
    seen = asked_of(daemon)
    await daemon.after(600)
    assert daemon.jobs.statuses() == "C"
    assert daemon.jobs.source.checks["a"] == 1
    assert seen[0][0]
    assert len(seen) > 1
    assert not any(asks for asks, _ in seen[1:])
    await daemon.stop()


@in_virtual_time
async def test_a_sweep_that_is_denied_is_a_warning_until_it_is_allowed(daemon_of: DaemonOf) -> None:
    daemon = daemon_of(interval_seconds=60, due="auto")
    await daemon.after(2)
    sweep = daemon.jobs.finder.sweep
    for refusal, warned in ((Refusal.THROTTLED, False), (Refusal.DENIED, True)):

        async def refuses(now: int, limit: int, refusal: Refusal = refusal) -> tuple[int, bool]:
            assert now > 0
            assert limit > 0
            message = "table tokens: not today"
            raise CloudError(message, refusal)

        daemon.jobs.finder.sweep = refuses  # type: ignore[method-assign]
        await daemon.after(15)
        ready, shown = daemon.health.readiness()
        assert (ready, "warnings" in shown) == (True, warned)
    assert [text.split(":")[0] for text in shown["warnings"]] == ["looking for rows that others wrote"]
    (began,) = [line for line in daemon.lines("trouble.began") if "looking" in line["part"]]
    assert began["error"] == "table tokens: not today"
    daemon.jobs.finder.sweep = sweep  # type: ignore[method-assign]
    await daemon.after(15)
    assert "warnings" not in daemon.health.readiness()[1]
    await daemon.stop()


@in_virtual_time
async def test_the_first_tick_finds_rows_that_no_index_finds(daemon_of: DaemonOf) -> None:
    daemon = daemon_of({"a": Completed({})}, interval_seconds=600, due="auto")
    await daemon.after(0.1)
    assert daemon.jobs.statuses() == "C"
    await daemon.stop()


@in_virtual_time
async def test_a_first_sweep_that_is_refused_keeps_no_tick_from_its_time(daemon_of: DaemonOf) -> None:
    daemon = daemon_of({"a": Completed({})}, interval_seconds=5, due="auto")
    daemon.jobs.table.client.fail("scan", *[CloudError("table tokens: slow down", Refusal.THROTTLED)] * 2)
    await daemon.after(21)
    assert daemon.ticked_at()[0] == 0
    assert daemon.jobs.statuses() == "C"
    await daemon.stop()


def asked_of(daemon: DaemonInMemory) -> list[tuple[bool, int | None]]:
    """Note of each tick whether it may ask sources, and by when what it finds was due."""
    seen: list[tuple[bool, int | None]] = []
    run = daemon.engine.ticker.run

    async def noted(tick_id: str, fired: asyncio.Event | None = None, *, asks: bool = True, by: Any = None) -> Any:
        seen.append((asks, by))
        return await run(tick_id, fired, asks=asks, by=by)

    daemon.engine.ticker.run = noted  # type: ignore[method-assign]
    return seen
