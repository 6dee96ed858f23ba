"""The clock, read in one place."""

import time

from scheduler.core.instant import Instant


def now() -> Instant:
    """Give the present instant, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
