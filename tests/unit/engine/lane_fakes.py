"""A lane with polls that end as a test tells them, and all that is heard of it."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar

from scheduler.core.instant import Instant
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import Found
from scheduler.core.service_calls import Refusal
from scheduler.core.trouble import Part, Trouble
from scheduler.engine.lanes import Lane, Listener, Work
from scheduler.engine.poller import Claimed
from scheduler.engine.turns import Turn
from scheduler.errors import CloudError
from tests.virtual_time import now

GONE = CloudError("function jobs does not exist", Refusal.MISSING)
TOOK = Outcome(Kind.IN_PROGRESS, "?", claimed=True, worked=frozenset({Part.TABLE, Part.SOURCE}))
LOST = Outcome(Kind.LOST, "?")


def refused(refusal: Refusal) -> Outcome:
    """Give the outcome of a poll whose check the source refused."""
    trouble = Trouble.refused(Part.SOURCE, "no", refusal)
    return Outcome(Kind.UNASKED, "?", claimed=True, worked=frozenset({Part.TABLE}), troubles=(trouble,))


BUSY, MISSING = refused(Refusal.THROTTLED), refused(Refusal.MISSING)


class ProbedSource:
    """A poller of which nothing but the probe is used: it follows a script, whose last line stays."""

    claims: ClassVar[bool] = True
    batch: ClassVar[int] = 1

    def __init__(self, *script: Exception | None) -> None:
        self.script = deque(script or (None,))
        self.probed: list[float] = []

    async def probe(self) -> None:
        """Follow the script."""
        self.probed.append(now())
        error = self.script.popleft() if len(self.script) > 1 else self.script[0]
        if error:
            raise error

    async def poll(self, rows: Sequence[Found], tick: Instant, claimed: Claimed | None = None) -> list[Outcome]:
        """Poll nothing: the work of these tests polls by itself."""
        raise NotImplementedError


class Heard(Listener):
    """All that is heard of a lane."""

    def __init__(self) -> None:
        self.ends: list[tuple[tuple[str, ...], Any]] = []
        self.freed_at: list[float] = []
        self.changes: list[str] = []

    def ended(self, lane: Lane, work: Work, outcomes: list[Outcome] | Exception, seconds: float) -> None:
        """Note how a piece of work ended."""
        del lane, seconds
        self.ends.append((work.job_ids, outcomes))

    def freed(self, lane: Lane) -> None:
        """Note when a lane had room again."""
        del lane
        self.freed_at.append(now())

    def changed(self, lane: Lane) -> None:
        """Note what a lane has become."""
        reason = lane.trouble.reason if lane.trouble else "well"
        self.changes.append(f"stopped: {reason}" if lane.stopped else reason)


class LaneUnderTest:
    """A lane and its polls: each starts when the lane lets it, waits while they are held, and ends as it was told."""

    def __init__(self, slots: int = 2, *probes: Exception | None) -> None:
        self.source = ProbedSource(*probes)
        self.heard = Heard()
        self.lane = Lane("jobs", self.source, slots, self.heard, now)
        self.started: list[tuple[str, float]] = []
        self.offered: list[Work] = []
        self._gate = asyncio.Event()
        self._gate.set()

    @property
    def ids(self) -> list[str]:
        """The jobs whose polls have started, in their order."""
        return [job_id for job_id, _ in self.started]

    def hold(self) -> None:
        """Let every poll that starts wait until `let_go`."""
        self._gate.clear()

    def let_go(self) -> None:
        """Let the waiting polls end."""
        self._gate.set()

    def offer(self, job_id: str, end: Outcome | Exception = TOOK, turn: Turn | None = None) -> bool:
        """Offer one poll; tells whether the lane took it."""

        async def poll() -> list[Outcome]:
            self.started.append((job_id, now()))
            await self._gate.wait()
            if isinstance(end, Exception):
                raise end
            return [end]

        work = Work((job_id,), poll, turn or Turn.unlimited())
        self.offered.append(work)
        return self.lane.offer(work)

    def offers(self, *job_ids: str, end: Outcome | Exception = TOOK, turn: Turn | None = None) -> list[bool]:
        """Offer polls one after another."""
        return [self.offer(job_id, end, turn) for job_id in job_ids]
