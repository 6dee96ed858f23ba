"""The pace of a lane: as fast as it may, until its source refuses; then additive increase, multiplicative decrease."""

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
LONGEST_PAUSE_SECONDS = 900.0
"""No source is left alone for longer than a quarter of an hour, whatever it asks for."""
_MEASURED_SECONDS = 1.0


@dataclass(slots=True)
class Pace:
    """Decides when the next poll of a lane may start. All times are of one monotonic clock, in seconds."""

    rate: float | None = None
    """Polls a second; None where nothing has been refused lately."""
    most: float | None = None
    """Polls a second that are never exceeded, however well it goes."""
    _free_at: float = 0.0
    _paused_until: float = float("-inf")
    _cut_at: float = float("-inf")
    _refused_at: float = float("-inf")
    _starts: deque[float] = field(default_factory=deque)

    def delay(self, now: float) -> float:
        """Give the seconds until the next poll may start."""
        if self.rate is not None and now - max(self._refused_at, self._paused_until) >= FORGET_SECONDS:
            self.rate = None
        free_at = self._paused_until if self.bound is None else max(self._free_at, self._paused_until)
        return max(0.0, free_at - now)

    @property
    def bound(self) -> float | None:
        """Polls a second that may start now; None for any number."""
        if self.rate is None or self.most is None:
            return self.most if self.rate is None else self.rate
        return min(self.rate, self.most)

    def within(self, seconds: float, now: float) -> int:
        """Give how many polls can start within so many seconds from now."""
        delay = self.delay(now)
        if delay > seconds:
            return 0
        return max(1, int((self.bound or 0.0) * seconds))

    def paused(self, now: float) -> bool:
        """Tell whether the source wants not to be asked yet."""
        return now < self._paused_until

    def pause(self, now: float, seconds: float) -> bool:
        """Let no poll start for so many seconds; tells whether that is longer than was known."""
        until = now + min(seconds, LONGEST_PAUSE_SECONDS)
        longer = until > max(now, self._paused_until)
        self._paused_until = max(self._paused_until, until)
        return longer

    def started(self, now: float, polls: int = 1) -> None:
        """Note that so many polls start now."""
        self._starts.extend([now] * polls)
        while self._starts and self._starts[0] <= now - _MEASURED_SECONDS:
            self._starts.popleft()
        if (bound := self.bound) is not None:
            self._free_at = max(self._free_at, now) + polls / bound

    def took(self) -> None:
        """Note that the source took what it was asked."""
        if self.rate is not None:
            self.rate += GROWTH / self.rate
            if self.most is not None and self.rate >= self.most:
                self.rate = None

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
        self._free_at = now + 1 / (self.bound or self.rate)
