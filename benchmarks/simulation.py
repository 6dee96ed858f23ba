"""Ten million jobs and twenty replicas that join, leave and die, in virtual time.

    .venv/bin/python benchmarks/simulation.py [--jobs 10000000] [--replicas 20] [--hours 2] [--seed 1]

The engine is the product's own, with its policy, its holds, its beats and its takeovers; the table, the source and the
clock are in memory, so that hours take minutes. Each row stands for a thousand jobs of one phase, and a replica's slots
and its limit of held rows are a thousandth of the real ones. Prints JSON.
"""

import argparse
import asyncio
import heapq
import json
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.virtual_time import run
from scheduler import log
from scheduler.aws.due_finder import REST_SECONDS
from scheduler.aws.token_table import LOAD
from scheduler.core.check_replies import Completed, InProgress, Report
from scheduler.core.effects import (
    Claim,
    Delivered,
    Delivery,
    Failure,
    Heartbeat,
    Lost,
    Mark,
    Renew,
    Reread,
    Send,
    Write,
)
from scheduler.core.home import Home
from scheduler.core.instant import Instant
from scheduler.core.replica_rows import Beat
from scheduler.core.row_reader import Found, MalformedRowError
from scheduler.core.timing import Policy, lease_seconds
from scheduler.core.token import TaskToken
from scheduler.core.token_row import TokenRow, due_shard
from scheduler.engine.attention import Attention
from scheduler.engine.direct_polling import DirectPoller
from scheduler.engine.dispatch import Dispatch
from scheduler.engine.held_row import Held
from scheduler.engine.lanes import Lane
from scheduler.engine.memory_polls import Clocks, MemoryPolls
from scheduler.engine.renewals import Renewals
from scheduler.engine.replicas import Holding, Replicas
from scheduler.engine.taking_up import TakingUp
from scheduler.web.health import Health

JOBS_A_ROW = 1_000
SHARDS = 4
INTERVAL = 600.0
CHECK_SECONDS, CALL_SECONDS = 0.05, 0.01
LATE = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


@dataclass
class Table:
    """Rows in memory, each with the conditions that the real writes have."""

    loop: asyncio.AbstractEventLoop
    rows: dict[str, TokenRow] = field(default_factory=dict)
    waiting: list[list[tuple[Instant, str]]] = field(default_factory=lambda: [[] for _ in range(SHARDS)])
    beats: dict[str, Beat] = field(default_factory=dict)
    writes: Counter[str] = field(default_factory=Counter)

    def now(self) -> Instant:
        """Give the virtual time in milliseconds."""
        return round(self.loop.time() * 1000)

    async def write_many(self, effects: Sequence[Write]) -> list[TokenRow | MalformedRowError | Lost | Failure | None]:
        """Perform writes."""
        await asyncio.sleep(CALL_SECONDS)
        return [self._write(effect) for effect in effects]

    async def write(self, effect: Write) -> TokenRow | MalformedRowError | Lost | Failure | None:
        """Perform one write."""
        return (await self.write_many([effect]))[0]

    async def reread(self, effect: Reread) -> TokenRow | MalformedRowError | Lost | Failure:
        """Read a held row again."""
        await asyncio.sleep(CALL_SECONDS)
        row = self.rows.get(effect.row.job_id)
        return row if row and row.claim_id == effect.row.claim_id else Lost()

    def _write(self, effect: Write) -> TokenRow | Lost | None:
        self.writes[type(effect).__name__] += JOBS_A_ROW
        row = self.rows.get(effect.row.job_id)  # type: ignore[union-attr]  # nothing is set aside here
        match effect:
            case Claim(claimed, claim_id, until=until, held_by=held_by):
                if row is None or row.version != claimed.version:
                    self.writes["lost"] += JOBS_A_ROW
                    return Lost()
                won = replace(row.claimed(claim_id), next_poll_at=until, held_by=held_by)
                self.put(won)
                return won
            case Renew(held, until, held_by):
                if row is None or row.claim_id != held.claim_id:
                    return Lost()
                attempts = held.attempt_count
                self.put(replace(row, next_poll_at=until, held_by=held_by, attempt_count=attempts))
                return None
            case Mark():
                self.rows.pop(effect.row.job_id, None)
        return None

    async def beat(self, beat: Beat) -> None:
        """Note a beat."""
        await asyncio.sleep(CALL_SECONDS)
        self.writes["beat"] += 1
        self.beats[beat.name] = beat

    async def read_beats(self) -> list[Beat]:
        """Give all beats."""
        await asyncio.sleep(CALL_SECONDS)
        return list(self.beats.values())

    async def forget(self, name: str, at: Instant) -> None:
        """Forget a replica."""
        if name in self.beats and self.beats[name].at == at:
            del self.beats[name]

    async def held_by(self, names: set[str], now: Instant, mine: Callable[[str], bool]) -> AsyncIterator[list[Found]]:
        """Give what replicas hold."""
        del now
        found: list[Found] = [row for row in self.rows.values() if row.held_by in names and mine(row.job_id)]
        for first in range(0, len(found), 100):
            await asyncio.sleep(CALL_SECONDS)
            yield found[first : first + 100]

    def due(self, shard: int) -> list[TokenRow]:
        """Give what is due of a shard, the longest first, a page at most."""
        now, waiting = self.now(), self.waiting[shard]
        page: list[TokenRow] = []
        passed: list[tuple[Instant, str]] = []
        while waiting and waiting[0][0] <= now and len(page) < LOAD:
            at, job_id = heapq.heappop(waiting)
            row = self.rows.get(job_id)
            if row and (row.next_poll_at or 0) == at:
                page.append(row)
                passed.append((at, job_id))
        for entry in passed:
            heapq.heappush(waiting, entry)
        return page

    def put(self, row: TokenRow) -> None:
        """Store a row as it is now."""
        self.rows[row.job_id] = row
        heapq.heappush(self.waiting[due_shard(row.job_id, SHARDS)], (row.next_poll_at or 0, row.job_id))


@dataclass
class Source:
    """Jobs in progress; notes how late each check is, and which are made twice."""

    loop: asyncio.AbstractEventLoop
    last: dict[str, float] = field(default_factory=dict)
    checks: int = 0
    twice: int = 0
    late: list[float] = field(default_factory=list)
    ends: set[str] = field(default_factory=set)

    async def check(self, row: TokenRow) -> Report:
        """Check a job."""
        now, before = self.loop.time(), self.last.get(row.job_id)
        self.last[row.job_id] = now
        self.checks += 1
        if before is not None:
            self.twice += now - before < INTERVAL * 0.05
            self.late.append(max(0.0, now - before - INTERVAL))
        await asyncio.sleep(CHECK_SECONDS)
        return Completed({}) if row.job_id in self.ends else InProgress()

    async def probe(self) -> None:
        """Ask whether the source is there."""


class Answers:
    """Takes every answer."""

    async def send(self, effect: Send | Heartbeat) -> Delivery:
        """Take one."""
        del effect
        await asyncio.sleep(CALL_SECONDS)
        return Delivery(Delivered.DELIVERED)


class Roll:
    """The table as replicas see it."""

    def __init__(self, table: Table) -> None:
        self.beat, self.beats, self.forget, self.held_by = table.beat, table.read_beats, table.forget, table.held_by


class Replica:
    """One daemon's engine: finding, holding, beating."""

    def __init__(self, name: str, table: Table, source: Source, rows: int) -> None:
        """Take a share of so many rows."""
        self.table = table
        slots, most = max(2, rows // 100), 2 * rows
        loop = table.loop
        policy = Policy(INTERVAL, lease_seconds(10), SHARDS, longest_hold_seconds=3_600)
        attention = Attention(Health(loop.time))
        poller = DirectPoller(table, Answers(), source, policy, 10, table.now)
        lane = Lane("source", poller, slots, attention, loop.time)
        desk = Lane("desk", poller, slots, attention, loop.time)
        held = Held(name, most)
        polls = MemoryPolls(held, policy, Clocks(table.now, loop.time), lane, desk)
        attention.on_freed = polls.on_room
        holding = Holding(held, polls, TakingUp(held, table, polls, desk, attention), Renewals(held, table, polls))
        self.dispatch = Dispatch(lane, desk, Home(), INTERVAL, loop.time)
        self.dispatch.holding = holding
        self.replicas = Replicas(Roll(table), holding, lambda: True, "simulation")
        self.holding = holding
        self.tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work."""
        work = (self.replicas.run_beats, self.replicas.run_looks, self.holding.polls.run, self.holding.renewals.run)
        self.tasks = [asyncio.ensure_future(each()) for each in (*work, self._tick)]
        for task in self.tasks:
            task.add_done_callback(_watched)

    async def _tick(self) -> None:
        """Find as `DueFinder` does: shard by shard, each time another one first, and not where another is quicker."""
        rests: dict[int | None, float] = {}
        self.dispatch.on_lost = lambda shard: rests.update({shard: self.table.loop.time() + REST_SECONDS})
        first = random.randrange(SHARDS)
        await asyncio.sleep(random.random())
        while True:
            await asyncio.sleep(1)
            first += 1
            for shard in [(first + step) % SHARDS for step in range(SHARDS)]:
                if rests.get(shard, 0.0) <= self.table.loop.time():
                    self.dispatch.hand(self.table.due(shard), self.table.now(), shard)

    def die(self) -> None:
        """End at once, as by SIGKILL."""
        for task in self.tasks:
            task.cancel()
        self.holding.held.drop_all()
        self.holding.held.closed = True

    async def leave(self) -> None:
        """End as by SIGTERM: give free what is held."""
        for task in self.tasks:
            task.cancel()
        self.holding.held.closed = True
        for lane in self.dispatch.lanes:
            lane.close()
            await lane.ended()
        await self.holding.renewals.free_all()
        await self.replicas.leave()


def written(table: Table) -> int:
    """Count the writes so far, those of lost claims too."""
    return sum(count for name, count in table.writes.items() if name != "lost")


def _watched(task: "asyncio.Task[None]") -> None:
    """End the simulation where a part of it has failed."""
    if not task.cancelled():
        task.get_loop().stop()


async def simulate(jobs: int, replicas: int, hours: float, seed: int) -> dict[str, object]:
    """Run it and give the figures."""
    loop = asyncio.get_running_loop()
    chance = random.Random(seed)
    random.seed(seed)
    table, source = Table(loop), Source(loop)
    rows = jobs // JOBS_A_ROW
    for number in range(rows):
        job = f"job-{number}"
        table.put(TokenRow(job, TaskToken(f"token-{number}"), None, 10**15, 0, 10**9, 0, INTERVAL, next_poll_at=0))
    names = iter(range(10**6))

    def join() -> Replica:
        replica = Replica(f"replica-{next(names)}", table, source, rows // replicas)
        replica.start()
        return replica

    alive = [join() for _ in range(replicas)]
    await asyncio.sleep(2 * INTERVAL)
    warm = source.checks, source.twice, written(table)
    source.late.clear()
    events: Counter[str] = Counter()
    end = loop.time() + hours * 3_600
    while loop.time() < end:
        await asyncio.sleep(chance.uniform(300, 900))
        event = chance.choice(("dies", "leaves", "joins"))
        events[event] += 1
        if event == "dies":
            alive.pop(chance.randrange(len(alive))).die()
            alive.append(join())
        elif event == "leaves":
            await alive.pop(chance.randrange(len(alive))).leave()
            alive.append(join())
        else:
            alive.append(join())
    await asyncio.sleep(120)
    held = sorted(len(replica.holding.held.rows) for replica in alive)
    for replica in alive:
        replica.die()
    late = sorted(source.late)
    checks = source.checks - warm[0]
    return {
        "jobs": jobs,
        "rows": rows,
        "replicas": len(alive),
        "hours": hours,
        "seed": seed,
        "events": dict(events),
        "checks": checks * JOBS_A_ROW,
        "checks_made_twice_percent": round(100 * (source.twice - warm[1]) / checks, 3),
        "writes": dict(sorted(table.writes.items())),
        "writes_per_check": round((written(table) - warm[2]) / (checks * JOBS_A_ROW), 4),
        "late_seconds": {name: round(late[int(part * (len(late) - 1))], 2) for name, part in LATE.items()},
        "latest_seconds": round(late[-1], 1),
        "held": held,
    }


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000_000)
    parser.add_argument("--replicas", type=int, default=20)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    log.configure("error", "json", sys.stderr)
    json.dump(run(simulate(given.jobs, given.replicas, given.hours, given.seed)), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
