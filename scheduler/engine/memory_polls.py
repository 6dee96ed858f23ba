"""Polls from memory: held rows are polled on timers, with no read and no write."""

import asyncio
import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from scheduler.core.instant import Instant
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.timing import Policy
from scheduler.engine.direct_polling import DirectPoller
from scheduler.engine.held_row import Held, HeldRow, Stage
from scheduler.engine.lanes import Lane, Work
from scheduler.engine.line import Line
from scheduler.engine.turns import Turn

_WAITING = frozenset({Kind.IN_PROGRESS, Kind.CHECK_FAILED, Kind.UNREACHED})
_IDLE_SECONDS = 3_600.0
_TOGETHER_SECONDS = 0.03
"""Polls that become due within so short a time start together: waking up costs as much as a quarter of a poll."""
_BEAT_RETRY_SECONDS = 0.5
"""How soon a heartbeat is tried again that the desk had no room for."""
_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of polls from memory; `first_fire` gives the first instant from one on at which polls may happen."""

    now: Callable[[], Instant]
    boot: Callable[[], float]
    first_fire: Callable[[Instant], Instant] | None = None


class MemoryPolls:
    """Starts the polls of held rows when they are due and the lane of their source has room."""

    def __init__(  # noqa: PLR0913  they are what a held row meets
        self,
        held: Held,
        policy: Policy,
        clocks: Clocks,
        lane: Lane,
        desk: Lane,
        *,
        named: Mapping[str, Lane] | None = None,
    ) -> None:
        """Take what is held, the clocks, the default source's lane, the desk, and the lanes of `named` sources."""
        self.policy = policy
        self.clocks = clocks
        self.renew: Callable[[HeldRow], None] = lambda _: None
        """Asks for a renewal of a row's hold, and is to `start` it then."""
        self._held = held
        self._desk = desk
        self.lines: dict[str | None, Line] = {None: Line(lane, policy)}
        """By the source that rows name."""
        self.lines |= {name: Line(each, policy.sources[name]) for name, each in (named or {}).items()}
        self._timers: list[tuple[float, HeldRow]] = []
        self._earlier = asyncio.Event()

    @property
    def waits(self) -> bool:
        """Whether held rows wait for room in their lane."""
        return any(line.waits for line in self.lines.values())

    def keeps_up(self, source: str | None = None) -> bool:
        """Tell whether the lane of a source takes what is due, so that more may be taken up."""
        return self.lines[source].keeps_up

    def lateness(self) -> float:
        """Give for how many seconds the longest due row has waited for its lane, in the lane that is best off.

        One source that is slow, or that takes nothing, does not make this replica a slow one.
        """
        now = self.clocks.boot()
        return min((line.lateness(now) for source, line in self.lines.items() if self._held.counts[source]), default=0)

    def begin(self, held: HeldRow, *, at_a_fire: bool = False) -> None:
        """Poll a row that was just claimed as soon as the lane has room; `at_a_fire`, not before polls may happen."""
        self.renew(held)
        if at_a_fire and self.clocks.first_fire:
            now = self.clocks.boot()
            held.due = self._at_fire(now, now, self.clocks.now())
            self._ring(held.due, held)
        else:
            self.start(held)

    async def run(self) -> None:
        """Start what is due, for ever."""
        while True:
            self._earlier.clear()
            now = self.clocks.boot()
            while self._timers and self._timers[0][0] <= now:
                at, held = heapq.heappop(self._timers)
                if at != held.rings:
                    continue
                if held.stage is Stage.TIMED:
                    self.start(held)
                elif held.stage is Stage.WAITING:
                    self._beat(held)
            delay = self._timers[0][0] - self.clocks.boot() if self._timers else _IDLE_SECONDS
            try:
                async with asyncio.timeout(max(_TOGETHER_SECONDS, delay)):
                    await self._earlier.wait()
            except TimeoutError:
                continue

    def resume(self, held: HeldRow) -> None:
        """Go on with a row that was to be given free, and could not be; unless it has been taken up once more."""
        if held.row.job_id in self._held:
            return
        self._held.hold(held)
        held.stage = Stage.TIMED
        self._ring(held.due, held)

    def on_room(self) -> None:
        """Start what was due while its lane had no room, the longest waiting first."""
        for line in self.lines.values():
            while line.waits:
                held = line.pop()
                if not self._started(held, line):
                    line.put_back(held)
                    break

    def start(self, held: HeldRow) -> None:
        """Start a poll whose time has come; it waits behind those that have waited for longer."""
        if held.dropped:
            return
        line = self.lines[held.row.source]
        if line.waits or not self._started(held, line):
            self._wait(held, line)

    def _started(self, held: HeldRow, line: Line) -> bool:
        """Start a poll, or let the row wait for what its poll needs; False where it is the lane that has no room."""
        if held.dropped or self._held.closed:
            return True  # it is given free, or nobody's affair any more
        if not self._may_poll(held, line):
            return True
        held.stage = Stage.QUEUED
        return line.lane.offer(self._work(held, line, line.lane))

    def _may_poll(self, held: HeldRow, line: Line) -> bool:
        """Tell whether a poll may start now; else it comes once the beat or the renewal that it needs got through."""
        now = self.clocks.boot()
        if not self._held.fresh():
            held.stage = Stage.TIMED
            self._ring(now + _AGAIN_SECONDS, held)  # dropped by then, unless a beat that was under way counts after all
            return False
        if now + line.policy.lease_seconds > held.ends:
            held.stage = Stage.RENEWING
            held.renew_at = now
            self.renew(held)
            return False
        return True

    def _wait(self, held: HeldRow, line: Line, *, beaten: bool = False) -> None:
        """Let a row wait for room; where its task needs heartbeats, the desk sends them meanwhile."""
        line.join(held)
        if held.row.heartbeat:
            now = self.clocks.boot()
            late = now if line.lane.stopped else held.due + held.interval / 2
            self._ring(now + held.interval if beaten else max(now, late), held)

    def _beat(self, held: HeldRow) -> None:
        """Let the desk send the heartbeat of a row that waits."""
        held.stage = Stage.QUEUED
        if not self._desk.offer(self._work(held, self.lines[held.row.source], self._desk)):
            held.stage = Stage.WAITING
            self._ring(self.clocks.boot() + _BEAT_RETRY_SECONDS, held)

    def _work(self, held: HeldRow, line: Line, lane: Lane) -> Work:
        """Give a poll as the work of its source's lane, or of the desk."""
        poll = partial(self._poll, held, line, lane)
        return Work((held.row.job_id,), poll, Turn.unlimited(), dropped=partial(self._dropped, held, line))

    def _dropped(self, held: HeldRow, line: Line) -> None:
        if held.stage is Stage.QUEUED:
            self._wait(held, line)

    async def _poll(self, held: HeldRow, line: Line, lane: Lane) -> list[Outcome]:
        # It may have stood in the lane's queue for long.
        if held.stage is not Stage.QUEUED or not self._may_poll(held, line):
            return []
        poller = lane.poller
        assert isinstance(poller, DirectPoller)  # noqa: S101  no other poller holds rows
        outcomes: list[Outcome] = []
        try:
            outcomes = await poller.poll_held(held.begin(self.clocks.now()))
        finally:
            if not held.dropped:
                self._learn(held, line, lane, outcomes)
        return outcomes

    def _learn(self, held: HeldRow, line: Line, lane: Lane, outcomes: list[Outcome]) -> None:
        """Note how a poll ended; without an outcome it was a fault of ours, or cancelled, and its attempt is spent."""
        outcome = outcomes[0] if outcomes else None
        if outcome is None:
            self._schedule(held, line.policy)
        elif outcome.unmarked or outcome.kind in _WAITING:
            held.learn(outcome)
            # What it wrote may not have arrived: dropped, the row would wait for its hold to end.
            self._schedule(held, line.policy)
        elif outcome.kind is Kind.UNASKED:
            held.learn(outcome)
            if lane is line.lane or not self._started(held, line):
                self._wait(held, line, beaten=True)
        else:
            self._held.drop(held)

    def _schedule(self, held: HeldRow, policy: Policy) -> None:
        """Let the next poll come an interval after the last was due; those that were missed are missed."""
        now, wall = self.clocks.boot(), self.clocks.now()
        if policy.backoff != 1:
            held.interval = policy.interval_after(held.row, max(0, held.attempts - 1))
        following = held.due + held.interval - held.phase
        held.phase = 0.0
        if following <= now:
            following += held.interval * -(-(now - following) // held.interval)
        expires_at = held.row.expires_at
        if expires_at is not None and expires_at > wall:
            following = min(following, now + (expires_at - wall) / 1000)
        held.due = self._at_fire(following, now, wall)
        held.stage = Stage.TIMED
        self._ring(held.due, held)

    def _at_fire(self, moment: float, now: float, wall: Instant) -> float:
        """Give the first moment from one on at which polls may happen."""
        if self.clocks.first_fire is None:
            return moment
        at = wall + round((moment - now) * 1000)
        return max(moment, now) + max(0, self.clocks.first_fire(at) - at) / 1000

    def _ring(self, moment: float, held: HeldRow) -> None:
        held.rings = moment
        heapq.heappush(self._timers, (moment, held))
        if self._timers[0][1] is held:
            self._earlier.set()
