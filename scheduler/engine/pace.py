"""The pace of a lane: as fast as it goes, until its source refuses; then additive increase, multiplicative decrease."""

from collections import deque
from dataclasses import dataclass, field

SLOWEST = 1.0
"""Polls a second, however often the source refuses: one each second finds out whether it still does."""
CUT = 0.5
"""What is left of the rate after a refusal."""
GROWTH = 1.0
"""By how many polls a second the rate grows with each second in which the source takes what it is asked."""
FORGET_SECONDS = 60.0
"""After so long without a refusal the lane goes as fast as it can again."""
_MEASURED_SECONDS = 1.0


@dataclass(slots=True)
class Pace:
    """Decides when the next poll of a lane may start. All times are of one monotonic clock, in seconds."""

    rate: float | None = None
    """Polls a second; None where nothing has been refused lately."""
    _free_at: float = 0.0
    _cut_at: float = float("-inf")
    _refused_at: float = float("-inf")
    _starts: deque[float] = field(default_factory=deque)

    def delay(self, now: float) -> float:
        """Give the seconds until the next poll may start."""
        if self.rate is not None and now - self._refused_at >= FORGET_SECONDS:
            self.rate = None
        return 0.0 if self.rate is None else max(0.0, self._free_at - now)

    def started(self, now: float, polls: int = 1) -> None:
        """Note that so many polls start now."""
        self._starts.extend([now] * polls)
        while self._starts and self._starts[0] <= now - _MEASURED_SECONDS:
            self._starts.popleft()
        if self.rate is not None:
            self._free_at = max(self._free_at, now) + polls / self.rate

    def took(self) -> None:
        """Note that the source took what it was asked."""
        if self.rate is not None:
            self.rate += GROWTH / self.rate

    def refused(self, started: float, now: float) -> None:
        """Note that the source refused a poll which had started then.

        The refusals of polls that were under way when the rate was cut last tell nothing new.
        """
        self._refused_at = now
        if started <= self._cut_at:
            return
        measured = float(len(self._starts)) if self.rate is None else self.rate
        self.rate = max(SLOWEST, measured * CUT)
        self._cut_at = now
        self._free_at = now + 1 / self.rate
