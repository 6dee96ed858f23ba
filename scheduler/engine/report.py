"""The report of a tick: what was found, and what became of the polls that have ended since the last report."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from scheduler.core.instant import Instant
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import Found
from scheduler.core.states import EndState

_GIVEN_UP_OR_FAILED = frozenset({EndState.FAILED, EndState.MAX_ATTEMPTS, EndState.EXPIRED})
_POLLS = ("polled", "claimed", "lost", "completed", "failed", "closed", "unasked", "handed_over", "errors")
_ERRORS = frozenset({Kind.CHECK_FAILED, Kind.DEFERRED, Kind.UNREACHED, Kind.REFUSED})


@dataclass(slots=True)
class TickReport:
    """What `tick.finished` shows.

    `left` counts the due rows that their lane had no room for, `cut_short` says that finding ended with rows left, and
    `trouble` why it ended before its time.
    """

    due: int = 0
    left: int = 0
    polled: int = 0
    claimed: int = 0
    lost: int = 0
    completed: int = 0
    failed: int = 0
    closed: int = 0
    unasked: int = 0
    handed_over: int = 0
    errors: int = 0
    oldest_due_seconds: float = 0.0
    duration_ms: int = 0
    cut_short: bool = False
    trouble: str | None = None

    def found(self, rows: Iterable[Found], now: Instant) -> None:
        """Note how long the longest due of some rows has waited."""
        for row in rows:
            self.waited(row.next_poll_at, now)

    def waited(self, since: Instant | None, now: Instant) -> None:
        """Note since when a row has been due."""
        if since is not None:
            self.oldest_due_seconds = max(self.oldest_due_seconds, round((now - since) / 1000, 1))

    def count(self, outcome: Outcome) -> None:
        """Count one poll's outcome."""
        self.polled += 1
        self.claimed += outcome.claimed
        self.lost += outcome.kind is Kind.LOST
        self.completed += outcome.end_state is EndState.COMPLETED
        self.failed += outcome.end_state in _GIVEN_UP_OR_FAILED
        self.closed += outcome.end_state is EndState.CLOSED
        self.unasked += outcome.kind is Kind.UNASKED
        self.handed_over += outcome.kind is Kind.HANDED_OVER
        self.errors += (
            outcome.kind in _ERRORS or outcome.end_state is EndState.QUARANTINED or outcome.unmarked is not None
        )

    def add(self, ended: "TickReport") -> None:
        """Add the polls that another report has counted."""
        for name in _POLLS:
            setattr(self, name, getattr(self, name) + getattr(ended, name))

    def crashed(self, polls: int) -> None:
        """Count polls that a fault of ours ended."""
        self.polled += polls
        self.errors += polls

    def shown(self) -> dict[str, Any]:
        """Give the report's figures, and its trouble where there was some."""
        return {name: value for name, value in asdict(self).items() if value is not None}
