"""The rows that this replica holds, as memory knows them."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from scheduler.core.instant import Instant
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.token import TokenTrace
from scheduler.core.token_row import TokenRow


class Stage(Enum):
    """Where a held row stands between two polls."""

    TIMED = auto()
    """Its time has not come."""
    WAITING = auto()
    """Its time has come, and the lane has no room."""
    RENEWING = auto()
    """Its time has come, and its hold is to be renewed first."""
    QUEUED = auto()
    """The lane has it."""
    POLLING = auto()
    DROPPED = auto()
    """It is held no more."""


@dataclass(slots=True, eq=False)
class HeldRow:
    """One held row: what the table says, and what the polls since the last write have found.

    Times are seconds of a clock that nobody sets and that runs on while the machine sleeps; see `scheduler.clock.boot`.
    """

    row: TokenRow
    """The row as it was written last, without its token where no heartbeat needs it."""
    attempts: int
    """The checks that were made, and the one that is under way."""
    interval: float
    due: float
    ends: float
    """When the hold ends: no poll starts that might outlast it."""
    renew_at: float
    phase: float = 0.0
    """By how much the next interval is shorter, once: what is taken up together is spread."""
    unknown_checks: int = 0
    last_error: str | None = None
    polled_at: Instant = 0
    stage: Stage = Stage.TIMED
    rings: float = 0.0
    """When its timer rings; any other timer of it is void."""
    in_line: bool = False
    """Whether it stands in the line of rows that wait for room, be it that it waits no more."""

    @classmethod
    def of(cls, row: TokenRow, interval: float, due: float, ends: float, renew_at: float) -> "HeldRow":
        """Hold a row that was just claimed; the claim has counted its first check."""
        # There may be a hundred thousand: what can be known otherwise is not kept.
        token = row.token if row.heartbeat else TokenTrace(row.token)
        return cls(
            replace(row, token=token, next_poll_at=None, held_by=None),
            row.attempt_count - 1,
            interval,
            due,
            ends,
            renew_at,
            unknown_checks=row.unknown_checks,
            last_error=row.last_error,
        )

    def __lt__(self, other: "HeldRow") -> bool:
        """Stand somewhere, for timers that ring at the same moment."""
        return id(self) < id(other)

    @property
    def dropped(self) -> bool:
        """Whether it is held no more."""
        return self.stage is Stage.DROPPED

    def begin(self, now: Instant) -> TokenRow:
        """Count the check that begins at this instant, and give the row for it."""
        self.stage = Stage.POLLING
        self.attempts += 1
        self.polled_at = now
        return self.saved()

    def learn(self, outcome: Outcome) -> None:
        """Note what a poll has found that leaves the job waiting."""
        if outcome.unmarked or outcome.kind in {Kind.UNASKED, Kind.UNREACHED}:
            self.attempts -= 1  # no fault of the job's: what was found could not be carried out, and is asked once more
        else:
            self.unknown_checks = outcome.unknown_checks
        if outcome.error:
            self.last_error = outcome.error

    def saved(self) -> TokenRow:
        """Give the row with what memory knows of it."""
        return replace(
            self.row, attempt_count=self.attempts, unknown_checks=self.unknown_checks, last_error=self.last_error
        )


@dataclass(slots=True)
class Held:
    """All rows that this replica holds or is claiming, and whether it may poll them.

    Half of the room is shared out among the sources, and the other half is anybody's. So no source with many jobs keeps
    another one from holding its own.
    """

    name: str
    """The replica's name, as rows say by whom they are held; another one after each time it had to drop all."""
    most: int
    rows: dict[str, HeldRow] = field(default_factory=dict)
    claiming: set[str] = field(default_factory=set)
    giving_away: bool = False
    """Set while this replica holds more than its share or lags: it takes up nothing then."""
    closed: bool = False
    fresh: Callable[[], bool] = lambda: True
    """Whether the other replicas can still believe that this one lives; else nothing is polled from memory."""
    sources: int = 1
    counts: Counter[str | None] = field(default_factory=Counter)
    """How many rows of each source are held or being claimed."""

    def __contains__(self, job_id: str) -> bool:
        return job_id in self.rows or job_id in self.claiming

    def __len__(self) -> int:
        return len(self.rows) + len(self.claiming)

    @property
    def full(self) -> bool:
        """Whether no more rows can be held; others are polled claim by claim."""
        return len(self) >= self.most

    def free(self, source: str | None) -> int:
        """Give how many more rows of a source can be held."""
        share = self.most // (2 * self.sources)
        kept = share * (self.sources - 1)
        if kept:
            kept -= sum(min(share, count) for other, count in self.counts.items() if other != source)
        return self.most - len(self) - max(0, kept)

    def begin_claiming(self, rows: Iterable[TokenRow]) -> None:
        """Note that rows are being claimed."""
        for row in rows:
            self.claiming.add(row.job_id)
            self.counts[row.source] += 1

    def end_claiming(self, rows: Iterable[TokenRow]) -> None:
        """Note that nothing more comes of these claims."""
        for row in rows:
            self.claiming.discard(row.job_id)
            self.counts[row.source] -= 1

    def hold(self, held: HeldRow) -> None:
        """Hold a row."""
        self.rows[held.row.job_id] = held
        self.counts[held.row.source] += 1

    def drop(self, held: HeldRow) -> None:
        """Hold a row no more."""
        held.stage = Stage.DROPPED
        if self.rows.get(held.row.job_id) is held:
            del self.rows[held.row.job_id]
            self.counts[held.row.source] -= 1

    def drop_all(self) -> None:
        """Hold nothing any more: the others believe that this replica is gone."""
        for held in list(self.rows.values()):
            self.drop(held)
