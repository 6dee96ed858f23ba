"""Dispatch: which lane a due row goes to, and which rows are left for now."""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from scheduler.core.home import Home
from scheduler.core.instant import Instant
from scheduler.core.protocol import unknown_source
from scheduler.core.row_reader import Found, Malformed
from scheduler.core.token_row import TokenRow
from scheduler.engine.handed import Handed
from scheduler.engine.lanes import Lane, Work
from scheduler.engine.passed_over import Door, PassedOver
from scheduler.engine.replicas import Holding
from scheduler.engine.spells import Spells
from scheduler.engine.turns import Turn
from scheduler.engine.waiting_beats import WaitingBeats
from scheduler.log import logger

__all__ = ["Dispatch", "Handed"]

_LEFT_SECONDS, _MOST_LEFT = 300.0, 100_000
"""For how long, and how many, rows are remembered that cannot be polled here: each is read and told of once a spell."""


class Dispatch:
    """Hands due rows to the lane of their source, or to the `desk`: polls that ask no source.

    Kept answers, rows that cannot be understood, and heartbeats of jobs whose source cannot be asked need none. Without
    a desk (in lambda mode) everything is the poller's, whatever source a row names.
    """

    def __init__(  # noqa: PLR0913  they are what a row may meet
        self,
        lane: Lane,
        desk: Lane | None,
        home: Home,
        beat_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        named: Mapping[str, Lane] | None = None,
    ) -> None:
        """Take the lane of the default source and those of the `named` ones, the desk, where and how often we poll."""
        self.lane = lane
        self._by_source: dict[str | None, Lane] = {None: lane}
        for name, each in (named or {}).items():
            self._by_source[name] = each
        self._desk = desk
        self.lanes = [*self._by_source.values(), *([desk] if desk else [])]
        """All lanes."""
        self.holding: Holding | None = None
        """What holds rows across polls, where that is wanted."""
        self._home = home
        self.interval: Callable[[TokenRow], float] = lambda row: row.interval_seconds or beat_seconds
        """Gives the seconds between two polls of a row."""
        self._clock = clock
        self.passed_over = PassedOver(self._has_room, clock)
        self._due: set[Lane] = set()
        self._eager: list[Door] = []
        self.on_lost: Callable[[int | None], None] = lambda _: None
        """Told of a page of which a claim was lost to another replica, by its shard where it has one."""
        self.asks = True
        """Whether sources may be asked now; else only what needs none is handed on."""
        self.handed_over: Callable[[Found], bool] = lambda _: False
        """Asked whether a row was handed over to be polled elsewhere, and may be polled there now."""
        self._left: dict[str, float] = {}
        self._beats = WaitingBeats(clock)
        self._unknown = Spells(clock)
        self._log = logger()

    @property
    def sources(self) -> list[Lane]:
        """The lanes of all sources; in lambda mode the one of the poller."""
        return list(self._by_source.values())

    def lane_of(self, row: Found) -> Lane | None:
        """Give the lane of a row's source; None where that source is not known here."""
        return self.lane if self._desk is None or isinstance(row, Malformed) else self._by_source.get(row.source)

    def leave(self, job_id: str) -> None:
        """Remember a row that cannot be polled here, so that the next ticks pass it by."""
        _remember(self._left, job_id, self._clock() + _LEFT_SECONDS)

    def nobody_waits(self) -> None:
        """Note that no due row waits for room any more; held ones may."""
        waiting = [line.lane for line in self.holding.polls.lines.values() if line.waits] if self.holding else []
        for lane in self.lanes:
            if lane not in waiting:
                lane.nobody_waits()

    def begin_pass(self) -> None:
        """Note that what is due is looked through from now on."""
        self.nobody_waits()
        passed = self.passed_over
        passed.look_anew()
        self._eager = [door for door in passed.doors if passed.lets_in(door)]
        passed.begin_pass()
        self._due = set()

    @property
    def may_take_more(self) -> bool:
        """Whether a lane still has room that had refused some in the pass before, and had room when this one began.

        Where none had, it was something else that called for this pass, and any lane may take what it finds.
        """
        return not self._eager or any(self._has_room(door) for door in self._eager)

    @property
    def stopped(self) -> bool:
        """Whether all rows that were refused in this pass are of sources that cannot be used."""
        doors = self.passed_over.doors
        return all(door.lane.stopped for door in doors) if doors else self.lane.stopped

    def nothing_else_is_due(self) -> None:
        """Note that a pass has come to the end of what is due."""
        for lane in self.sources:
            if lane not in self._due and not any(door.lane is lane for door in self.passed_over.doors):
                lane.nothing_is_due()

    def _has_room(self, door: Door) -> bool:
        if door.holds and self.holding and self.holding.held.free(door.source) > 0:
            return self.holding.taking_up.room(door.source) > 0
        return door.lane.room() > 0  # where no more can be held, they are polled claim by claim

    def hand(self, rows: Sequence[Found], tick: Instant, shard: int | None = None) -> Handed:
        """Hand the rows of one page on; those of a shard in any order, for other replicas may be at the same page."""
        waiting = [row for row in rows if not self._passed_by(row)]
        if shard is not None:
            random.shuffle(waiting)
        taken = 0
        refused: list[Found] = []
        if self.holding and self.asks:
            held, left, waiting = self._to_hold(waiting, self.holding)
            if held:
                self.holding.taking_up.take_up(held, self._turn(shard).lost)
            taken += len(held)
            self._refuse(left, tick, shard, holds=True)
            refused += left
        turns: defaultdict[Lane, Turn] = defaultdict(partial(self._turn, shard))
        for lane, batch in self._batches(waiting):
            # A turn for each lane: a page that one of them is slow to claim is no reason for another one to wait.
            turn = turns[lane] if lane is not self._desk and lane.poller.claims else Turn.unlimited()
            if not _offer(lane, batch, tick, turn):
                refused += batch
                self._refuse(batch, tick, shard)
            else:
                taken += len(batch)
        self.passed_over.look_anew()
        return Handed(rows, taken, {row.job_id for row in refused})

    def _turn(self, shard: int | None) -> Turn:
        return Turn(on_lost=partial(self.on_lost, shard))

    def _to_hold(self, rows: list[Found], holding: Holding) -> tuple[list[TokenRow], list[TokenRow], list[Found]]:
        """Tell apart the rows that are taken up now, those that there is no room for, and those that are not held."""
        now: list[TokenRow] = []
        left: list[TokenRow] = []
        others: list[Found] = []
        rooms: dict[str | None, int] = {}
        for row in rows:
            if not isinstance(row, TokenRow) or not holding.taking_up.takes(row):
                others.append(row)
                continue
            self._due.add(self._by_source[row.source])
            if row.source not in rooms:
                rooms[row.source] = holding.taking_up.room(row.source)
            # What others of this page take counts, too.
            (now if rooms[row.source] > len(now) else left).append(row)
        return now, left, others

    def _batches(self, rows: list[Found]) -> Iterator[tuple[Lane, list[Found]]]:
        batches: defaultdict[Lane, list[Found]] = defaultdict(list)
        for row in rows:
            if not self.asks and not _needs_no_source(row):
                continue
            if self._desk and _needs_no_source(row):
                yield self._desk, [row]
                continue
            lane = self.lane_of(row)
            if lane is None:
                continue
            self._due.add(lane)
            batch = batches[lane]
            batch.append(row)
            if len(batch) == lane.poller.batch:
                yield lane, batch
                batches[lane] = []
        yield from ((lane, batch) for lane, batch in batches.items() if batch)

    def _refuse(self, rows: Sequence[Found], tick: Instant, shard: int | None, *, holds: bool = False) -> None:
        """Note rows that there is no room for now; in a shard of the index they need not be read again until then."""
        for row in rows:
            lane = self.lane_of(row)
            if isinstance(row, TokenRow) and lane and row.pending is None:
                unread = shard is not None and not row.heartbeat
                self.passed_over.note(row, Door(row.source if self._desk else None, lane, holds), unread=unread)
            if self._desk and isinstance(row, TokenRow) and row.heartbeat:
                self._keep_beating(row, self._desk, tick, stopped=bool(lane and lane.stopped))

    def _keep_beating(self, row: TokenRow, desk: Lane, tick: Instant, *, stopped: bool) -> None:
        """Send the heartbeat that a task needs whose job's source cannot be asked."""
        interval = self.interval(row)
        if self._beats.due(row, tick, interval, stopped=stopped) and _offer(desk, [row], tick, Turn.unlimited()):
            self._beats.sent(row)

    def passes_by(self, job_id: str) -> bool:
        """Tell whether a row need not be read: it is in hand or left for a time, or its lane has no room for it."""
        return self._in_hand(job_id) or (self.asks and self.passed_over.passes(job_id))

    def _in_hand(self, job_id: str) -> bool:
        held = self.holding is not None and job_id in self.holding.held
        in_hand = held or any(job_id in lane.in_hand for lane in self.lanes)
        return in_hand or self._left.get(job_id, 0.0) > self._clock()

    def _passed_by(self, row: Found) -> bool:
        job_id = row.job_id
        if self._in_hand(job_id) or self.handed_over(row):
            return True
        if not isinstance(row, TokenRow):
            return False
        if self.lane_of(row) is None:
            if self._unknown.begins(str(row.source)):
                self._log.warning("source.unknown", job_id=job_id, error=unknown_source(row))
        elif reason := self._home.excludes(row.execution_id):
            self._log.warning("row.left_alone", job_id=job_id, execution_id=row.execution_id, error=reason)
        else:
            return False
        self.leave(job_id)
        return True


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
