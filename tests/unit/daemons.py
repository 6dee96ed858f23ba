"""A daemon over the clouds in memory, whose every clock is virtual: the wall's, too, which a test may set."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from types import SimpleNamespace
from typing import Any, cast

import apscheduler.schedulers.base
import pytest

from scheduler import clock
from scheduler.assembly import Parts
from scheduler.aws.clients import Clients
from scheduler.aws.clock_skew import ClockSkew
from scheduler.core.check_replies import Report
from scheduler.core.home import Home
from scheduler.daemon import Daemon
from scheduler.engine.report import TickReport
from scheduler.settings import Settings
from tests.engines import JobsInMemory
from tests.fakes import fixed_policy
from tests.unit.conftest import Logs
from tests.virtual_time import now

START = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)


class Wall:
    """The clock on the wall: it goes on with the loop's time, and may be set forward or back."""

    def __init__(self) -> None:
        self.set_by = 0.0

    def now(self) -> datetime:
        """Give the time that it shows."""
        return START + timedelta(seconds=now() + self.set_by)

    def instant(self) -> int:
        """Give the same in milliseconds."""
        return round(self.now().timestamp() * 1_000)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """Let the daemon, the scheduler of ticks and the engine read virtual clocks alone."""
    clock_on_the_wall = Wall()

    class Shown(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return clock_on_the_wall.now().astimezone(tz)

    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", Shown)
    monkeypatch.setattr("scheduler.daemon.datetime", Shown)
    monkeypatch.setattr(clock, "now", clock_on_the_wall.instant)
    monotonic = SimpleNamespace(monotonic=now)
    monkeypatch.setattr("scheduler.daemon.time", monotonic)
    monkeypatch.setattr("scheduler.engine.tick.time", monotonic)
    return clock_on_the_wall


class FakeClients:
    """The clients of polls, of which only their renewal is of interest."""

    def __init__(self) -> None:
        self.renewed_at: list[float] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def renew(self) -> None:
        """Note when clients were made anew."""
        self.renewed_at.append(now())
        await self.gate.wait()
        if self.error:
            raise self.error


class FakeSkew:
    """The skew of the machine's clock, as a test sets it."""

    def __init__(self) -> None:
        self.by: float | None = None

    def seconds(self) -> float | None:
        """Give the skew."""
        return self.by


class DaemonInMemory:
    """A daemon and the jobs that it polls; made within a test's loop."""

    def __init__(
        self, jobs: Mapping[str, Report | Exception], wall: Wall, logs: Logs, *, due: Any = "scan", **settings: Any
    ) -> None:
        given: Any = {"http_port": 0, "source_function": "jobs"} | settings
        self.settings = Settings.load(**given)
        policy = fixed_policy(interval=self.settings.poll_seconds)
        slots = self.settings.concurrency
        self.jobs = JobsInMemory(jobs, wall.instant, due, slots=slots, policy=policy, clock=now)
        self.engine = self.jobs.engine
        self.health = self.engine.health
        self.clients, self.skew = FakeClients(), FakeSkew()
        self.wall = wall
        self._logs = logs
        self.daemon = Daemon(self.settings, self.health)
        self.parts = Parts(
            cast("Clients", self.clients),
            cast("ClockSkew", self.skew),
            Home("us-east-1"),
            self.jobs.table.real(due),
            self.jobs.finder,
            self.engine.lane.poller,
            self.engine.dispatch,
            self.engine.attention,
            self.engine.ticker,
        )
        self.running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Let it run beside the test."""
        self.running = asyncio.create_task(self.daemon._run_until_stopped(self.parts))

    async def after(self, seconds: float) -> None:
        """Let it run for so many seconds."""
        if self.running is None:
            self.start()
        await asyncio.sleep(seconds)

    async def stop(self) -> float:
        """Ask for the drain and wait for the end; gives how many seconds that took."""
        asked = now()
        self.daemon.stop()
        assert self.running
        await self.running
        return now() - asked

    async def kill(self) -> None:
        """End it without a drain, at the end of a test."""
        assert self.running
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running

    def lines(self, *events: str) -> list[dict[str, Any]]:
        """Give the log's lines of some events."""
        return [line for line in self._logs() if line["event"] in events]

    def ticked_at(self) -> list[float]:
        """Give when the ticks that were told of had ended, by the loop's time."""
        return self._ticks

    def note_ticks(self) -> None:
        """Note when each tick begins from now on."""
        run = self.engine.ticker.run
        self._ticks: list[float] = []

        async def noted(tick_id: str, fired: asyncio.Event | None = None, **more: Any) -> TickReport:
            self._ticks.append(round(now(), 3))
            return await run(tick_id, fired, **more)

        self.engine.ticker.run = noted  # type: ignore[method-assign]


DaemonOf = Callable[..., DaemonInMemory]


@pytest.fixture
def daemon_of(wall: Wall, logs: Logs, no_settings: pytest.MonkeyPatch) -> DaemonOf:
    """Give what makes a daemon of some jobs and settings, within the loop of a test."""
    assert no_settings

    def made(jobs: Mapping[str, Report | Exception] | None = None, **settings: Any) -> DaemonInMemory:
        made = DaemonInMemory(jobs or {}, wall, logs, **settings)
        made.note_ticks()
        return made

    return made
