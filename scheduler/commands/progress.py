"""How waiting for executions goes, told to people."""

import time
from collections.abc import Awaitable, Callable, Iterable

from scheduler.aws.workflows import Execution
from scheduler.errors import CloudError

_FIRST_SECONDS, _LONGEST_SECONDS = 10.0, 60.0
"""When it is told first, and the longest time between two lines: each waits twice as long as the one before."""
ROW_SECONDS = 10.0
"""A token row is there within a second or two of its execution's start, where a function need not start cold."""


class Progress:
    """Tells now and then how many executions have ended, and once which of them have no token row yet."""

    def __init__(
        self,
        arns: Iterable[str],
        rows: Callable[[], Awaitable[frozenset[str] | None]],
        create_job: str,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the executions, how to look up which have a row, the function that makes these, and whom to tell."""
        self._running = dict.fromkeys(arns)
        self._count = len(self._running)
        self._rows = rows
        self._create_job = create_job
        self._tell = tell
        self._clock = clock
        self._began = clock()
        self._looked_up = False
        self._wait = _FIRST_SECONDS
        self._tell_at = self._began + _FIRST_SECONDS

    @property
    def left(self) -> int:
        """How many have not ended, as far as is known."""
        return len(self._running)

    async def looked(self, execution: Execution) -> None:
        """Note how an execution stands, and tell what is to be told by now."""
        if execution.ended:
            self._running.pop(execution.arn, None)
        now = self._clock()
        if not self._running:
            return
        if not self._looked_up and now - self._began >= ROW_SECONDS:
            self._looked_up = True
            await self._tell_of_missing_rows()
        if now >= self._tell_at:
            self._wait = min(2 * self._wait, _LONGEST_SECONDS)
            self._tell_at = now + self._wait
            ended = self._count - self.left
            self._tell(f"{ended} of {self._count} executions have ended after {now - self._began:.0f} s")

    async def _tell_of_missing_rows(self) -> None:
        try:
            known = await self._rows()
        except CloudError:
            return  # whoever starts executions need not have the right to read the table
        lacking = [arn for arn in self._running if known is not None and arn not in known]
        if lacking:
            some = (
                f"{lacking[0]} has" if len(lacking) == 1 else f"{len(lacking)} executions, such as {lacking[0]}, have"
            )
            after = f"no token row after {ROW_SECONDS:g} s"
            self._tell(f"{some} {after}: {self._create_job} has probably failed, and its log says why")
