"""What is checked, and with which job: the design, and the scenarios that the world can start from."""

from dataclasses import dataclass
from typing import Any

from scheduler.core.answers import Answer, PendingAnswer, write_pending
from scheduler.core.attributes import Attribute, to_attribute
from scheduler.core.check_replies import Completed, Report
from scheduler.core.instant import format_iso, parse_iso
from scheduler.core.protocol import poll
from tests.fakes import FakeTokenTable, row_item
from tests.model.positions import Protocol

JOB = "job-1"
EXPIRES_AT = parse_iso("2026-01-01T01:00:00Z")


@dataclass(frozen=True, slots=True)
class Design:
    """The protocol, and the table that keeps its conditions."""

    protocol: Protocol = poll
    table: type[FakeTokenTable] = FakeTokenTable


@dataclass(frozen=True, slots=True)
class Scenario:
    """One job, and how much may go wrong with it. The job goes on for `in_progress` checks, then comes `ending`.

    With `leases`, pollers find the row by ticks, hence only when it is due, and no two of them may work on it at once.
    Without, they may poll it at any time, as `callback-scheduler poll` does; that leaves fewer worlds to tell apart.
    """

    name: str
    pollers: int = 2
    faults: int = 2
    crashes: int = 1
    in_progress: int = 1
    ending: Report = Completed("done")  # noqa: RUF009  it is frozen
    max_attempts: int = 2
    interval: float = 60
    foreign: bool = False
    heartbeat: bool = False
    pending: Answer | None = None
    refuses_output: bool = False
    leases: bool = False

    def item(self) -> dict[str, Attribute]:
        """Give the row as its creator, or an earlier poll, left it."""
        more: dict[str, Any] = {} if self.foreign else {"version": 1, "nextPollAt": 0, "dueShard": 0}
        if self.heartbeat:
            more["heartbeat"] = True
        if self.pending:
            more |= {"pendingAnswer": write_pending(PendingAnswer(self.pending, 1)), "attemptCount": self.checked()}
        more |= {"maxAttempts": self.max_attempts, "expiresAt": format_iso(EXPIRES_AT)}
        return row_item(JOB, **{name: to_attribute(value) for name, value in more.items()})

    def checked(self) -> int:
        """Give how many checks came before: an answer that is kept was decided by the last that the job needed."""
        return self.in_progress + 1 if self.pending else 0
