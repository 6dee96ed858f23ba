"""Time that passes only where nothing else can happen: tests of what waits take no time, and none of them by luck."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

Given = ParamSpec("Given")

_A_LONG_TIME = 86_400.0
"""How long a test may last by its own clock: one that waits for what never comes fails, and does not hang."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while there is anything to do, and then leaps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0.0

    def time(self) -> float:
        """Give the time since the loop was made, in seconds."""
        return self._at

    def _run_once(self) -> None:
        inside: Any = self
        if not inside._ready:
            timers = [timer for timer in inside._scheduled if not timer.cancelled()]
            assert timers, "everything waits, and no timer will end it"
            self._at = max(self._at, min(timer.when() for timer in timers))
            assert self._at < _A_LONG_TIME, "it never ends"
        inside_out: Any = super()
        inside_out._run_once()


def in_virtual_time(test: Callable[Given, Coroutine[Any, Any, None]]) -> Callable[Given, None]:
    """Run a test on a loop whose time is virtual; `now` tells it."""

    @functools.wraps(test)
    def run(*given: Given.args, **named: Given.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(test(*given, **named))

    return run


def now() -> float:
    """Give the time of the loop that runs, in seconds."""
    return asyncio.get_running_loop().time()


async def idle() -> None:
    """Let every task run until it waits for something else than its turn; no time passes."""
    for _ in range(50):
        await asyncio.sleep(0)


async def until(true: Callable[[], Any]) -> None:
    """Let the other tasks take turns until something is true, without any time passing."""
    for _ in range(1_000):
        if true():
            return
        await asyncio.sleep(0)
    message = "it never came true"
    raise AssertionError(message)


async def sleep(seconds: float) -> None:
    """Let time pass, and then everything that is due."""
    await asyncio.sleep(seconds)
    await idle()
