"""Waiting for what happens elsewhere: in the server's loop, in a test's loop or in a test's thread."""

import asyncio
import time
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

PATIENCE_SECONDS = 20.0
"""How long a test waits for what must happen: never reached in a test that passes."""


class Gate:
    """Opens once, from any thread; whoever waits, in any loop or thread, goes on."""

    def __init__(self) -> None:
        self._future: Future[None] = Future()

    def open(self) -> None:
        """Let everybody through; doing it again changes nothing."""
        with suppress(InvalidStateError):
            self._future.set_result(None)

    async def passed(self, seconds: float | None) -> bool:
        """Wait for the gate to open, and tell whether it did in time; None waits for ever."""
        done, _ = await asyncio.wait([asyncio.wrap_future(self._future)], timeout=seconds)
        return bool(done)

    def passed_in_thread(self, seconds: float) -> bool:
        """Do the same where no loop runs."""
        try:
            self._future.result(seconds)
        except TimeoutError:
            return False
        return True


class Tally:
    """Counts what happens, and lets others wait for the n-th time."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.count = 0
        self._gates: dict[int, Gate] = {}

    def hit(self) -> None:
        """Count one more."""
        self.count += 1
        self._gate(self.count).open()

    async def reached(self, count: int = 1, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until it has happened so often. Raises TimeoutError."""
        if not await self._gate(count).passed(seconds):
            raise TimeoutError(self._missed(count))

    def wait(self, count: int = 1, seconds: float = PATIENCE_SECONDS) -> None:
        """Do the same in a thread without a loop."""
        if not self._gate(count).passed_in_thread(seconds):
            raise TimeoutError(self._missed(count))

    def _gate(self, count: int) -> Gate:
        gate = self._gates.setdefault(count, Gate())
        if self.count >= count:
            gate.open()
        return gate

    def _missed(self, count: int) -> str:
        return f"{self.what}: happened {self.count} times, and not {count} times"


class Clock:
    """The server's clock, in epoch seconds: it runs, or stands until it is advanced; advancing wakes whoever sleeps."""

    def __init__(self, start: float | None = None, *, running: bool = True) -> None:
        self._running = running
        self._base = time.time() if start is None else start
        self._started = time.monotonic()
        self._changed = Gate()

    def now(self) -> float:
        """Give the time."""
        return self._base + (time.monotonic() - self._started if self._running else 0.0)

    def advance(self, seconds: float) -> None:
        """Move on; callable from any thread."""
        self._base += seconds
        changed, self._changed = self._changed, Gate()
        changed.open()

    async def until(self, moment: float) -> None:
        """Sleep until a moment of this clock."""
        while True:
            changed = self._changed
            left = moment - self.now()
            if left <= 0:
                return
            await changed.passed(left if self._running else None)
