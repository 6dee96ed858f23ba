"""The sweep: looking through the whole table, little by little, for rows that no query of the index finds."""

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

from scheduler.core.instant import Instant
from scheduler.errors import CloudError
from scheduler.log import logger

ROWS_A_SECOND = 500
"""A table of 20,000 rows is gone through in 40 s. At AWS each second costs about 63 read units where a row has 1 KB."""
PAGE_ROWS = 250
_LEAST_ROUND_SECONDS = 1.0
"""A small table is gone through once a second."""
_LONGEST_REST_SECONDS = 10.0


class Sweepable(Protocol):
    """What can be swept; see `scheduler.aws.due_finder.DueFinder`."""

    async def sweep(self, now: Instant, limit: int) -> tuple[int, bool]:
        """Look through some rows; give how many, and whether the end was reached. Raises CloudError."""
        ...


async def sweep_for_ever(
    finder: Sweepable, clock: Callable[[], Instant], told: Callable[[CloudError | None], None] = lambda _: None
) -> None:
    """Sweep within the budget of reads; a table that refuses is asked again, from where it refused.

    `told` hears of each try: None, or why it was refused.
    """
    refusals = 0
    while True:
        try:
            read, ended = await finder.sweep(clock(), PAGE_ROWS)
        except CloudError as error:
            logger().debug("sweep.refused", error=str(error))
            told(error)
            rest = min(_LONGEST_REST_SECONDS, 2.0**refusals) * random.random()
            refusals = min(refusals + 1, 10)
        else:
            told(None)
            refusals = 0
            rest = max(read / ROWS_A_SECOND, _LEAST_ROUND_SECONDS if ended else 0.0)
        await asyncio.sleep(rest)


async def sweep_once(finder: Sweepable, now: Instant) -> None:
    """Sweep the whole table at once, for a tick that stands alone. Raises CloudError."""
    while not (await finder.sweep(now, PAGE_ROWS))[1]:
        pass
