"""An engine over clouds in memory, of the same parts that `scheduler.assembly` puts together over real ones."""

from collections.abc import Callable
from typing import Any

from scheduler.aws.due_finder import DueFinder
from scheduler.core.home import Home
from scheduler.core.instant import Instant
from scheduler.engine.attention import Attention
from scheduler.engine.dispatch import Dispatch
from scheduler.engine.lanes import Lane
from scheduler.engine.poller import Poller
from scheduler.engine.report import TickReport
from scheduler.engine.sweep import sweep_once
from scheduler.engine.tick import LONGEST_SECONDS, Ticker
from scheduler.web.health import Health


class Engine:
    """Finds with `finder` and polls with `poller`, in one lane; `desk` polls what needs no source."""

    def __init__(  # noqa: PLR0913  it takes what a test may want to be otherwise
        self,
        finder: DueFinder,
        poller: Poller,
        clock: Callable[[], Instant],
        slots: int = 64,
        *,
        desk: Poller | None = None,
        home: Home | None = None,
        longest: float = LONGEST_SECONDS,
    ) -> None:
        self.health = Health()
        self.finder = finder
        self.attention = Attention(self.health)
        self.lane = Lane("source", poller, slots, self.attention)
        self.desk = Lane("desk", desk, slots, self.attention) if desk else None
        self.dispatch = Dispatch(self.lane, self.desk, home or Home(), beat_seconds=60)
        self.ticker = Ticker(finder, self.dispatch, self.attention, clock, longest)
        self._clock = clock

    async def tick(self) -> TickReport:
        """Sweep the table, run one tick and wait for its polls, as the command `tick` does."""
        self.attention.table_trouble = None
        await sweep_once(self.finder, self._clock())
        return await self.ticker.run_alone("tick")

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Tell what `/readyz` says."""
        return self.health.readiness()
