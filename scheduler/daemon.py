"""The daemon: the schedule, its health, the signals and the drain, composed from the settings."""

import asyncio
import logging
import math
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from apscheduler.job import Job
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from scheduler import __version__, clock
from scheduler.assembly import Parts, assembled
from scheduler.core.outcome import Kind
from scheduler.core.service_calls import Refusal
from scheduler.core.trouble import Part
from scheduler.draining import drain
from scheduler.engine.events import any_set
from scheduler.engine.sweep import PAGE_ROWS, sweep_for_ever
from scheduler.errors import CloudError, SchedulerError
from scheduler.log import logger
from scheduler.schedule import next_fire
from scheduler.settings import Settings
from scheduler.sources.file import Sources
from scheduler.web.health import Health, routes
from scheduler.web.server import serving

_GRACE_SECONDS = 30.0
"""How long after it was expected a tick may end before the daemon calls itself unready."""
_WATCH_SECONDS, _JUMP_SECONDS = 1.0, 2.0
"""How often the wall clock is compared with the monotonic one, and by how much they must differ for a jump."""
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 10.0
_CLOCK, _SWEEP = "clock", "looking for rows that others wrote"


def _backoff(retry: int) -> float:
    """Give the seconds to wait before a retry: exponential, with full jitter, for replicas come back all at once."""
    longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0 ** min(retry, 10))
    return round(longest * random.random(), 2)


class Daemon:
    """Runs ticks on their schedule until it is stopped."""

    def __init__(self, settings: Settings, health: Health | None = None, sources: Sources | None = None) -> None:
        self._settings = settings
        self._sources = sources or Sources()
        self._trigger = settings.trigger()
        self._health = health or Health()
        self._log = logger()
        self._stopping = asyncio.Event()
        self._fired = asyncio.Event()
        self._again = asyncio.Event()
        self._looks: set[int] = set()
        self._finding = False
        self._skipped = self._skipped_in_a_row = 0

    def stop(self) -> None:
        """Ask for the drain: running polls end, no new ones begin."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until `stop`; raises what makes it impossible to go on."""
        settings = self._settings
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
            parts = await stack.enter_async_context(assembled(settings, self._sources, self._health, hold=True))
            await self._run_until_stopped(parts)
        self._log.info("scheduler.stopped", skipped_ticks=self._skipped)

    async def _run_until_stopped(self, parts: Parts) -> None:
        schedule = AsyncIOScheduler(timezone=UTC)
        # The first tick comes at once, whatever the schedule: after a restart there may be rows that have waited for
        # it. The defaults would drop a fire that is a second late.
        job = schedule.add_job(
            self._fire,
            self._trigger,
            next_run_time=datetime.now(UTC),
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
        )
        schedule.start()
        for lane in parts.asked_at_start or parts.dispatch.sources:
            lane.look_at_source()
        # Each goes on for ever, and whichever ends brings the others down: nothing dies unseen.
        tasks = [
            _named("stop", self._stopping.wait()),
            _named("tick", self._tick_for_ever(parts)),
            _named("sweep", self._sweep(parts)),
            _named("watch", self._watch(parts, job)),
            _named("renew", self._renew(parts)),
        ]
        if parts.dispatch.holding and parts.replicas:
            tasks += [
                _named("polls from memory", parts.dispatch.holding.polls.run()),
                _named("renewals", parts.dispatch.holding.renewals.run()),
                _named("beats", parts.replicas.run_beats()),
                _named("looks", parts.replicas.run_looks()),
            ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for ended in tasks[1:]:
                if ended.done():
                    ended.result()
            # Whatever it waits for, and be it a cloud that never answers: only polls in flight are waited for.
            await _cancelled(tasks)
            await drain(parts, self._settings.drain_seconds)
        finally:
            schedule.shutdown(wait=False)
            await _cancelled(tasks)
            for lane in parts.dispatch.lanes:
                lane.close()
                lane.abort()

    async def _fire(self) -> None:
        if not self._fired.is_set():
            self._skipped_in_a_row = 0
        elif self._finding:
            self._skipped += 1
            self._skipped_in_a_row += 1
            if self._skipped_in_a_row == 1:
                reason = "finding what is due takes longer than the interval"
                self._log.warning("tick.skipped", skipped_ticks=self._skipped, reason=reason)
        self._fired.set()

    async def _tick_for_ever(self, parts: Parts) -> None:
        await self._reach_table(parts)
        with suppress(CloudError):  # the first tick is to find foreign rows, too
            await parts.finder.sweep(clock.now(), PAGE_ROWS)
        if parts.replicas:
            await parts.replicas.beat()
        parts.attention.on_again = self._look_in
        troubles, fired_at = 0, clock.now()
        while True:
            asks = await self._called(parts)
            while True:
                if self._fired.is_set():
                    asks, fired_at = True, clock.now()
                self._fired.clear()
                self._again.clear()
                self._finding = True
                # With a cron, what has become due since its fire is for the next one.
                by = fired_at if asks and self._settings.cron else None
                report = await parts.ticker.run(os.urandom(4).hex(), self._fired, asks=asks, by=by)
                self._finding = False
                parts.ticker.tell(report)
                if report.trouble is not None:
                    await asyncio.sleep(_backoff(troubles))
                    troubles += 1
                    await self._reach_table(parts)
                    continue
                troubles = 0
                self._ticked()
                # Else it is the polls under way that tell whether the table takes their writes.
                if not report.due and all(lane.idle for lane in parts.dispatch.lanes):
                    self._health.worked(Part.TABLE)
                # With a cron, polls happen at its fires: a backlog is worked off, but a source that takes nothing is
                # not asked again before the next one.
                nothing_taken = report.polled <= report.unasked
                if not report.cut_short or self._fired.is_set() or (self._settings.cron and nothing_taken):
                    break

    async def _called(self, parts: Parts) -> bool:
        """Wait until there is something to look for: the schedule has fired, or trouble calls for an earlier look.

        Tells whether sources may be asked: with a cron only at its fires, and again where the table was in trouble.
        """
        # What a lane could not poll may be found once more as soon as it has room; with a cron, at the next fire.
        cron = self._settings.cron
        again = parts.ticker.again
        await any_set([self._fired, again, self._again, *([] if cron else [parts.attention.room])])
        return self._fired.is_set() or again.is_set() or not cron or parts.attention.table_trouble is not None

    def _look_in(self, seconds: float, kind: Kind | None) -> None:
        """Look in so many seconds for what is due again, at most once a second: an index may lag so far behind."""
        if self._settings.cron and kind not in {None, Kind.DEFERRED}:
            return  # a source is asked at the fires alone
        loop = asyncio.get_running_loop()
        at = math.ceil(loop.time() + max(_WATCH_SECONDS, seconds))
        if at not in self._looks:
            self._looks.add(at)
            loop.call_at(at, self._look, at)

    def _look(self, at: int) -> None:
        self._looks.discard(at)
        self._again.set()

    def _ticked(self) -> None:
        now = datetime.now(UTC)
        following = next_fire(self._trigger, now) or now
        self._health.ticked((following - now).total_seconds() + _GRACE_SECONDS)

    async def _reach_table(self, parts: Parts) -> None:
        """Wait until the token table can be used."""
        retry = 0
        while True:
            try:
                await parts.probe()
            except CloudError as error:
                parts.attention.note_refusal(error.refusal)
                self._health.troubled(Part.TABLE, error.reason, str(error))
                await asyncio.sleep(_backoff(retry))
                retry += 1
            else:
                parts.attention.table_trouble = None
                return

    async def _sweep(self, parts: Parts) -> None:
        def told(error: CloudError | None) -> None:
            # What else the table refuses, every tick meets too.
            if error is None:
                self._health.worked(_SWEEP)
            elif error.refusal is Refusal.DENIED:
                self._health.troubled(_SWEEP, error.reason, str(error), unready=False)

        await sweep_for_ever(parts.finder, clock.now, told)

    async def _renew(self, parts: Parts) -> None:
        """Make the clients anew where their credentials are refused: better ones may lie where these came from."""
        retry, renewed_at = 0, time.monotonic()
        while True:
            await parts.attention.credentials_refused.wait()
            if time.monotonic() - renewed_at > 2 * _LONGEST_WAIT_SECONDS:
                retry = 0
            await asyncio.sleep(_backoff(retry))
            parts.attention.credentials_refused.clear()
            # It is tried again with the next refusal; a file of credentials may be half written just now.
            with suppress(SchedulerError):
                await parts.clients.renew()
            retry, renewed_at = retry + 1, time.monotonic()

    async def _watch(self, parts: Parts, job: Job) -> None:
        """Notice what time alone does: trouble that has passed, clocks that were set or are wrong.

        Where the wall clock was set a tick follows at once: APScheduler would wait until it is right again.
        """
        before = clock.now() / 1000 - time.monotonic()
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self._health.refresh()
            for lane in parts.dispatch.lanes:
                lane.refresh()
            self._tell_skew(parts.skew.seconds())
            offset = clock.now() / 1000 - time.monotonic()
            if abs(offset - before) > _JUMP_SECONDS:
                self._log.warning("clock.jumped", seconds=round(offset - before, 1))
                job.modify(next_run_time=datetime.now(UTC))
            before = offset

    def _tell_skew(self, skew: float | None) -> None:
        if skew is None:
            self._health.over(_CLOCK)
            return
        reason = f"this machine's clock is {abs(skew):.0f} s {'fast' if skew > 0 else 'slow'}"
        self._health.troubled(_CLOCK, reason, f"{reason} by the services' own; jobs are given up by it", unready=False)


def _named(name: str, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    return asyncio.create_task(work, name=name)


async def _cancelled(tasks: "list[asyncio.Task[Any]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def run_daemon(settings: Settings, sources: Sources) -> None:
    """Run the daemon as a process of its own: SIGTERM and SIGINT drain it, a second one ends the process at once."""
    daemon = Daemon(settings, sources=sources)
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
            signal.signal(each, _end_at_once)
        logger().info("scheduler.signalled", signal=number.name)
        daemon.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    await daemon.run()
    # All is closed. A thread that still looks up a name would hold the process until it has an answer.
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


def _end_at_once(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # as process 1, which it is in a container, the kernel spares it that signal
