"""Failpoints: dying at a chosen point of a poll, to prove that nothing is lost. For tests; unset, it costs nothing.

CALLBACK_SCHEDULER_FAILPOINT names an effect and a side of it, such as `after-send` or `before-mark`: the process that
gets there kills itself, as a machine that loses its power would. It works in the daemon and in the poller Lambda.
"""

import os
import signal
from typing import Any

from scheduler.core.outcome import Outcome
from scheduler.core.poll_turn import Poll

VARIABLE = "CALLBACK_SCHEDULER_FAILPOINT"


def with_failpoint(polling: Poll) -> Poll:
    """Give the poll as it is, or one that dies where the environment says."""
    point = os.environ.get(VARIABLE)
    return _dying(polling, point) if point else polling


def _dying(polling: Poll, point: str) -> Poll:
    result: Any = None
    try:
        while True:
            effect = polling.send(result)
            name = type(effect).__name__.lower()
            reach(f"before-{name}", point)
            result = yield effect
            reach(f"after-{name}", point)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome


def reach(here: str, point: str | None = None) -> None:
    """Die here where the environment, or `point`, says so."""
    if here == (point or os.environ.get(VARIABLE)):
        os.kill(os.getpid(), signal.SIGKILL)
