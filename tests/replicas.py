"""Replicas over the clouds in memory: all that holds rows, put together as `scheduler.assembly` puts it together.

Time is virtual: everything here runs on the loop of `tests.virtual_time`. What a replica does by itself, it does once
`run` has been entered; without it a test makes each step by hand.
"""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from scheduler.aws.due_finder import DueFinder
from scheduler.aws.replica_table import ReplicaTable
from scheduler.aws.token_table import Due, TokenTable
from scheduler.checks.spec import Limits
from scheduler.core.attributes import Attribute, Item
from scheduler.core.check_replies import InProgress, Report
from scheduler.core.instant import Instant, format_iso, parse_iso
from scheduler.core.row_reader import read_found
from scheduler.core.timing import Policy
from scheduler.core.token_row import TokenRow, due_shard
from scheduler.engine.attention import Attention
from scheduler.engine.desk import Desk
from scheduler.engine.direct_polling import DirectPoller
from scheduler.engine.dispatch import Dispatch
from scheduler.engine.held_row import Held, HeldRow
from scheduler.engine.lanes import Lane
from scheduler.engine.memory_polls import Clocks, MemoryPolls
from scheduler.engine.renewals import Renewals
from scheduler.engine.replicas import Holding, Replicas
from scheduler.engine.taking_up import TakingUp
from scheduler.engine.tick import Ticker
from scheduler.sources.unasked import UnaskedSource
from scheduler.web.health import Health
from tests import virtual_time
from tests.fakes import FakeStepFunctions, FakeTokenTable, fixed_policy, row_item

START = parse_iso("2026-01-01T00:00:00Z")
FAR = format_iso(START + 1_000_000_000)
LEASE = 31.0


class TimedSource:
    """A source whose checks take a while and are noted with their time; each job follows its script's last lines."""

    def __init__(self) -> None:
        self.checks: defaultdict[str, list[float]] = defaultdict(list)
        self.scripts: dict[str, list[Report]] = {}
        self.default: Report = InProgress()
        self.seconds = 0.0
        self.by: list[tuple[str, float]] = []
        self._gate = asyncio.Event()
        self._gate.set()

    def hang(self) -> None:
        """Let every check hang until `recover`."""
        self._gate.clear()

    def recover(self) -> None:
        """Let all checks go on."""
        self._gate.set()

    async def probe(self) -> None:
        """Ask whether the source is there: it is."""

    async def check(self, row: TokenRow) -> Report:
        """Note a check, and give the next line of the job's script; the last one stays."""
        self.checks[row.job_id].append(virtual_time.now())
        await asyncio.sleep(self.seconds)
        await self._gate.wait()
        lines = self.scripts.get(row.job_id)
        if not lines:
            return self.default
        return lines.pop(0) if len(lines) > 1 else lines[0]


class Cloud:
    """A token table, Step Functions and a source, which several replicas may share."""

    def __init__(self) -> None:
        self.table = FakeTokenTable()
        self.answers = FakeStepFunctions()
        self.source = TimedSource()
        self.named: defaultdict[str, TimedSource] = defaultdict(TimedSource)
        """The sources that rows may name."""

    def add(self, job_id: str = "job-1", **changes: Attribute | None) -> None:
        """Add a job whose row is due, and a task that waits for it."""
        ours: dict[str, Attribute] = {
            "version": {"N": "0"},
            "nextPollAt": {"N": str(START)},
            "dueShard": {"N": str(due_shard(job_id, 4))},
            "maxAttempts": {"N": "1000"},
            "expiresAt": {"S": FAR},
        }
        self.table.put(row_item(job_id, **(ours | changes)))
        self.answers.wait(f"AQ-{job_id}")

    def add_many(self, count: int, **changes: Attribute | None) -> list[str]:
        """Add jobs; gives their ids."""
        ids = [f"job-{number:04}" for number in range(count)]
        for job_id in ids:
            self.add(job_id, **changes)
        return ids

    def item(self, job_id: str = "job-1") -> Item:
        """Give a row as it is."""
        return self.table.items[job_id]

    def number(self, name: str, job_id: str = "job-1") -> int:
        """Give a number of a row."""
        return int(self.item(job_id)[name]["N"])

    def due_in(self, job_id: str = "job-1") -> float:
        """Give in how many seconds a row is due by the table."""
        return (self.number("nextPollAt", job_id) - START) / 1000 - virtual_time.now()


class Replica:
    """One replica. `asleep` seconds were slept: its clock ran on, and its timers did not."""

    def __init__(  # noqa: PLR0913  a replica has many settings
        self,
        cloud: Cloud,
        name: str = "one",
        *,
        interval: float = 10,
        hold: float = 3_600,
        slots: int = 8,
        most: int = 1_000,
        policy: Policy | None = None,
        first_fire: Callable[[Instant], Instant] | None = None,
        named: Mapping[str, Limits] | None = None,
    ) -> None:
        self.cloud = cloud
        self.asleep = 0.0
        self.indexed = True
        numbers = itertools.count(1)
        self.policy = replace(
            policy or fixed_policy(interval, LEASE, hold=hold), new_claim_id=lambda: f"{name}-{next(numbers)}"
        )
        named = named or {}
        policies = {
            name: replace(
                self.policy,
                interval_seconds=limits.interval_seconds or interval,
                lease_seconds=LEASE - 10 + (limits.timeout_seconds or 10),
                backoff=limits.backoff,
                longest_interval_seconds=limits.longest_seconds or 1e6,
                max_attempts=limits.max_attempts,
            )
            for name, limits in named.items()
        }
        self.policy = replace(self.policy, sources=policies)
        self.health = Health(virtual_time.now)
        self.attention = Attention(self.health)
        self.writer: Any = cloud.table
        self.held = Held(name, most, sources=1 + len(named))

        def polling(source: Any, seconds: float = 10) -> DirectPoller:
            return DirectPoller(cloud.table, cloud.answers, source, self.policy, seconds, self.wall)

        self.lane = Lane("jobs", polling(cloud.source), slots, self.attention, virtual_time.now)
        self.desk = Desk("desk", polling(UnaskedSource()), slots, self.attention, virtual_time.now)
        self.lanes = {
            name: Lane(
                name,
                polling(cloud.named[name], limits.timeout_seconds or 10),
                limits.concurrency or slots,
                self.attention,
                virtual_time.now,
                rate=limits.rate_per_second,
            )
            for name, limits in named.items()
        }
        clocks = Clocks(self.wall, self.boot, first_fire)
        self.polls = MemoryPolls(self.held, self.policy, clocks, self.lane, self.desk, named=self.lanes)
        self.attention.on_freed = self.polls.on_room
        self.taking_up = TakingUp(self.held, self, self.polls, self.desk, self.attention)
        self.renewals = Renewals(self.held, self, self.polls)
        holding = Holding(self.held, self.polls, self.taking_up, self.renewals)
        self.dispatch = Dispatch(self.lane, self.desk, self.policy.home, interval, virtual_time.now, named=self.lanes)
        self.dispatch.holding = holding
        table = TokenTable(cloud.table, cloud.table.name, "index")
        self.roll = ReplicaTable(table, cloud.table, 4)
        self.replicas = Replicas(self.roll, holding, lambda: self.indexed, "1.0.0")
        self.find("index")

    def find(self, due: Due) -> None:
        """Find due rows in this way from now on."""
        self.finder: DueFinder = self.cloud.table.finder(due, virtual_time.now)
        self.finder.passes_by = self.dispatch.passes_by
        self.ticker = Ticker(self.finder, self.dispatch, self.attention, self.wall)

    def wall(self) -> Instant:
        """Give the instant."""
        return START + round(self.boot() * 1000)

    def boot(self) -> float:
        """Give the seconds since the start, sleep included."""
        return virtual_time.now() + self.asleep

    async def write_many(self, effects: Sequence[Any]) -> list[Any]:
        """Perform writes by whoever the `writer` is now."""
        written: list[Any] = await self.writer.write_many(effects)
        return written

    @property
    def rows(self) -> dict[str, HeldRow]:
        """The rows that are held."""
        return self.held.rows

    def row(self, job_id: str = "job-1") -> HeldRow:
        """Give a held row."""
        return self.held.rows[job_id]

    async def take_up(self, *job_ids: str) -> None:
        """Take rows up as a tick does that finds them, and wait until that is done."""
        items = self.cloud.table.items
        rows: Any = [read_found(items[job_id]) for job_id in job_ids or tuple(items)]
        self.taking_up.take_up(rows)
        await self.taking_up.ended()

    @asynccontextmanager
    async def running(self, *, replicas: bool = False, ticks: float = 0) -> AsyncIterator["Replica"]:
        """Let the replica poll and renew by itself; with `replicas` also beat and look, with `ticks` also find."""
        runs: list[Any] = [self.polls.run(), self.renewals.run()]
        if replicas:
            await self.replicas.beat()
            runs += [self.replicas.run_beats(), self.replicas.run_looks()]
        else:
            self.held.fresh = lambda: True
        if ticks:
            runs.append(self._tick_for_ever(ticks))
        tasks = [asyncio.ensure_future(each) for each in runs]
        try:
            yield self
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for lane in self.dispatch.lanes:
                lane.close()
                lane.abort()
                await lane.ended()

    async def _tick_for_ever(self, seconds: float) -> None:
        while True:
            self.attention.table_trouble = None
            await self.ticker.run("tick")
            await asyncio.sleep(seconds)
