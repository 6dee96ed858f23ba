"""Patience: what the cloud refuses for the time being is asked again, at ever longer intervals."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from scheduler.core.service_calls import REFUSED_CODES, Refusal, call_error
from scheduler.errors import CloudError

LONGEST_SECONDS = 60.0
"""Longest that anything but throttling is borne; throttling says by itself that it will pass."""
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 20.0
_TELL_EVERY_SECONDS = 30.0

Result = TypeVar("Result")


class Patience:
    """Makes calls that may be made again, until they are served."""

    def __init__(
        self,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take who is told of trouble, now and then, and a monotonic clock in seconds with its sleep."""
        self._tell = tell
        self._clock = clock
        self._sleep = sleep
        self._told_at: float | None = None

    async def served(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Make a call until it is served. Raises CloudError where it never will be, or was not for a minute."""
        began = self._clock()
        wait = _FIRST_WAIT_SECONDS
        while True:
            try:
                return await call()
            except CloudError as error:
                throttled = error.refusal is Refusal.THROTTLED
                if not throttled and (not _may_pass(error) or self._clock() - began >= LONGEST_SECONDS):
                    raise
                self._tell_of(error)
            # Half of it at random: several that were refused together do not come back together.
            await self._sleep(wait * (0.5 + random.random() / 2))
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    def _tell_of(self, error: CloudError) -> None:
        now = self._clock()
        if self._told_at is None or now - self._told_at >= _TELL_EVERY_SECONDS:
            self._told_at = now
            self._tell(f"{error}; trying again")


def _may_pass(error: CloudError) -> bool:
    if error.refusal is None and error.__cause__ is not None:
        lost = call_error(error.__cause__)
        return not lost.answered and lost.code not in REFUSED_CODES
    return error.refusal in {Refusal.UNREACHABLE, Refusal.UNAVAILABLE}
