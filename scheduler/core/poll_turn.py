"""One turn at a row: what a poll knows from its start, and what it learns on the way."""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from scheduler.core.effects import Effect, Failure
from scheduler.core.instant import Instant
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.timing import Policy
from scheduler.core.token_row import TokenRow
from scheduler.core.trouble import Part, Trouble

Poll = Generator[Effect, Any, Outcome]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn at a row: when it started, since when the row was due and when it is again, until when it is leased.

    `troubles` gathers what of the surroundings goes wrong on the way, `worked` what does not.
    """

    policy: Policy
    now: Instant
    was_due: Instant
    due_again: Instant
    until: Instant
    held: bool = False
    """Whether the row is held across polls: one that leaves the job waiting writes nothing then."""
    troubles: list[Trouble] = field(default_factory=list)
    worked: set[Part] = field(default_factory=set)

    def outcome(self, kind: Kind, row: TokenRow, **more: Any) -> Outcome:
        """Give how the turn ended."""
        troubles, worked = tuple(self.troubles), frozenset(self.worked)
        return outcome_of(kind, row, self.policy, troubles=troubles, worked=worked, **more)

    def wrote(self, row: TokenRow, done: object) -> str | None:
        """Note how a write went; gives the error where it failed."""
        if not isinstance(done, Failure):
            self.worked.add(Part.TABLE)
            return None
        error = row.token.scrub(done.error)
        if not done.refused:
            self.troubles.append(Trouble.refused(Part.TABLE, error, done.refusal))
        return error


def outcome_of(kind: Kind, row: TokenRow, policy: Policy, **more: Any) -> Outcome:
    """Give how a poll of a row ended."""
    most = policy.most_attempts(row)
    return Outcome(kind, row.job_id, row.execution_id, attempt=row.attempt_count, max_attempts=most, **more)
