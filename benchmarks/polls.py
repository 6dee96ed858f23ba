"""What a poll costs, and how late it comes: daemons beside each other, each with jobs of its own.

CPU is that of the daemon's process, as the kernel counts it, and never the time on the wall.
"""

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.stub import HANGS
from benchmarks.world import ROOT, Daemon, World, until

_FINDING = {"Query", "Scan", "BatchGetItem", "DescribeTable", "GetItem"}
_IN_BATCHES = {"SCHEDULER_SOURCE_BATCH_SIZE": "25"}
_EVERY_SECOND = {"SCHEDULER_INTERVAL_SECONDS": "1"}
_POLLS = 330
_ROUND_SECONDS = 27.0
"""A hold of jobs of 1 s is renewed about so often: each window has its share of renewals."""
_CALLS_SECONDS = 84.0
"""The same of jobs of 3 s."""
_SETTLE_SECONDS = 3.0
_HALF_LOAD = 320
"""Jobs of 1 s whose checks take 0.1 s: on average they take 32 of a lane's 64 slots."""
_NEIGHBOURS, _CROWD = 100, 10_000


def cpu(dynamodb_url: str, before: Path, rounds: int) -> Iterator[Figure]:
    """Measure the CPU for each poll at 330 polls a second: one by one, in batches, and in the version before."""
    kinds = {"one": (ROOT, {}), "batch": (ROOT, _IN_BATCHES), "before": (before, {})}
    used: dict[str, list[float]] = {kind: [] for kind in kinds}
    with World.behind(dynamodb_url) as world, ExitStack() as stack:
        daemons: dict[str, Daemon] = {}
        for kind, (tree, settings) in kinds.items():
            table = world.table("cpu")
            world.fill(table, _POLLS, 1, prefix=kind)
            daemons[kind] = stack.enter_context(world.daemon(table, tree=tree, **_EVERY_SECOND, **settings))
        until(lambda: all(world.stats(1, kind)["jobs"] == _POLLS for kind in kinds))
        time.sleep(_SETTLE_SECONDS)
        for _ in range(rounds):
            world.reset()
            started = {kind: daemon.cpu() for kind, daemon in daemons.items()}
            time.sleep(_ROUND_SECONDS)
            for kind, daemon in daemons.items():
                seconds = daemon.cpu() - started[kind]
                used[kind].append(1000 * seconds / world.stats(1, kind)["checks"])
    medians = {kind: statistics.median(values) for kind, values in used.items()}
    note = f"{_POLLS} jobs of 1 s, ticks and renewals included; median of {rounds}, three daemons beside each other"
    yield Figure("CPU for each poll, one by one", medians["one"], 0.60, "ms", medians["before"], note=note)
    yield Figure("CPU for each poll, in batches of 25", medians["batch"], 0.25, "ms", note=note)


def calls(dynamodb_url: str, before: Path) -> Iterator[Figure]:
    """Count AWS calls for each poll of jobs in progress at 3 s; finding is not counted."""
    kinds = {"one": (ROOT, {}), "batch": (ROOT, _IN_BATCHES), "before": (before, {})}
    settings = {"SCHEDULER_INTERVAL_SECONDS": "3"}
    found: dict[str, float] = {}
    with ExitStack() as stack:
        worlds: dict[str, World] = {}
        for kind, (tree, more) in kinds.items():
            world = worlds[kind] = stack.enter_context(World.behind(dynamodb_url))
            table = world.table("calls")
            world.fill(table, 3 * _POLLS, 3)
            stack.enter_context(world.daemon(table, tree=tree, **settings, **more))
        until(lambda: all(world.stats(3)["jobs"] == 3 * _POLLS for world in worlds.values()))
        time.sleep(_SETTLE_SECONDS)
        for world in worlds.values():
            world.reset()
        time.sleep(_CALLS_SECONDS)
        for kind, world in worlds.items():
            seen = world.stats(3)
            found[kind] = sum(n for name, n in seen["calls"].items() if name not in _FINDING) / seen["checks"]
    note = f"{3 * _POLLS} jobs of 3 s over {_CALLS_SECONDS:g} s, beats included"
    yield Figure("AWS calls for each poll, one by one", found["one"], 1.08, "", found["before"], note=note)
    yield Figure("AWS calls for each poll, in batches of 25", found["batch"], 0.12, "", note=note)


def neighbours(dynamodb_url: str, seconds: float) -> Iterator[Figure]:
    """Measure how late polls of 1 s come while another source, with many more jobs, hangs on every check."""
    named = {"SCHEDULER_SOURCES": json.dumps({HANGS: {"lambda": {"function": HANGS}}})}
    with World.behind(dynamodb_url) as world:
        table = world.table("neighbours")
        world.fill(table, _CROWD, 1, prefix=HANGS)
        world.fill(table, _NEIGHBOURS, 1)
        with world.daemon(table, tree=ROOT, **_EVERY_SECOND, **named):
            until(lambda: world.stats(1)["jobs"] == _NEIGHBOURS)
            time.sleep(_SETTLE_SECONDS)
            world.reset()
            time.sleep(seconds)
            late = world.stats(1)["lateP99"]
    note = f"{_NEIGHBOURS} jobs of 1 s, beside {_CROWD} of a source that never answers, {seconds:g} s"
    yield Figure("lateness p99 of 1 s jobs while another source hangs", late, 0.2, "s", note=note)


def lateness(dynamodb_url: str, before: Path, seconds: float) -> Iterator[Figure]:
    """Measure how late polls of 1 s come where half of a lane's slots are taken: 320 checks a second of 0.1 s."""
    late = []
    for tree in (ROOT, before):
        with World.behind(dynamodb_url) as world:
            table = world.table("late")
            world.fill(table, _HALF_LOAD, 1)
            world.reset(delay=0.1)
            with world.daemon(table, tree=tree, **_EVERY_SECOND):
                until(lambda world=world: world.stats(1)["jobs"] == _HALF_LOAD)  # type: ignore[misc]
                time.sleep(_SETTLE_SECONDS)
                world.reset(delay=0.1)
                time.sleep(seconds)
                late.append(world.stats(1)["lateP99"])
    note = f"{_HALF_LOAD} jobs of 1 s, checks of 0.1 s, 64 slots, {seconds:g} s; against each job's most punctual check"
    yield Figure("lateness p99 of held jobs at half load", late[0], 0.1, "s", late[1], note=note)
