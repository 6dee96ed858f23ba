"""One tick: find what is due, hand it on, and be over. The polls go on beside it, in their lanes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

from scheduler.aws.due_finder import REST_SECONDS, Page
from scheduler.core.instant import Instant
from scheduler.core.row_reader import Found
from scheduler.engine.attention import Attention
from scheduler.engine.dispatch import Dispatch
from scheduler.engine.events import any_set
from scheduler.engine.report import TickReport
from scheduler.errors import CloudError
from scheduler.log import logger

LONGEST_SECONDS = 30.0
"""A tick takes no more rows after this: the next one reads the clock anew, and so finds what has become due since."""
MOST_PASSED_OVER = 500
"""Due rows that one pass reads though their lane takes none of them: among them may be some that need no source, or
another one."""
MOST_UNREAD = 10_000
"""Due rows that one pass goes by, not reading them, for it is known that their lane takes none of them."""


class Finder(Protocol):
    """Where due rows are found; see `scheduler.aws.due_finder.DueFinder`."""

    def pages(self, now: Instant) -> AsyncIterator[Page]:
        """Give the due rows, each page as soon as it is there. Raises MissingError or CloudError."""
        ...

    def cut(self, page: Page, taken: Sequence[Found], *, beyond: bool) -> None:
        """Note that the first rows of a page were `taken`, and that no further page is read."""
        ...

    @property
    def resting(self) -> bool:
        """Whether shards were passed by that `rest`."""
        ...

    def rest(self, shard: int) -> None:
        """Pass a shard by for REST_SECONDS."""
        ...

    def give_back(self, rows: Sequence[Found]) -> None:
        """Take back rows of a stray page."""
        ...


class Ticker:
    """Runs ticks, one at a time."""

    def __init__(
        self,
        finder: Finder,
        dispatch: Dispatch,
        attention: Attention,
        clock: Callable[[], Instant],
        longest: float = LONGEST_SECONDS,
    ) -> None:
        self._finder = finder
        self._dispatch = dispatch
        self._attention = attention
        self._clock = clock
        self._longest = longest
        self.again = asyncio.Event()
        """Set where rows that were handed on came back unpolled, and are to be found before the next fire."""
        self._by: Instant | None = None
        self._log = logger()
        attention.on_left = dispatch.leave
        attention.on_table_trouble = self._leave_all
        dispatch.on_lost = self._rest

    async def run(
        self, tick_id: str, fired: asyncio.Event | None = None, *, asks: bool = True, by: Instant | None = None
    ) -> TickReport:
        """Run one tick: until all that is due was handed on, the next one has `fired`, or it has lasted long enough.

        Where it `asks` no source, it is for the answers that are kept alone; `by` leaves out what has become due since.
        Never raises for what a row, a job or the cloud does: the report says it.
        """
        started = time.monotonic()
        self._by = by
        self._dispatch.asks = asks
        self._attention.tick_id = tick_id
        self.again.clear()
        report = TickReport()
        taken, first = 0, True
        self._dispatch.passed_over.doors.clear()
        try:
            while not self._attention.table_trouble:
                report.due = taken
                if await self._pass(report, started + self._longest, first=first):
                    break
                taken, first = report.due - report.left, False
                if not await self._room(started + self._longest - time.monotonic(), fired):
                    break
        except CloudError as error:
            self._attention.heed_error(error)
        if self._attention.table_trouble:
            report.trouble = self._attention.table_trouble.error
        report.cut_short = report.cut_short and not report.trouble
        report.add(self._attention.take())
        report.duration_ms = round((time.monotonic() - started) * 1000)
        return report

    async def run_alone(self, tick_id: str) -> TickReport:
        """Run one tick and wait for its polls, for an outside cron; its figures are all of them."""
        report = await self.run(tick_id)
        for lane in self._dispatch.lanes:
            await lane.drained()
        report.add(self._attention.take())
        for trouble in (self._attention.table_trouble, *(lane.trouble for lane in self._dispatch.sources)):
            if trouble and not report.trouble:
                report.trouble = trouble.error
        self.tell(report)
        return report

    def tell(self, report: TickReport) -> None:
        """Log a tick's report."""
        (self._log.warning if report.trouble else self._log.info)(
            "tick.finished", tick_id=self._attention.tick_id, **report.shown()
        )

    async def _pass(self, report: TickReport, until: float, *, first: bool) -> bool:
        """Look through what is due once; tells whether all of it was handed on. Raises CloudError."""
        now = self._clock()
        report.left, report.cut_short = 0, False
        self._attention.room.clear()
        dispatch, passed = self._dispatch, self._dispatch.passed_over
        dispatch.begin_pass()
        read = 0
        by = now if self._by is None else min(now, self._by)
        async with aclosing(self._finder.pages(by)) as pages:  # type: ignore[type-var]  # it is a generator
            async for page in pages:
                report.found(page.rows, now)
                unread, passed.count = passed.count, 0
                report.waited(passed.oldest, now)
                handed = dispatch.hand(page.rows, now, page.shard)
                report.due += handed.taken + len(handed.refused) + unread
                report.left += len(handed.refused) + unread
                report.cut_short = report.left > 0
                if self._attention.table_trouble:
                    return False
                if page.stray:
                    self._finder.give_back(handed.left())
                else:
                    read += len(handed.refused)
                stopped, late = dispatch.stopped, time.monotonic() > until
                enough = read >= MOST_PASSED_OVER or report.left >= MOST_UNREAD
                refused = bool(handed.refused or unread)
                if late or (refused and (enough or not self._looks_on(page, first=first))):
                    report.cut_short = True
                    # With one source what is longest due comes first; behind others' rows there may be its own.
                    beyond = stopped or not refused or (enough and len(dispatch.sources) > 1)
                    self._finder.cut(page, handed.taken_in_order(), beyond=beyond)
                    return False
        if not self._finder.resting:
            dispatch.nothing_else_is_due()
        return not report.cut_short and not self._finder.resting

    def _rest(self, shard: int | None) -> None:
        """Leave a page, and its shard, to the replica that is at it, for a moment."""
        if shard is not None:
            self._finder.rest(shard)
        asyncio.get_running_loop().call_later(REST_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._attention.room.set()
        self.again.set()

    def _looks_on(self, page: Page, *, first: bool) -> bool:
        """Tell whether to look further, once a lane has refused a row.

        Behind it there may be rows that need no source, or another one. But where there is only one source, a scan goes
        on behind the last row that was taken, so that every row gets its turn.
        """
        dispatch = self._dispatch
        if dispatch.stopped:
            return True
        scanned = page.shard is None and not page.stray
        if first:
            return not scanned or len(dispatch.sources) > 1
        return len(dispatch.sources) > 1 and dispatch.may_take_more

    async def _room(self, seconds: float, fired: asyncio.Event | None) -> bool:
        """Wait until a lane has room again; tells whether that was before the time was up and the next tick fired."""
        if seconds <= 0 or (fired and fired.is_set()) or (fired is None and self._dispatch.stopped):
            return False
        await any_set((self._attention.room, fired) if fired else (self._attention.room,), seconds)
        return self._attention.room.is_set() and not (fired and fired.is_set())

    def _leave_all(self) -> None:
        """Take nothing more while the table is in trouble; what is queued is still due."""
        for lane in self._dispatch.lanes:
            lane.drop()
        self._look_again()
