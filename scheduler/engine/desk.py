"""The desk: the slots of polls that ask no source."""

from collections.abc import Iterable

from scheduler.core.outcome import Outcome
from scheduler.engine.lanes import Lane


class Desk(Lane):
    """Takes kept answers, rows to be set aside, and heartbeats of jobs whose source cannot be asked.

    That a job was not asked is no trouble here, and nothing to slow down for.
    """

    def _learn(self, outcomes: Iterable[Outcome], started: float) -> None:
        """Learn nothing of any source."""
