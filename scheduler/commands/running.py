"""Running what a command does in an event loop, so that Ctrl-C and SIGTERM end it well at every moment."""

import asyncio
import signal
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import typer

from scheduler.commands.signals import SIGNALS, end_at_once_on_signals, exit_code

Result = TypeVar("Result")


def run_to_end(work: Coroutine[Any, Any, Result], *, patient: bool = False) -> Result:
    """Run a command's work and give its result.

    The first signal cancels the work, so that it closes what it has opened, and the command ends with 130 or 143. A
    second one ends the process at once; where it is `patient` it does not, for then there are processes to be ended.
    Work that sets handlers of its own in the loop keeps those.
    """
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(_Abandoned())
        return runner.run(_interruptible(work, patient=patient))


class _Abandoned(ThreadPoolExecutor):
    """Threads that nobody waits for: what they look up, a name's address, cannot be broken off."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001  as it is called
        """Wait for no thread."""
        del wait
        super().shutdown(wait=False, cancel_futures=cancel_futures)


async def _interruptible(work: Coroutine[Any, Any, Result], *, patient: bool) -> Result:
    loop = asyncio.get_running_loop()
    working = asyncio.current_task()
    received: list[int] = []

    def interrupt(number: int) -> None:
        received.append(number)
        if working:
            working.cancel()
        if not patient:
            stop_listening()

    def stop_listening() -> None:
        for each in SIGNALS:
            loop.remove_signal_handler(each)
        end_at_once_on_signals()  # a loop that lets go of SIGINT puts back Python's own handler

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, interrupt, number)
    try:
        return await work
    finally:
        stop_listening()
        if received:
            # Whatever else came of it, and of closing what was open, is of no interest to anybody.
            raise typer.Exit(exit_code(received[0])) from None
