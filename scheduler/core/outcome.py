"""Outcomes: how a poll ended, as a value."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scheduler.core.answers import Answer
from scheduler.core.states import EndState
from scheduler.core.trouble import Part, Trouble


class Kind(StrEnum):
    """The ways in which a poll ends."""

    IN_PROGRESS = "in_progress"
    CHECK_FAILED = "check_failed"
    """The source gave no clear answer: the attempt is spent, the job goes on waiting."""
    UNASKED = "unasked"
    """The check never reached the source: nothing is spent, the job goes on waiting."""
    ENDED = "ended"
    """The row has its end state."""
    DEFERRED = "deferred"
    """The answer is decided and kept; a later poll delivers it."""
    LOST = "lost"
    """Somebody else has the row."""
    LEFT_ALONE = "left_alone"
    """The row is not for this poller: its source is not known here, or its execution is elsewhere."""
    UNREACHED = "unreached"
    """The token table could not be asked; the row stays due."""
    HANDED_OVER = "handed_over"
    """The poller Lambda will poll the row; nobody here waits for that."""
    REFUSED = "refused"
    """The token table takes no write for this row, not even to set it aside: it has grown to its limit."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a poll of one row ended. `attempt` counts this poll where it claimed the row."""

    kind: Kind
    job_id: str
    execution_id: str | None = None
    attempt: int | None = None
    max_attempts: int | None = None
    claimed: bool = False
    end_state: EndState | None = None
    answer: Answer | None = None
    error: str | None = None
    unknown_checks: int = 0
    """The checks in a row, up to this one, that found the job unknown at its source."""
    troubles: tuple[Trouble, ...] = ()
    """What of the surroundings went wrong on the way; none of it is charged to the job."""
    worked: frozenset[Part] = frozenset()
    """What of the surroundings did what it was asked."""
    unmarked: str | None = None
    """Why the row could not be written at the end of the poll, though its answer was given or is to be kept."""
    again_seconds: float | None = None
    """In how many seconds trouble lets the row be polled again: no job waits its interval for what is not its own."""

    def reply(self) -> dict[str, Any]:
        """Give the outcome as the poller Lambda's reply, without anything secret in it."""
        match self:
            case Outcome(kind=Kind.ENDED, end_state=EndState.COMPLETED):
                return {"status": "COMPLETED", "reconnected": True}
            case Outcome(kind=Kind.ENDED, end_state=EndState(value)):
                return {"status": value}
        waiting: dict[str, Any] = {"status": "IN_PROGRESS", "attempt": self.attempt}
        if self.max_attempts is not None:
            waiting["maxAttempts"] = self.max_attempts
        if self.kind is not Kind.IN_PROGRESS:
            waiting["outcome"] = self.kind.value
        if self.error:
            waiting["reason"] = self.error
        return waiting
