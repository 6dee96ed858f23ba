"""Clock skew: how far this machine's clock is from that of the services, by the `Date` of their replies."""

import statistics
from collections import deque
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

from scheduler.core.instant import Instant

TELLING_SECONDS = 30.0
"""Skew below this is not worth a word: `Date` has whole seconds, and a reply may be seconds old when it is read."""
_REMEMBERED, _LEAST = 15, 3
_HALF_A_SECOND = 0.5  # of which `Date` leaves out what is less than one


class ClockSkew:
    """Remembers the last replies' times; their median, so that one slow or odd reply says nothing."""

    def __init__(self, clock: Callable[[], Instant]) -> None:
        self._clock = clock
        self._seen: deque[float] = deque(maxlen=_REMEMBERED)

    def hear(self, parsed: Any, **_: Any) -> None:
        """Take the time of a reply, as the SDK's event `after-call` hands it on."""
        date = parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date") if parsed else None
        if date is None:
            return
        try:
            theirs = parsedate_to_datetime(date).timestamp() + _HALF_A_SECOND
        except (TypeError, ValueError, OverflowError):
            return
        self._seen.append(self._clock() / 1000 - theirs)

    def seconds(self) -> float | None:
        """Give the skew, positive where this machine's clock is fast; None where it is not worth a word."""
        if len(self._seen) < _LEAST:
            return None
        skew = statistics.median(self._seen)
        return skew if abs(skew) > TELLING_SECONDS else None
