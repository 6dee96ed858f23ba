"""Spells: what goes on is told of once, and again only after it was over for a while."""

from collections.abc import Callable

_OVER_SECONDS = 600.0
"""What was not seen for so long was over: twice as long as rows are left alone before they are looked at again."""
_MOST = 1_000


class Spells:
    """Remembers when things were seen last, each by a text that names it; of too many the oldest are forgotten."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take a monotonic clock, in seconds."""
        self._clock = clock
        self._seen: dict[str, float] = {}

    def begins(self, what: str) -> bool:
        """Note that something is seen; tells whether a spell of it begins with that."""
        now = self._clock()
        last = self._seen.pop(what, float("-inf"))
        self._seen[what] = now
        if len(self._seen) > _MOST:
            del self._seen[next(iter(self._seen))]
        return now - last > _OVER_SECONDS
