"""One tick: find the due rows, poll them, count what became of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from scheduler.core.instant import Instant
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import Found
from scheduler.core.states import EndState
from scheduler.core.token_row import TokenRow
from scheduler.engine.poll_log import log_outcome
from scheduler.engine.poller import Poller
from scheduler.errors import CloudError
from scheduler.log import logger

LONGEST_SECONDS = 30.0
"""A tick takes no more rows after this: the next one reads the clock anew, and so finds what has become due since."""


class Finder(Protocol):
    """The token table, for finding what is due."""

    def find(self, now: Instant) -> AsyncIterator[Found]:
        """Give the due rows, each as soon as its page is there. Raises MissingError or CloudError."""
        ...


@dataclass(slots=True)
class TickReport:
    """What a tick did, as `tick.finished` shows it.

    `cut_short` says that it ended for its length, with more rows due; `trouble` why it took no more rows before that.
    """

    due: int = 0
    polled: int = 0
    claimed: int = 0
    lost: int = 0
    completed: int = 0
    failed: int = 0
    closed: int = 0
    errors: int = 0
    oldest_due_seconds: float = 0.0
    duration_ms: int = 0
    cut_short: bool = False
    trouble: str | None = None

    def found(self, row: Found, now: Instant) -> None:
        """Count a due row, and how long the longest due one has waited for this tick."""
        self.due += 1
        if isinstance(row, TokenRow) and row.next_poll_at is not None:
            self.oldest_due_seconds = max(self.oldest_due_seconds, round((now - row.next_poll_at) / 1000, 1))

    def count(self, outcome: Outcome) -> None:
        """Count one poll's outcome."""
        self.polled += 1
        self.claimed += outcome.claimed
        self.lost += outcome.kind is Kind.LOST
        self.completed += outcome.end_state is EndState.COMPLETED
        self.failed += outcome.end_state in {EndState.FAILED, EndState.MAX_ATTEMPTS, EndState.EXPIRED}
        self.closed += outcome.end_state is EndState.CLOSED
        self.errors += (
            outcome.kind in {Kind.CHECK_FAILED, Kind.DEFERRED, Kind.UNREACHED, Kind.REFUSED}
            or outcome.end_state is EndState.QUARANTINED
            or outcome.unmarked is not None
        )

    def shown(self) -> dict[str, Any]:
        """Give the report's figures, and its trouble where there was some."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Ticker:
    """Runs ticks, one at a time, with at most `concurrency` polls in flight."""

    def __init__(
        self,
        finder: Finder,
        poller: Poller,
        concurrency: int,
        clock: Callable[[], Instant],
        longest: float = LONGEST_SECONDS,
    ) -> None:
        self._finder = finder
        self._poller = poller
        self._slots = asyncio.Semaphore(concurrency)
        self._clock = clock
        self._longest = longest
        self._polls: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._log = logger()

    def stop_taking(self) -> None:
        """Take no more rows; what is in flight goes on."""
        self._stopping = True

    def abort(self) -> None:
        """Cancel the polls in flight; their rows are polled again when their leases have run out."""
        for polling in self._polls:
            polling.cancel()

    async def run(self, tick_id: str) -> TickReport:
        """Run one tick to its end. Never raises for what a row, a job or the cloud does: the report says it."""
        started = time.monotonic()
        now = self._clock()
        report = TickReport()
        log = self._log.bind(tick_id=tick_id)
        batch: list[Found] = []
        try:
            async for row in self._finder.find(now):
                report.found(row, now)
                batch.append(row)
                if len(batch) == self._poller.batch:
                    await self._take(batch, now, report, log)
                    batch = []
                report.cut_short = time.monotonic() - started > self._longest
                if self._stopping or report.trouble or report.cut_short:
                    break
            if batch and not self._stopping and not report.trouble:
                await self._take(batch, now, report, log)
        except CloudError as error:
            report.trouble = str(error)
        finally:
            if self._polls:
                await asyncio.wait(self._polls)
        report.duration_ms = _elapsed_ms(started)
        (log.warning if report.trouble else log.info)("tick.finished", **report.shown())
        return report

    async def _take(self, batch: list[Found], tick: Instant, report: TickReport, log: Any) -> None:
        """Take a slot, then start to poll; at the drain the slot comes too late and the rows are left for later."""
        await self._slots.acquire()
        if self._stopping or report.trouble:
            self._slots.release()
            return
        polling = asyncio.create_task(self._poll(batch, tick, report, log), name=f"poll {batch[0].job_id}")
        self._polls.add(polling)
        polling.add_done_callback(self._ended)

    def _ended(self, polling: "asyncio.Task[None]") -> None:
        # Here and not in the poll itself: one that is cancelled before its first step would keep its slot.
        self._polls.discard(polling)
        self._slots.release()

    async def _poll(self, batch: list[Found], tick: Instant, report: TickReport, log: Any) -> None:
        started = time.monotonic()
        try:
            outcomes = await self._poller.poll(batch, tick)
        except Exception:
            # A fault of ours with one row must not end the tick; its attempt was counted at the claim.
            report.polled += len(batch)
            report.errors += len(batch)
            for row in batch:
                log.exception("poll.crashed", job_id=row.job_id)
            return
        for outcome in outcomes:
            report.count(outcome)
            if outcome.kind is Kind.UNREACHED or outcome.halt:
                report.trouble = outcome.error
            log_outcome(log, outcome, _elapsed_ms(started))


def _elapsed_ms(since: float) -> int:
    return round((time.monotonic() - since) * 1000)
