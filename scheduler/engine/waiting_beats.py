"""Heartbeats of tasks whose jobs wait in the table for a lane that takes nothing: one in each interval."""

from collections.abc import Callable

from scheduler.core.instant import Instant
from scheduler.core.token_row import TokenRow

_MOST = 100_000


class WaitingBeats:
    """Remembers when a task got its last heartbeat."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take a monotonic clock, in seconds."""
        self._clock = clock
        self._sent: dict[str, float] = {}

    def due(self, row: TokenRow, now: Instant, interval: float, *, stopped: bool) -> bool:
        """Tell whether a row that its lane does not take has waited so long that its task needs a heartbeat.

        Where the lane is `stopped`, it needs one at once; else after half of its interval.
        """
        late = stopped or row.next_poll_at is None or now - row.next_poll_at > interval * 500
        return late and self._clock() >= self._sent.get(row.job_id, float("-inf")) + interval

    def sent(self, row: TokenRow) -> None:
        """Note that a heartbeat is being sent."""
        self._sent.pop(row.job_id, None)
        self._sent[row.job_id] = self._clock()
        if len(self._sent) > _MOST:
            del self._sent[next(iter(self._sent))]
