"""A daemon over the clouds in memory as a process of its own, whose one poll hangs: for what only signals can show.

python -m tests.unit.daemon_process 30     # with a drain of 30 s
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from scheduler import clock, daemon, log
from scheduler.assembly import Parts
from scheduler.core.check_replies import Completed
from scheduler.core.home import Home
from scheduler.settings import Settings
from scheduler.sources.file import Sources
from scheduler.web.health import Health
from tests.engines import JobsInMemory


@asynccontextmanager
async def in_memory(settings: Settings, _: Sources, health: Health, *, hold: bool) -> AsyncIterator[Parts]:
    """Give the parts of a daemon that needs no cloud."""
    del health, hold
    jobs = JobsInMemory({"job-1": Completed({})}, clock.now, slots=settings.concurrency)
    jobs.source.hold()
    engine = jobs.engine
    anything: Any = _Anything()
    rows = jobs.table.real("scan")
    yield Parts(
        anything,
        anything,
        Home(),
        rows,
        jobs.finder,
        engine.lane.poller,
        engine.dispatch,
        engine.attention,
        engine.ticker,
    )


class _Anything:
    """Stands in for what this daemon has no use for."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def main() -> None:
    """Run until a signal ends it."""
    log.configure("debug", "json", sys.stdout)
    daemon.assembled = in_memory  # type: ignore[assignment, attr-defined]
    settings = Settings.load(drain_seconds=float(sys.argv[1]), interval_seconds=0.2, http_port=0)
    asyncio.run(daemon.run_daemon(settings, Sources()))


if __name__ == "__main__":
    main()
