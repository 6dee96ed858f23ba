"""Checks in batches: what is asked within a moment is asked together."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from scheduler.core.check_replies import NotTogether, Report, Unanswered, Unasked
from scheduler.core.token_row import TokenRow
from scheduler.log import logger
from scheduler.sources import BatchSource

GATHER_SECONDS = 0.05
"""The longest that a check waits for others to be asked with."""
_GATHER_PART = 0.1
"""It waits no longer than this part of the time that a check may take, for that time runs meanwhile."""
SPELL_SECONDS = 60.0
"""A source that could not be asked together is spoken of again once it could for so long."""
_MOST_APART = 10_000


@dataclass(slots=True)
class _Batch:
    """The checks that are asked together, and the futures that wait for what is said of them."""

    rows: list[TokenRow] = field(default_factory=list)
    answers: "list[asyncio.Future[Report]]" = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None
    asking: "asyncio.Task[None] | None" = None
    waiting: int = 0

    def ended(self, answer: "asyncio.Future[Report]") -> None:
        """Note that a check is over; a batch for which nobody waits any more is let go."""
        if answer.cancelled():
            self.waiting -= 1
            if not self.waiting and self.asking:
                self.asking.cancel()


class BatchingSource:
    """Asks for as many jobs at once as come within a moment.

    A check is a plain future: no task for each, and one timer for each batch. Whoever waits for it sets its deadline,
    and that one check alone is given up there. Where a batch's reply cannot be read, its jobs are asked for one by one.
    A job over which the source may have hung or raised is kept apart until it is told of clearly, so that no other one
    pays for it again and again.
    """

    def __init__(self, source: BatchSource, name: str, size: int, check_seconds: float) -> None:
        """Take a source and its name for the log, the most jobs of a batch, and the time that a check may take."""
        self._source = source
        self._name = name
        self._size = size
        self._seconds = min(GATHER_SECONDS, check_seconds * _GATHER_PART)
        self._gathering: _Batch | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._apart: dict[str, None] = {}
        self._refused_at = float("-inf")
        self._log = logger()

    def check(self, row: TokenRow) -> "asyncio.Future[Report]":
        """Ask for one job's status, together with others."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Report] = loop.create_future()
        if row.job_id in self._apart:
            self._ask_alone(row, answer)
            return answer
        batch = self._gathering
        if batch is None:
            batch = self._gathering = _Batch()
            batch.timer = loop.call_later(self._seconds, self._send, batch)
        answer.add_done_callback(batch.ended)
        batch.rows.append(row)
        batch.answers.append(answer)
        batch.waiting += 1
        if len(batch.rows) == self._size:
            self._send(batch)
        return answer

    async def probe(self) -> None:
        """Ask whether the source is there. Raises MissingError or CloudError where it is not."""
        await self._source.probe()

    def _send(self, batch: _Batch) -> None:
        self._gathering = None
        if batch.timer:
            batch.timer.cancel()
        if batch.waiting:
            batch.asking = self._start(self._ask(batch))

    async def _ask(self, batch: _Batch) -> None:
        # Whoever has gone meanwhile is not asked for.
        checks = [(row, answer) for row, answer in zip(batch.rows, batch.answers, strict=True) if not answer.done()]
        rows = [row for row, _ in checks]
        if not rows:
            return
        try:
            reports = await self._source.check_together(rows)
        except asyncio.CancelledError:
            self._keep_apart(rows)
            raise
        except Exception as error:  # noqa: BLE001  a fault of ours: each of the polls tells of it, and none waits on
            for _, answer in checks:
                _settle(answer, error)
            return
        if isinstance(reports, NotTogether):
            self._tell(reports.error, rows)
            for row, answer in checks:
                self._ask_alone(row, answer)
            return
        for (_, answer), report in zip(checks, reports, strict=True):
            _settle(answer, report)

    def _ask_alone(self, row: TokenRow, answer: "asyncio.Future[Report]") -> None:
        if not answer.done():
            answer.add_done_callback(partial(_give_up, self._start(self._check_alone(row, answer))))

    async def _check_alone(self, row: TokenRow, answer: "asyncio.Future[Report]") -> None:
        try:
            report = await self._source.check(row)
        except asyncio.CancelledError:
            self._keep_apart([row])
            raise
        except Exception as error:  # noqa: BLE001  likewise
            _settle(answer, error)
            return
        if isinstance(report, Unanswered):
            self._keep_apart([row])
        elif not isinstance(report, Unasked):
            self._apart.pop(row.job_id, None)
        _settle(answer, report)

    def _keep_apart(self, rows: list[TokenRow]) -> None:
        for row in rows:
            self._apart[row.job_id] = None
        while len(self._apart) > _MOST_APART:
            del self._apart[next(iter(self._apart))]

    def _tell(self, error: str, rows: list[TokenRow]) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._refused_at > SPELL_SECONDS:
            for row in rows:
                error = row.token.scrub(error)
            self._log.warning("source.asked_one_by_one", source=self._name, jobs=len(rows), error=error)
        self._refused_at = now

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task


def _give_up(asking: "asyncio.Task[None]", _: "asyncio.Future[Report]") -> None:
    asking.cancel()


def _settle(answer: "asyncio.Future[Report]", report: Report | Exception) -> None:
    """Tell who waits for a check what came of it; nobody may wait any more."""
    if answer.done():
        return
    if isinstance(report, Exception):
        answer.set_exception(report)
    else:
        answer.set_result(report)
