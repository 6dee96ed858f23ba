"""Held rows where daemons come and go: kills, drains, and two replicas at one table."""

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.figure import Figure
from benchmarks.world import World, until


def kill(dynamodb_url: str, rows: int = 1_000) -> Iterator[Figure]:
    """Measure how long after a kill -9 of the replica that holds all rows the last of them is polled again."""
    settings: Any = {"SCHEDULER_INTERVAL_SECONDS": "5"}
    with World.behind(dynamodb_url) as world:
        table = world.table("kill")
        world.fill(table, rows, 5)
        with world.daemon(table, **settings) as first:
            until(lambda: world.stats(5)["jobs"] == rows)
            with world.daemon(table, **settings) as second:
                until(lambda: bool(second.events("tick.finished")))
                first.process.kill()
                world.reset()
                killed = world.stats(5)["now"]
                until(lambda: world.stats(5)["jobs"] == rows, seconds=120)
                last = world.stats(5)["lastFirst"] - killed
    note = f"{rows:,} rows of 5 s; the other replica had just started"
    yield Figure("kill -9 of a replica: until the last of its rows is polled", last, 45, "s", note=note)


def drain(dynamodb_url: str, rows: int = 10_000) -> Iterator[Figure]:
    """Measure how long SIGTERM takes with many held rows, and look whether all are free."""
    with World.behind(dynamodb_url) as world:
        table = world.table("drain")
        world.fill(table, rows, 600)
        with world.daemon(table, SCHEDULER_HTTP_PORT="0") as daemon:
            until(lambda: world.stats(600)["jobs"] == rows, seconds=300)
            started = time.monotonic()
            daemon.stop()
            seconds = time.monotonic() - started
        left = world.held(table)
    note = f"{rows:,} held rows, {left} not given free; the drain's own time is 20 s"
    yield Figure("SIGTERM with 10,000 held rows: until the process is gone", seconds, 22, "s", note=note)
    yield Figure("SIGTERM with 10,000 held rows: rows not free", left, 0, "rows", note=note)


def twice(dynamodb_url: str, rows: int = 300, seconds: float = 20.0) -> Iterator[Figure]:
    """Count checks made twice where two replicas start at once, share the rows, and one of them leaves."""
    settings: Any = {"SCHEDULER_INTERVAL_SECONDS": "1"}
    with World.behind(dynamodb_url) as world:
        table = world.table("twice")
        world.fill(table, rows, 2)
        with (
            world.daemon(table, AWS_ACCESS_KEY_ID="staying", **settings),
            world.daemon(table, AWS_ACCESS_KEY_ID="leaving", **settings) as leaving,
        ):
            until(lambda: world.stats(2)["jobs"] == rows)
            time.sleep(seconds)
            leaving.stop()
            time.sleep(seconds)
        seen = world.stats(2)
    note = f"{rows} jobs of 2 s, {seen['checks']:,} checks; both start at once, one leaves half way"
    yield Figure("two replicas: checks made twice", 100 * seen["twice"] / seen["checks"], 1, "%", note=note)
