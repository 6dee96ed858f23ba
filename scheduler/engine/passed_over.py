"""Rows passed over: due ones that their lane had no room for, remembered so that they are not read again and again.

Behind ten thousand rows of a source that hangs there may be one of another source. A tick finds it where it need not
read all that it has seen already.
"""

from collections.abc import Callable
from dataclasses import dataclass

from scheduler.core.instant import Instant
from scheduler.core.token_row import TokenRow
from scheduler.engine.lanes import Lane

_REMEMBERED_SECONDS = 30.0
"""After this a row is read anew: it may have become one that needs no source."""
_MOST = 50_000
"""Some 15 MB."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where rows of a source go in: to be held across polls, or straight to its lane."""

    source: str | None
    lane: Lane
    holds: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    door: Door
    until: float
    next_poll_at: Instant | None


class PassedOver:
    """Remembers which door a row waits at, and counts those that are passed over in one pass through what is due."""

    def __init__(self, has_room: Callable[[Door], bool], clock: Callable[[], float]) -> None:
        """Take what tells whether a door lets rows in now, and a monotonic clock in seconds."""
        self._has_room = has_room
        self._clock = clock
        self._rows: dict[str, _Known] = {}
        self._open: dict[Door, bool] = {}
        self._seen: set[str] = set()
        self.count = 0
        """The rows that were passed over unread since this was set to 0."""
        self.oldest: Instant | None = None
        """Since when the longest due of them has waited."""
        self.doors: set[Door] = set()
        """The doors at which rows have waited since this was emptied."""

    def begin_pass(self) -> None:
        """Count anew, each row once: a backlog is read from both of its ends."""
        self._seen, self.doors = set(), set()
        self.count, self.oldest = 0, None

    def note(self, row: TokenRow, door: Door, *, unread: bool) -> None:
        """Note a row that was refused; the next passes leave it `unread` while its door is closed."""
        self._wait_at(door)
        self._seen.add(row.job_id)
        if not unread:
            return
        self._rows.pop(row.job_id, None)
        self._rows[row.job_id] = _Known(door, self._clock() + _REMEMBERED_SECONDS, row.next_poll_at)
        if len(self._rows) > _MOST:
            del self._rows[next(iter(self._rows))]

    def look_anew(self) -> None:
        """Ask each door again whether it lets rows in: something was taken or has ended since."""
        self._open.clear()

    def passes(self, job_id: str) -> bool:
        """Tell whether a row need not be read, for its door is closed; it is counted then."""
        known = self._rows.get(job_id)
        if known is None:
            return False
        if known.until <= self._clock() or self.lets_in(known.door):
            del self._rows[job_id]
            return False
        if job_id in self._seen:
            return True
        self._seen.add(job_id)
        self.count += 1
        self._wait_at(known.door)
        if known.next_poll_at is not None:
            self.oldest = min(known.next_poll_at, known.next_poll_at if self.oldest is None else self.oldest)
        return True

    def _wait_at(self, door: Door) -> None:
        """Let the lane tell when it has room, for it is offered none of these; what is held waits in its line."""
        if door not in self.doors:
            self.doors.add(door)
            if not door.holds or door.lane.stopped:
                door.lane.somebody_waits()

    def lets_in(self, door: Door) -> bool:
        """Tell whether a door lets rows in, as asked since `look_anew`."""
        let = self._open.get(door)
        if let is None:
            let = self._open[door] = self._has_room(door)
        return let
