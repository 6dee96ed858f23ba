"""Dispatch: which lane a due row goes to, and which rows are left for now."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

from scheduler.core.home import Home
from scheduler.core.instant import Instant
from scheduler.core.protocol import not_ours
from scheduler.core.row_reader import Found, Malformed
from scheduler.core.token_row import TokenRow
from scheduler.engine.lanes import Lane, Work
from scheduler.engine.replicas import Holding
from scheduler.engine.turns import Turn
from scheduler.log import logger

_LEFT_SECONDS, _MOST_LEFT = 300.0, 100_000
"""For how long, and how many, rows are remembered that cannot be polled here: each is read and told of once a spell."""


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of the rows of a page: how many lanes took, and the ids of those that they had no room for."""

    rows: Sequence[Found]
    taken: int
    refused: set[str]

    def taken_in_order(self) -> list[Found]:
        """Give the rows before the first that was refused."""
        return list(takewhile(lambda row: row.job_id not in self.refused, self.rows))

    def left(self) -> list[Found]:
        """Give the rows that were refused."""
        return [row for row in self.rows if row.job_id in self.refused]


class Dispatch:
    """Hands due rows to the lane of their source, or to the `desk`: polls that ask no source.

    Kept answers, rows that cannot be understood, and heartbeats of jobs whose source cannot be asked need none. Without
    a desk (in lambda mode) everything is the poller's.
    """

    def __init__(
        self,
        lane: Lane,
        desk: Lane | None,
        home: Home,
        beat_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lane = lane
        self._desk = desk
        self.holding: Holding | None = None
        """What holds rows across polls, where that is wanted."""
        self._home = home
        self._beat_seconds = beat_seconds
        self._clock = clock
        self.on_lost: Callable[[int | None], None] = lambda _: None
        """Told of a page of which a claim was lost to another replica, by its shard where it has one."""
        self.asks = True
        """Whether sources may be asked now; else only what needs none is handed on."""
        self.handed_over: Callable[[Found], bool] = lambda _: False
        """Asked whether a row was handed over to be polled elsewhere, and may be polled there now."""
        self._left: dict[str, float] = {}
        self._beaten: dict[str, float] = {}
        self._log = logger()

    @property
    def lanes(self) -> list[Lane]:
        """All lanes."""
        return [self.lane, self._desk] if self._desk else [self.lane]

    def leave(self, job_id: str) -> None:
        """Remember a row that cannot be polled here, so that the next ticks pass it by."""
        _remember(self._left, job_id, self._clock() + _LEFT_SECONDS)

    def nobody_waits(self) -> None:
        """Note that no due row waits for room any more; held ones may."""
        if not (self.holding and self.holding.polls.waits):
            for lane in self.lanes:
                lane.nobody_waits()

    def hand(self, rows: Sequence[Found], tick: Instant, shard: int | None = None) -> Handed:
        """Hand the rows of one page on; those of a shard in any order, for other replicas may be at the same page."""
        turn = Turn() if self.lane.poller.claims else Turn.unlimited()
        turn.on_lost = partial(self.on_lost, shard)
        waiting = [row for row in rows if not self._passed_by(row)]
        if shard is not None:
            random.shuffle(waiting)
        taken = 0
        refused: list[Found] = []
        if self.holding and self.asks:
            held = [row for row in waiting if isinstance(row, TokenRow) and self.holding.taking_up.takes(row)]
            ids = {row.job_id for row in held}
            waiting = [row for row in waiting if row.job_id not in ids]
            room = self.holding.taking_up.room()
            if held[:room]:
                self.holding.taking_up.take_up(held[:room], turn.lost)
            taken += len(held[:room])
            refused += held[room:]
            self._keep_beating(held[room:], tick)
        for lane, batch in self._batches(waiting):
            if not _offer(lane, batch, tick, turn if lane is self.lane else Turn.unlimited()):
                refused += batch
                self._keep_beating(batch, tick)
            else:
                taken += len(batch)
        return Handed(rows, taken, {row.job_id for row in refused})

    def _batches(self, rows: list[Found]) -> Iterator[tuple[Lane, list[Found]]]:
        batch: list[Found] = []
        for row in rows:
            if not self.asks and not _needs_no_source(row):
                continue
            if self._desk and _needs_no_source(row):
                yield self._desk, [row]
                continue
            batch.append(row)
            if len(batch) == self.lane.poller.batch:
                yield self.lane, batch
                batch = []
        if batch:
            yield self.lane, batch

    def _keep_beating(self, refused: Sequence[Found], tick: Instant) -> None:
        """Send the heartbeats that tasks need whose jobs' source cannot be asked."""
        if self._desk is None:
            return
        for row in refused:
            due = isinstance(row, TokenRow) and row.heartbeat and self._beat_is_due(row, tick)
            if due and _offer(self._desk, [row], tick, Turn.unlimited()):
                _remember(self._beaten, row.job_id, self._clock())

    def _beat_is_due(self, row: TokenRow, now: Instant) -> bool:
        """Tell whether a row that the lane does not take has waited so long that its task needs a heartbeat."""
        seconds = row.interval_seconds or self._beat_seconds
        late = row.next_poll_at is None or now - row.next_poll_at > seconds * 500 or self.lane.stopped
        return late and self._clock() >= self._beaten.get(row.job_id, float("-inf")) + seconds

    def passes_by(self, job_id: str) -> bool:
        """Tell whether a row is in hand already, or was left for a time."""
        held = self.holding is not None and job_id in self.holding.held
        in_hand = held or any(job_id in lane.in_hand for lane in self.lanes)
        return in_hand or self._left.get(job_id, 0.0) > self._clock()

    def _passed_by(self, row: Found) -> bool:
        job_id = row.job_id
        if self.passes_by(job_id) or self.handed_over(row):
            return True
        if isinstance(row, TokenRow) and (reason := not_ours(row, self._home)):
            self._log.warning("row.left_alone", job_id=job_id, execution_id=row.execution_id, error=reason)
            self.leave(job_id)
            return True
        return False


def _offer(lane: Lane, rows: list[Found], tick: Instant, turn: Turn) -> bool:
    def claimed(*, won: bool) -> None:
        if won:
            turn.won()
        else:
            turn.lost()
        lane.advance()

    return lane.offer(Work(tuple(row.job_id for row in rows), partial(lane.poller.poll, rows, tick, claimed), turn))


def _needs_no_source(row: Found) -> bool:
    return isinstance(row, Malformed) or row.pending is not None


def _remember(memory: dict[str, float], job_id: str, at: float) -> None:
    memory.pop(job_id, None)
    memory[job_id] = at
    if len(memory) > _MOST_LEFT:
        del memory[next(iter(memory))]
