"""Work: what takes a slot of a lane, and who hears of what becomes of it."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scheduler.core.outcome import Outcome
from scheduler.engine.turns import Turn

if TYPE_CHECKING:
    from scheduler.engine.lanes import Lane


@dataclass(frozen=True, slots=True)
class Work:
    """What takes a slot: one poll, or one invocation for several jobs."""

    job_ids: tuple[str, ...]
    poll: Callable[[], Coroutine[Any, Any, list[Outcome]]]
    turn: Turn
    dropped: Callable[[], None] = lambda: None
    """Told where the lane leaves it, and it will not be polled."""


class Listener:
    """Who hears of what goes on in lanes."""

    def ended(self, lane: "Lane", work: Work, outcomes: list[Outcome] | Exception, seconds: float) -> None:
        """Hear how a piece of work ended, or what a fault of ours raised, and how long it took."""

    def freed(self, lane: "Lane") -> None:
        """Hear that a lane that had refused something has room again."""

    def changed(self, lane: "Lane") -> None:
        """Hear that a lane has stopped, slowed down or recovered."""
