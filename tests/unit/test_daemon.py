"""The daemon's schedule, over parts that only count."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Self

import apscheduler.schedulers.base
import pytest

from scheduler import clock
from scheduler.daemon import Daemon
from scheduler.engine.tick import TickReport
from scheduler.settings import Settings
from tests.unit.conftest import Logs

SETTINGS = {"interval_seconds": 0.1, "http_port": 0}


@dataclass
class CountingParts:
    """Parts whose ticks do nothing but count."""

    ticks: int = 0
    stopped: bool = False
    ticked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ticker(self) -> Self:
        return self

    async def run(self, _tick_id: str) -> TickReport:
        self.ticks += 1
        self.ticked.set()
        return TickReport()

    def stop_taking(self) -> None:
        self.stopped = True

    async def more(self, count: int) -> None:
        for _ in range(count):
            self.ticked.clear()
            await self.ticked.wait()


async def test_ticks_go_on_where_the_wall_clock_jumps_back(monkeypatch: pytest.MonkeyPatch, logs: Logs) -> None:
    jump = timedelta(0)
    now = clock.now

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz or UTC) + jump

    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", Jumping)
    monkeypatch.setattr("scheduler.daemon.datetime", Jumping)
    monkeypatch.setattr(clock, "now", lambda: now() + round(jump.total_seconds() * 1_000))
    settings = Settings.load(**SETTINGS)
    daemon, parts = Daemon(settings), CountingParts()
    anything: Any = parts
    ticking = asyncio.create_task(daemon._tick_until_stopped(anything, settings.trigger()))
    async with asyncio.timeout(20):
        await parts.more(3)
        jump = timedelta(minutes=-10)
        await parts.more(5)
        daemon.stop()
        await ticking
    assert parts.stopped
    assert [line["seconds"] for line in logs() if line["event"] == "clock.jumped"] == [-600.0]
