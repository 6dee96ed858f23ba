"""The daemon: the schedule, its health, the signals and the drain, composed from the settings."""

import asyncio
import os
import random
import signal
import time
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from typing import Any

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent
from apscheduler.job import Job
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from scheduler import __version__, clock
from scheduler.assembly import Parts, assembled
from scheduler.errors import CloudError, CredentialsError
from scheduler.log import logger
from scheduler.schedule import next_fire
from scheduler.settings import Settings
from scheduler.web.health import Health, routes
from scheduler.web.server import serving

_GRACE_SECONDS = 30.0
"""How long after it was expected a tick may end before the daemon calls itself unready."""
_ABORT_SECONDS = 2.0
"""What is left for polls to end when the drain's time is up and they are cancelled."""
_WATCH_SECONDS, _JUMP_SECONDS = 1.0, 2.0
"""How often the wall clock is compared with the monotonic one, and by how much they must differ for a jump."""
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 10.0


def _backoff(retry: int) -> float:
    """Give the seconds to wait before a retry: exponential, with full jitter, for replicas come back all at once."""
    longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0 ** min(retry, 10))
    return round(longest * random.random(), 2)


class Daemon:
    """Runs ticks on their schedule until it is stopped."""

    def __init__(self, settings: Settings, health: Health | None = None) -> None:
        self._settings = settings
        self._health = health or Health()
        self._log = logger()
        self._stopping = asyncio.Event()
        self._skipped = 0
        self._troubles = 0

    def stop(self) -> None:
        """Ask for the drain: running polls end, no new ones begin."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until `stop`; raises what makes it impossible to go on."""
        settings = self._settings
        trigger = settings.trigger()
        async with AsyncExitStack() as stack:
            port = await stack.enter_async_context(
                serving(settings.http_host, settings.http_port, routes(self._health))
            )
            self._log.info(
                "scheduler.started",
                version=__version__,
                mode=settings.mode,
                schedule=settings.schedule,
                token_table=settings.token_table,
                endpoint=os.environ.get("AWS_ENDPOINT_URL") or "AWS",
                http_port=port,
            )
            while not self._stopping.is_set():
                async with assembled(settings) as parts:
                    # Without credentials, clients are made anew until there are some.
                    if await self._reach_cloud(parts):
                        await self._tick_until_stopped(parts, trigger)
        self._log.info("scheduler.stopped", skipped_ticks=self._skipped)

    async def _tick_until_stopped(self, parts: Parts, trigger: BaseTrigger) -> None:
        schedule = AsyncIOScheduler(timezone=UTC)
        fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        running = asyncio.Lock()

        async def fire() -> None:
            # APScheduler swallows what a job raises, so that a fault of ours would go on for ever unseen.
            try:
                async with running:
                    await self._fire(parts, trigger, schedule)
            except Exception as error:  # noqa: BLE001  handed on to `run`
                if not fatal.done():
                    fatal.set_exception(error)

        schedule.add_listener(self._skip, EVENT_JOB_MAX_INSTANCES)
        # The defaults would drop a tick that is a second late. The first one comes at once, whatever the schedule:
        # after a restart there may be rows that have waited for it.
        job = schedule.add_job(
            fire,
            trigger,
            next_run_time=datetime.now(UTC),
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
        )
        schedule.start()
        stopping = asyncio.create_task(self._stopping.wait(), name="wait for stop")
        watching = asyncio.create_task(self._watch_clock(job), name="watch the clock")
        ends: set[asyncio.Future[Any]] = {stopping, watching, fatal}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends - {stopping}:
                if end.done():
                    end.result()
            schedule.pause()
            await self._drain(parts, running)
        finally:
            for end in ends:
                end.cancel()
            schedule.shutdown(wait=False)

    async def _fire(self, parts: Parts, trigger: BaseTrigger, schedule: AsyncIOScheduler) -> None:
        if self._stopping.is_set():
            return
        while (report := await parts.ticker.run(os.urandom(4).hex())).trouble is None:
            self._troubles = 0
            now = datetime.now(UTC)
            following = next_fire(trigger, now) or now
            self._health.ticked((following - now).total_seconds() + _GRACE_SECONDS)
            if self._stopping.is_set() or not report.cut_short:
                return
        # No use in ticking against a cloud that cannot be used; the schedule catches up once it can. What a probe
        # cannot tell, such as a denied answer, comes back with the next tick: these come less and less often.
        self._health.troubled(report.trouble)
        schedule.pause()
        await self._wait(_backoff(self._troubles))
        self._troubles += 1
        while not (self._stopping.is_set() or await self._reach_cloud(parts)):
            pass
        if not self._stopping.is_set():
            schedule.resume()

    async def _reach_cloud(self, parts: Parts) -> bool:
        """Wait until the token table and what polls can be used; False where stopped, or without credentials."""
        started = time.monotonic()
        retry = 0
        while not self._stopping.is_set():
            try:
                await parts.probe()
            except CloudError as error:
                seconds = _backoff(self._troubles if isinstance(error, CredentialsError) else retry)
                self._health.troubled(str(error))
                self._log.warning("cloud.waiting", error=str(error), retry_in_seconds=seconds)
                await self._wait(seconds)
                if isinstance(error, CredentialsError):
                    self._troubles += 1
                    return False
                retry += 1
            else:
                if retry:
                    self._log.info("cloud.reached", waited_seconds=round(time.monotonic() - started, 1))
                return True
        return False

    async def _wait(self, seconds: float) -> None:
        """Wait, but not beyond being stopped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _watch_clock(self, job: Job) -> None:
        """Let a tick follow at once where the wall clock was set: APScheduler would wait until it is right again."""
        before = clock.now() / 1000 - time.monotonic()
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            offset = clock.now() / 1000 - time.monotonic()
            if abs(offset - before) > _JUMP_SECONDS:
                self._log.warning("clock.jumped", seconds=round(offset - before, 1))
                job.modify(next_run_time=datetime.now(UTC))
            before = offset

    def _skip(self, event: JobSubmissionEvent) -> None:
        ticks = len(event.scheduled_run_times)
        self._skipped += ticks
        self._log.warning("tick.skipped", ticks=ticks, skipped_ticks=self._skipped, reason="the last tick still runs")

    async def _drain(self, parts: Parts, running: asyncio.Lock) -> None:
        parts.ticker.stop_taking()
        self._log.info("scheduler.draining", grace_seconds=self._settings.drain_seconds)
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                await running.acquire()
        except TimeoutError:
            self._log.warning("scheduler.drain_cut_short")
            parts.ticker.abort()
            try:
                async with asyncio.timeout(_ABORT_SECONDS):
                    await running.acquire()
            except TimeoutError:
                self._log.warning("scheduler.polls_abandoned")


async def run_daemon(settings: Settings) -> None:
    """Run the daemon as a process of its own: SIGTERM and SIGINT drain it, a second one ends the process at once."""
    daemon = Daemon(settings)
    loop = asyncio.get_running_loop()

    def drain(number: signal.Signals) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        logger().info("scheduler.signalled", signal=number.name)
        daemon.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain, number)
    await daemon.run()
