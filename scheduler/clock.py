"""The clock, read in one place."""

import time

from scheduler.core.instant import Instant

_BOOT: int | None = getattr(time, "CLOCK_BOOTTIME", None)  # of Linux


def now() -> Instant:
    """Give the present instant, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def boot() -> float:
    """Give the seconds of a clock that nobody sets and that runs on while the machine sleeps, where there is one."""
    return time.clock_gettime(_BOOT) if _BOOT is not None else time.monotonic()
