"""Doubt in Step Functions: where it knows none of our tokens, it may be that of another region or account.

InvalidToken closes a row, since an unknown token can never be answered. But an endpoint of another region says it of
every token, and closing those rows would leave every task waiting.
"""

from dataclasses import dataclass

from scheduler.core.instant import Instant

MOST_CLOSED_IN_A_ROW = 10
"""Rows that are closed on InvalidToken with no answer taken between them; from then on answers are kept."""
TRY_EVERY_MS = 10_000
"""How often at most one of the answers that are kept is tried, to learn whether the doubt is over."""


@dataclass(slots=True)
class TokenDoubt:
    """Counts unknown tokens; shared by all polls of a process."""

    in_a_row: int = 0
    _tried_at: Instant | None = None

    @property
    def raised(self) -> bool:
        """Whether unknown tokens close no more rows."""
        return self.in_a_row >= MOST_CLOSED_IN_A_ROW

    def taken(self) -> None:
        """Note that an answer was taken: the endpoint is the right one."""
        self.in_a_row = 0

    def closes(self) -> bool:
        """Note one more unknown token; tells whether it may close its row."""
        if self.raised:
            return False
        self.in_a_row += 1
        return True

    def may_try(self, now: Instant) -> bool:
        """Tell whether an answer may be sent now: always without a doubt, else one of them now and then."""
        if not self.raised:
            return True
        # A clock that was set back must not hold up the next try.
        if self._tried_at is not None and 0 <= now - self._tried_at < TRY_EVERY_MS:
            return False
        self._tried_at = now
        return True
