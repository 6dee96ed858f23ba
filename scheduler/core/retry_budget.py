"""The retry budget: a service that struggles is not hit harder."""

from dataclasses import dataclass

CAPACITY = 100.0
"""Retries that may be made at once, after a time in which all went well."""
EARNED = 0.1
"""What each success earns: while a service fails, at most one call in eleven is a retry."""


@dataclass(slots=True)
class RetryBudget:
    """A token bucket that successes fill and retries empty; shared by all polls of a process, and needs no clock."""

    left: float = CAPACITY

    def earn(self) -> None:
        """Note a success."""
        self.left = min(CAPACITY, self.left + EARNED)

    def take(self) -> bool:
        """Take one retry, where there is one."""
        if self.left < 1:
            return False
        self.left -= 1
        return True
