"""The engine over the clouds in memory, put together as `scheduler.assembly` puts it together."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from scheduler.aws.due_finder import DueFinder
from scheduler.aws.token_table import Due
from scheduler.core.check_replies import Report
from scheduler.core.home import Home
from scheduler.core.instant import Instant
from scheduler.core.timing import Policy
from scheduler.engine.attention import Attention
from scheduler.engine.desk import Desk
from scheduler.engine.direct_polling import DirectPoller
from scheduler.engine.dispatch import Dispatch
from scheduler.engine.lanes import Lane
from scheduler.engine.poller import Poller, Rows
from scheduler.engine.report import TickReport
from scheduler.engine.tick import LONGEST_SECONDS, Finder, Ticker
from scheduler.sources import Source
from scheduler.sources.unasked import UnaskedSource
from scheduler.web.health import Health
from tests.fakes import FakeSource, FakeStepFunctions, FakeTokenTable, fixed_policy, row_item

Clock = Callable[[], float]


class Remembering(Attention):
    """Attention that keeps the figures of `all` polls, too."""

    def __init__(self, health: Health) -> None:
        super().__init__(health)
        self.all = TickReport()

    def take(self) -> TickReport:
        """Give the report and begin another."""
        report = super().take()
        self.all.add(report)
        return report


class Engine:
    """A ticker and all that it needs; `answers` is Step Functions, and `source` is asked for every job."""

    def __init__(  # noqa: PLR0913  each part of the product's assembly may be another one in a test
        self,
        rows: Rows,
        finder: Finder,
        answers: FakeStepFunctions,
        source: Source,
        now: Callable[[], Instant],
        *,
        slots: int = 8,
        policy: Policy | None = None,
        check_timeout: float = 10,
        longest: float = LONGEST_SECONDS,
        clock: Clock = time.monotonic,
        poller: Poller | None = None,
    ) -> None:
        self.answers = answers
        self.health = Health(clock)
        self.attention = Remembering(self.health)
        policy = policy or fixed_policy()

        def polling(source: Source) -> DirectPoller:
            return DirectPoller(rows, answers, source, policy, check_timeout, now)

        self.lane = Lane("jobs", poller or polling(source), slots, self.attention, clock)
        self.desk = None if poller else Desk("desk", polling(UnaskedSource()), slots, self.attention, clock)
        self.dispatch = Dispatch(self.lane, self.desk, Home("us-east-1"), policy.interval_seconds, clock)
        self.ticker = Ticker(finder, self.dispatch, self.attention, now, longest)


class JobsInMemory:
    """Jobs that are due, each with its task and a line of the source's script, and an engine that polls them.

    Rows are found as `due` says: those of a foreign creator are found by a scan, those of our own by the index too.
    """

    def __init__(
        self,
        jobs: Mapping[str, Report | Exception],
        now: Instant | Callable[[], Instant],
        due: Due = "scan",
        **parts: Any,
    ) -> None:
        self.table: FakeTokenTable = parts.pop("table", None) or FakeTokenTable()
        self.answers = FakeStepFunctions()
        self.source: FakeSource = parts.pop("source", None) or FakeSource({job: [line] for job, line in jobs.items()})
        for job_id in jobs:
            self.add(job_id)
        clock = parts.get("clock", time.monotonic)
        self.finder: DueFinder = self.table.finder(due, clock)
        given: Any = {
            "finder": self.finder,
            "source": self.source,
            "now": now if callable(now) else lambda: now,
        } | parts
        self.engine = Engine(self.table, answers=self.answers, **given)
        self.finder.passes_by = self.engine.dispatch.passes_by

    def add(self, job_id: str, **changes: Any) -> None:
        """Add a row that is due, and a task that waits for its job."""
        self.table.put(row_item(job_id, **changes))
        self.answers.wait(f"AQ-{job_id}")

    async def tick(self) -> dict[str, Any]:
        """Run one tick and wait for its polls; gives its figures without the time that it took."""
        report = (await self.engine.ticker.run_alone("tick-1")).shown()
        assert report.pop("duration_ms") >= 0
        return report

    def reported(self) -> TickReport:
        """Give the figures of all polls so far."""
        self.engine.attention.take()
        return self.engine.attention.all

    def status(self, job_id: str) -> str:
        """Give what a row says."""
        status: str = self.table.items[job_id]["status"]["S"]
        return status

    def statuses(self) -> str:
        """Give the first letter of what each row says, in the order of their ids."""
        return "".join(self.status(job_id)[0] for job_id in sorted(self.table.items))
