"""Kept values: fetched once for all who need them at the same time, and again when their time is over."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """A value with a time, such as a token. A fetch that failed is not kept: whoever asks next fetches again."""

    def __init__(
        self, fetch: Callable[[], Awaitable[tuple[T, float]]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take what fetches the value and says for how many seconds it is to be kept."""
        self._fetch = fetch
        self._clock = clock
        self._held: tuple[T, float, float] | None = None  # with when it was fetched, and until when it is kept
        self._fetching: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Give the value; what its fetch raises is raised to all who waited for it."""
        if self._held and self._clock() < self._held[2]:
            return self._held[0]
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetched())
            self._fetching.add_done_callback(self._done)
        # Whoever gives up waiting gives up for itself alone.
        return await asyncio.shield(self._fetching)

    def forget(self, sent_at: float) -> None:
        """Fetch anew unless that was done since: of many who were refused at once, one makes the difference."""
        if self._held and self._held[1] <= sent_at:
            self._held = None

    async def _fetched(self) -> T:
        value, seconds = await self._fetch()
        now = self._clock()
        self._held = (value, now, now + seconds)
        return value

    def _done(self, fetching: "asyncio.Task[T]") -> None:
        self._fetching = None
        if not fetching.cancelled():
            fetching.exception()  # whoever asked may have gone
