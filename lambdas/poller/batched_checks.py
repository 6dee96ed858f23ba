"""Checks in batches within one invocation: what the threads of its polls ask within a moment is asked together."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from scheduler.core.check_replies import NotTogether, Report

GATHER_SECONDS = 0.05
"""The longest that a check waits for others to be asked with."""


Job = TypeVar("Job")


@dataclass(slots=True)
class _Batch(Generic[Job]):
    """The jobs that are asked for together. Whoever began it asks for all of them; the others wait for him."""

    jobs: list[Job] = field(default_factory=list)
    full: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)
    reports: list[Report] | NotTogether = field(default_factory=lambda: NotTogether("the check crashed"))


class BatchedChecks(Generic[Job]):
    """Asks for as many jobs at once as threads come within a moment; needs no thread of its own."""

    def __init__(
        self,
        together: Callable[[list[Job]], list[Report] | NotTogether],
        alone: Callable[[Job], Report],
        size: int,
        seconds: float = GATHER_SECONDS,
    ) -> None:
        """Take how jobs are asked for together, how one by itself, and the most jobs of a batch."""
        self._together = together
        self._alone = alone
        self._size = size
        self._seconds = seconds
        self._lock = threading.Lock()
        self._gathering: _Batch[Job] | None = None

    def check(self, job: Job) -> Report:
        """Ask for one job's status, together with others; by itself where their reply could not be read."""
        with self._lock:
            batch, begins = self._gathering, self._gathering is None
            if batch is None:
                batch = self._gathering = _Batch()
            place = len(batch.jobs)
            batch.jobs.append(job)
            if len(batch.jobs) == self._size:
                self._gathering = None
                batch.full.set()
        if begins:
            self._ask(batch)
        else:
            batch.answered.wait()
        reports = batch.reports
        return self._alone(job) if isinstance(reports, NotTogether) else reports[place]

    def _ask(self, batch: _Batch[Job]) -> None:
        batch.full.wait(self._seconds)
        with self._lock:
            if self._gathering is batch:
                self._gathering = None
        try:
            batch.reports = self._together(batch.jobs)
        finally:
            batch.answered.set()
