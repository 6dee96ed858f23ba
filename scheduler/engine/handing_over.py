"""Lambda mode without waiting: due jobs are handed over to the poller Lambda as events, and remembered for a while."""

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

from scheduler.core.instant import Instant
from scheduler.core.invocation import NoInvocation
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import Found
from scheduler.core.trouble import Part, Trouble
from scheduler.engine.crashes import without_tokens
from scheduler.engine.lambda_polling import about
from scheduler.engine.poller import Claimed

_MOST_REMEMBERED = 100_000
"""About 30 MB. What is handed over and still due beyond that is handed over again with the next tick."""
_WORKED = frozenset({Part.SOURCE})


class Events(Protocol):
    """Whoever can put events into the queue of a Lambda function."""

    async def hand_over(self, name: str, payload: bytes) -> NoInvocation | None:
        """Hand an event over; None once Lambda has it."""
        ...

    async def probe(self, name: str) -> None:
        """Ask whether a function is there. Raises MissingError or CloudError where it is not."""
        ...


class HandedOver:
    """The rows that were handed over lately: not to be handed over again while their polls may be under way.

    A poll's claim moves a row's time on. So a row that is found due with the time it had is one whose poll has not
    begun, or has given it back; after a while it is handed over again all the same, for an event may be lost.

    The memory is bounded. Of more rows those are forgotten first that have not been seen due for the longest: they have
    most likely been polled. Where one has not, it is handed over once more; the poller's claim, and the time by which
    the row was due, let it be polled once.
    """

    def __init__(
        self, seconds: float, most: int = _MOST_REMEMBERED, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take for how long and how many rows are remembered, and a monotonic clock in seconds."""
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._rows: OrderedDict[str, tuple[Instant | None, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def note(self, rows: Sequence[Found]) -> None:
        """Remember rows that are handed over now."""
        now = self._clock()
        for row in rows:
            self._rows[row.job_id] = (row.next_poll_at, now + self._seconds)
            self._rows.move_to_end(row.job_id)
        while self._rows and (len(self._rows) > self._most or self._oldest_until() <= now):
            self._rows.popitem(last=False)

    def holds(self, row: Found) -> bool:
        """Tell whether a row that is found due may still be polled by whoever it was handed over to."""
        remembered = self._rows.get(row.job_id)
        if remembered is None:
            return False
        next_poll_at, until = remembered
        if row.next_poll_at != next_poll_at or self._clock() >= until:
            del self._rows[row.job_id]
            return False
        self._rows.move_to_end(row.job_id)
        return True

    def _oldest_until(self) -> float:
        return next(iter(self._rows.values()))[1]


class EventPoller:
    """Hands due jobs over to the poller Lambda, and does not wait for what becomes of them."""

    claims: ClassVar[bool] = False

    def __init__(self, events: Events, name: str, batch: int, handed_over: HandedOver) -> None:
        self._events = events
        self._name = name
        self.batch = batch
        self._handed_over = handed_over

    async def poll(self, rows: Sequence[Found], tick: Instant, claimed: Claimed | None = None) -> list[Outcome]:
        """Hand some rows over, to be polled where they still are as due as this tick found them."""
        del claimed
        with without_tokens(rows):
            return await self._hand_over(rows, tick)

    async def probe(self) -> None:
        """Ask whether the poller is there. Raises MissingError or CloudError where it is not."""
        await self._events.probe(self._name)

    async def _hand_over(self, rows: Sequence[Found], tick: Instant) -> list[Outcome]:
        job_ids = [row.job_id for row in rows]
        payload: dict[str, Any] = {"jobId": job_ids[0]} if self.batch == 1 else {"jobIds": job_ids}
        refused = await self._events.hand_over(self._name, json.dumps(payload | {"dueBy": tick}).encode())
        if refused and refused.unfit and len(rows) > 1:
            # Too large, or there is something in one of the ids: it shall concern as few as can be.
            half = len(rows) // 2
            return [*await self._hand_over(rows[:half], tick), *await self._hand_over(rows[half:], tick)]
        if not (refused and refused.refusal):
            # Where the reply was lost the event may be in the queue all the same.
            self._handed_over.note(rows)
        return [about(row, _outcome(row.job_id, refused)) for row in rows]


def _outcome(job_id: str, refused: NoInvocation | None) -> Outcome:
    match refused:
        case None:
            return Outcome(Kind.HANDED_OVER, job_id, worked=_WORKED)
        case NoInvocation(error, None):
            return Outcome(Kind.CHECK_FAILED, job_id, error=error, worked=_WORKED)
        case NoInvocation(error, refusal):
            trouble = Trouble.refused(Part.SOURCE, error, refusal)
            return Outcome(Kind.UNASKED, job_id, error=error, troubles=(trouble,))
