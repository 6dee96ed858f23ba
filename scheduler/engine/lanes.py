"""Lanes: the slots, the queue, the rate and the trouble of one source, so that no source holds up another.

A lane takes no more than it can poll: what it refuses stays due in the table, for its next room or for another replica.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable

from scheduler.core.outcome import Outcome
from scheduler.core.service_calls import Refusal
from scheduler.core.trouble import Part, Trouble
from scheduler.engine.pace import Pace
from scheduler.engine.poller import Poller
from scheduler.engine.work import Listener, Work
from scheduler.errors import CloudError

__all__ = ["Lane", "Listener", "Work"]

_QUEUED_SECONDS = 1.0
"""A lane that has slowed down queues what it can start within this time, and leaves the rest to others."""
STARVED_SECONDS = 30.0
"""A source that has taken nothing for so long is more than busy."""
_LOOK_SECONDS = 0.05
_FIRST_REST_SECONDS, _LONGEST_REST_SECONDS = 0.5, 10.0


class Lane:
    """The slots of one source.

    It is open; or slowed down, where its source refuses some of what it is asked; or stopped, where its source cannot
    be used at all. A stopped lane rests, then asks whether the source is there, then lets one poll try. It never asks
    more often than its `rate`, nor before its source wants to be asked again.
    """

    def __init__(  # noqa: PLR0913  a lane has many limits
        self,
        name: str,
        poller: Poller,
        slots: int,
        listener: Listener,
        clock: Callable[[], float] = time.monotonic,
        *,
        rate: float | None = None,
        aws: bool = True,
    ) -> None:
        """Take a name, what polls, how many polls are in flight at most, who hears, a monotonic clock in seconds.

        `rate` is the most polls a second; `aws` says that it is our AWS credentials that the source may refuse.
        """
        self.name = name
        self.poller = poller
        self.slots = slots
        self.aws = aws
        self.trouble: Trouble | None = None
        """What the source refused last; None once it is over."""
        self.in_hand: set[str] = set()
        """The jobs that are queued or polled: not to be taken once more."""
        self._listener = listener
        self._clock = clock
        self._queue: deque[Work] = deque()
        self._polls: set[asyncio.Task[None]] = set()
        self._pace = Pace(most=rate)
        self._started_at = clock()
        self._first_refused_at = self._refused_at = 0.0
        self._all_refused = False
        self._rests = 0
        self._stopped = self._trying = self._refusing = self._closed = self._probed = False
        self._timer: asyncio.TimerHandle | None = None
        self._probing: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is queued and nothing is polled."""
        return not self._queue and not self._polls

    @property
    def in_flight(self) -> int:
        """How many slots are taken."""
        return len(self._polls)

    @property
    def stopped(self) -> bool:
        """Whether the source cannot be used, and no poll has shown yet that it can be again."""
        return self._stopped

    @property
    def _resting(self) -> bool:
        """Whether not even one poll may try."""
        return self._stopped and not self._trying

    @property
    def starved(self) -> bool:
        """Whether the source has refused everything for long: not only once, after long without a job."""
        return self.trouble is not None and self._refused_at - self._first_refused_at > STARVED_SECONDS

    def room(self) -> int:
        """Give how many more pieces of work the lane takes now."""
        held = len(self._queue) + len(self._polls)
        if self._closed:
            return 0
        if self._stopped:
            return int(self._trying and not held)
        most = self.slots if self._stalled else 2 * self.slots
        if self._paced:
            most = min(most, len(self._polls) + self._pace.within(_QUEUED_SECONDS, self._clock()))
        return max(0, most - held)

    def offer(self, work: Work) -> bool:
        """Take a piece of work, where there is room."""
        if self.room() < 1:
            self._refusing = True
            self._look_later()
            return False
        self._queue.append(work)
        self.in_hand.update(work.job_ids)
        self.advance()
        return True

    def advance(self) -> None:
        """Start what can be started."""
        while self._queue and len(self._polls) < self.slots and not self._pace.delay(self._clock()):
            work = self._next()
            if work is None:
                break
            self._start(work)
        enough = 1 if self._stopped or self._paced else max(1, self.slots // 2)
        if self._refusing and self.room() >= enough:
            self._refusing = False
            self._listener.freed(self)
        self._look_later()

    def stop(self, trouble: Trouble, *, probed: bool = False) -> None:
        """Let the lane rest: its source cannot be used. What is queued is left, and still due."""
        self.trouble, self._probed = trouble, probed
        self._refusing |= bool(self._queue)
        self.drop()
        if self._timer:
            self._timer.cancel()
        # Exponential, with full jitter: replicas come back all at once.
        longest = min(_LONGEST_REST_SECONDS, _FIRST_REST_SECONDS * 2.0 ** min(self._rests, 10))
        self._rests += 1
        self._stopped, self._trying = True, False
        if not self._closed:
            self._timer = asyncio.get_running_loop().call_later(longest * random.random(), self._look_again)
        self._listener.changed(self)

    def somebody_waits(self) -> None:
        """Note that something waits for room which the lane did not refuse itself."""
        self._refusing = True
        self._look_later()

    def nobody_waits(self) -> None:
        """Note that nothing of what was refused is waiting any more."""
        self._refusing = False

    def nothing_is_due(self) -> None:
        """Note that no job is there to try: a source that was found to be there again is open without."""
        if self._trying and self.idle and not self._denied:
            self._took()

    def refresh(self) -> None:
        """Notice what time alone has ended, and leave what is queued where nothing has been started for long."""
        if self._stalled and self._queue:
            self.drop()
            self._refusing = True
        if self.trouble is None:
            return
        self._pace.delay(self._clock())
        if not self._stopped and self._pace.rate is None:
            self.trouble = None
        self._listener.changed(self)

    def close(self) -> None:
        """Take nothing more, and leave what is queued; what is polled goes on."""
        self._closed = True
        self.drop()
        if self._timer:
            self._timer.cancel()
        if self._probing:
            self._probing.cancel()

    def look_at_source(self) -> None:
        """Ask at the start whether the source is there, so that its absence is told before the first job needs it."""
        self._probing = asyncio.create_task(self._ask_source(), name=f"probe {self.name}")

    async def drained(self) -> None:
        """Wait until nothing is queued and nothing polled."""
        while not self.idle:
            await (asyncio.wait(self._polls) if self._polls else asyncio.sleep(_LOOK_SECONDS))

    async def ended(self) -> None:
        """Wait until nothing is polled any more."""
        while self._polls:
            await asyncio.wait(self._polls)

    def abort(self) -> None:
        """Cancel the polls in flight; their rows are polled again when their leases have run out."""
        for polling in self._polls:
            polling.cancel()

    def _next(self) -> Work | None:
        """Take the next piece, once it is its turn; what was found with a row that another has won is left to him."""
        while self._queue:
            work = self._queue[0]
            if not work.turn.over and not work.turn.take():
                return None
            self._queue.popleft()
            if not work.turn.over:
                return work
            self.in_hand.difference_update(work.job_ids)
        return None

    def _start(self, work: Work) -> None:
        self._started_at = self._clock()
        self._pace.started(self._started_at)
        polling = asyncio.create_task(self._poll(work), name=f"poll {work.job_ids[0]}")
        self._polls.add(polling)
        polling.add_done_callback(lambda task: self._ended(task, work))

    def _ended(self, polling: "asyncio.Task[None]", work: Work) -> None:
        # Here and not in the poll itself: one that is cancelled before its first step would keep its slot.
        self._polls.discard(polling)
        self.in_hand.difference_update(work.job_ids)
        work.turn.end()
        self.advance()

    async def _poll(self, work: Work) -> None:
        started = self._clock()
        ended: list[Outcome] | Exception
        try:
            ended = await work.poll()
        except Exception as error:  # noqa: BLE001  a fault of ours with one row must end nothing else
            ended = error
        else:
            self._learn(ended, started)
        self._listener.ended(self, work, ended, self._clock() - started)

    def _learn(self, outcomes: Iterable[Outcome], started: float) -> None:
        for outcome in outcomes:
            trouble = next((each for each in outcome.troubles if each.part is Part.SOURCE), None)
            if trouble is None:
                if Part.SOURCE in outcome.worked:
                    self._took()
                continue
            self._refusing = True  # what the source did not take is still due
            if trouble.refusal is not None and trouble.refusal.stops:
                if not self._stopped or self._trying:
                    self.stop(trouble)
            else:
                self.trouble = trouble
                self._refused_at = self._clock()
                if not self._all_refused:
                    self._all_refused, self._first_refused_at = True, self._refused_at
                self._pace.refused(started, self._refused_at)
                self._reopen()
                if trouble.again_seconds and self._pace.pause(self._refused_at, trouble.again_seconds):
                    self.drop()  # others may poll it, and held rows line up where their heartbeats are seen to
                self._listener.changed(self)

    def _took(self) -> None:
        self._all_refused, self._first_refused_at = False, self._refused_at
        self._pace.took()
        self._reopen()
        if self.trouble and self._pace.rate is None:
            self.trouble = None
            self._listener.changed(self)

    @property
    def _stalled(self) -> bool:
        """Whether every slot is taken, and for long by the same polls: what waits is better left to others."""
        return len(self._polls) >= self.slots and self._clock() - self._started_at > _QUEUED_SECONDS

    @property
    def _denied(self) -> bool:
        """Whether only a poll tells when it is over: access is denied, or credentials that no probe was refused."""
        refusal = self.trouble and self.trouble.refusal
        return refusal is Refusal.DENIED or (refusal is Refusal.CREDENTIALS and not self._probed)

    @property
    def _paced(self) -> bool:
        return self._pace.bound is not None or self._pace.paused(self._clock())

    def _reopen(self) -> None:
        if self._stopped and self._timer:
            self._timer.cancel()  # the rest is over, and must not stand in the way of the pace
            self._timer = None
        self._stopped = self._trying = False
        self._rests = 0

    def drop(self) -> None:
        """Leave what is queued."""
        while self._queue:
            work = self._queue.popleft()
            self.in_hand.difference_update(work.job_ids)
            work.dropped()

    def _look_later(self) -> None:
        """Look again when the pace allows the next poll; a rest has its own time."""
        if self._closed or self._resting or self._timer or not (self._queue or self._refusing):
            return
        delay = self._pace.delay(self._clock())
        if delay > 0:
            self._timer = asyncio.get_running_loop().call_later(delay, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        if self._resting:
            self.look_at_source()
        else:
            self.advance()

    async def _ask_source(self) -> None:
        """Ask whether the source is there; after a rest let one poll try then, or open where nothing is due.

        A source that denies access is there: only a poll tells when that is over.
        """
        try:
            await self.poller.probe()
        except CloudError as error:
            # A service that is too busy to say whether the source is there may run it all the same.
            if error.refusal is None or error.refusal.stops:
                self.stop(Trouble(Part.SOURCE, error.reason, str(error), error.refusal), probed=True)
                return
        except Exception as error:  # noqa: BLE001  a fault of ours must not be the last time that it is asked
            self.stop(Trouble(Part.SOURCE, "the probe failed", f"{type(error).__name__}: {error}"), probed=True)
            return
        if not self._stopped:
            return
        self._trying = True
        if self._refusing:
            self.advance()
        elif not self._denied:
            self._took()
