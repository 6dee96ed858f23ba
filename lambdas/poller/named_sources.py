"""The sources by their names: each is made once it is asked, and asked in batches where it takes them."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from batched_checks import BatchedChecks
from scheduler.checks.spec import SourceSpec
from scheduler.core.check_replies import NotTogether, Report, Unasked
from scheduler.core.service_calls import Refusal
from scheduler.core.timing import POLLER_THREADS
from scheduler.core.token_row import TokenRow


class Asks(Protocol):
    """Whoever can ask a source for the status of one job, or of as many as `most` at once."""

    @property
    def most(self) -> int:
        """The most jobs that are asked for at once."""
        ...

    def check(self, row: TokenRow) -> Report:
        """Ask for one job's status."""
        ...

    def check_together(self, rows: Sequence[TokenRow]) -> list[Report] | NotTogether:
        """Ask for the status of several jobs; one report for each, in their order."""
        ...


@dataclass(frozen=True, slots=True)
class Unmade:
    """A source that cannot be asked from here: its jobs are charged nothing for that."""

    name: str
    reason: str
    most: int = 1

    def check(self, row: TokenRow) -> Report:
        """Say that the source was not asked."""
        del row
        return Unasked(f"source {self.name} cannot be asked from the poller Lambda: {self.reason}", Refusal.UNAVAILABLE)

    def check_together(self, rows: Sequence[TokenRow]) -> list[Report] | NotTogether:
        """Say that the source was not asked."""
        return [self.check(row) for row in rows]


class Sources:
    """The default source, and those that rows name."""

    def __init__(self, default: Asks, specs: Mapping[str, SourceSpec], make: Callable[[SourceSpec], Asks]) -> None:
        """Take the default source, the others' specs, and what makes one of them."""
        self.default = default
        self.specs = specs
        self._make = make
        self._made: dict[str, Asks] = {}
        self._lock = threading.Lock()

    def of(self, name: str | None) -> Asks:
        """Give the source of this name; None is the default one. Raises KeyError where it is not known here."""
        if name is None:
            return self.default
        # One after the other: a client takes a good part of a second to make, and is made once.
        with self._lock:
            if name not in self._made:
                self._made[name] = self._new(self.specs[name])
            return self._made[name]

    def _new(self, spec: SourceSpec) -> Asks:
        try:
            return self._make(spec)
        except Exception as error:  # noqa: BLE001  a service that this runtime's SDK does not know, for one
            return Unmade(spec.name, f"{type(error).__name__}: {error}")


class EventChecks:
    """The checks of one event: what its polls ask of the same source within a moment is asked together."""

    def __init__(self, sources: Sources, jobs: int) -> None:
        """Take the sources, and of how many jobs the event is."""
        self._sources = sources
        self._most = min(POLLER_THREADS, jobs)  # so many polls go on at once, and no more of them can ask together
        self._batched: dict[str | None, BatchedChecks[TokenRow]] = {}
        self._lock = threading.Lock()

    def check(self, row: TokenRow) -> Report:
        """Ask for one job's status."""
        source = self._sources.of(row.source)
        size = min(source.most, self._most)
        if size <= 1:
            return source.check(row)
        with self._lock:
            batched = self._batched.get(row.source)
            if batched is None:
                batched = BatchedChecks(source.check_together, source.check, size)
                self._batched[row.source] = batched
        return batched.check(row)
