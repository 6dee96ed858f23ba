"""Answers that Step Functions took and whose rows could not be marked: whoever gave one need not give it again."""

from dataclasses import dataclass, field

from scheduler.core.answers import Answer
from scheduler.core.token_row import TokenRow

MOST_KNOWN = 10_000
"""So many are remembered; beyond that the oldest is forgotten, and its task is told once more, which does no harm."""


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An answer that was taken, and the attempts that it was given after."""

    answer: Answer
    attempts: int


@dataclass(slots=True)
class GivenAnswers:
    """What is known of answers without a mark; shared by all polls of a process."""

    _known: dict[tuple[str, str], GivenAnswer] = field(default_factory=dict)

    def note(self, row: TokenRow, answer: Answer) -> None:
        """Note that a row's task has its answer, and the row no mark yet."""
        self._known.setdefault(_key(row), GivenAnswer(answer, row.attempt_count))
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]

    def marked(self, row: TokenRow) -> None:
        """Forget a row that has its mark."""
        if self._known:
            self._known.pop(_key(row), None)

    def to(self, row: TokenRow) -> GivenAnswer | None:
        """Give the answer that the row's task has; None where nothing is known of one."""
        return self._known.get(_key(row)) if self._known else None


def _key(row: TokenRow) -> tuple[str, str]:
    # The same job may wait again with a newer token, whose task has no answer yet.
    return row.job_id, row.token.fingerprint()
