"""What finding and taking up cost, and what held rows weigh: the engine's own parts, without a daemon around them."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.figure import Figure
from benchmarks.world import ROOT, SHARDS, World
from scheduler import clock
from scheduler.aws.clients import Clients, polling_clients
from scheduler.aws.clock_skew import ClockSkew
from scheduler.aws.due_finder import DueFinder
from scheduler.aws.token_table import TokenTable
from scheduler.core.effects import Claim
from scheduler.core.token_row import TokenRow, due_shard

_DUE = 100
_FAR_SECONDS = 86_400.0


def finding(dynamodb_url: str, rounds: int, stored: int) -> Iterator[Figure]:
    """Compare a tick's finding of 100 due rows in a large table with that in a small one, by turns."""
    with World.behind(dynamodb_url) as world:
        tables = []
        for rows in (1_000, stored):
            table = world.table("find")
            world.fill(table, rows - _DUE, 60, due_in=_FAR_SECONDS, prefix="later")
            world.fill(table, _DUE, 60, prefix="due")
            tables.append(table)
        os.environ.update(world.environment)
        ratio = asyncio.run(_compare(tables, rounds))
    note = f"{stored:,} rows stored; {rounds} rounds by turns, median of the ratios of their times"
    name = f"finding {_DUE} due of {stored:,} stored ÷ of 1,000 stored"
    yield Figure(name, ratio, 1.1, note=note)


async def _compare(tables: Sequence[str], rounds: int) -> float:
    async with polling_clients(8, 10, ClockSkew(clock.now)) as clients:
        finders = [
            DueFinder(TokenTable(clients, name, "index"), clients, SHARDS, "index", time.monotonic) for name in tables
        ]

        async def timed(finder: DueFinder) -> float:
            started = time.perf_counter()
            found = sum([len(page.rows) async for page in finder.pages(clock.now())])
            if found != _DUE:
                sys.exit(f"{found} rows were found, not {_DUE}")
            return time.perf_counter() - started

        pairs = [[await timed(finder) for finder in finders] for _ in range(rounds + 3)][3:]
    return statistics.median(large / small for small, large in pairs)


def claims(dynamodb_url: str, rounds: int, rows: int = 1_000) -> Iterator[Figure]:
    """Measure claims for each second of CPU: in batches as a backlog is taken up, and one by one."""
    with World.behind(dynamodb_url) as world:
        table = world.table("claims")
        world.fill(table, rows, 60)
        os.environ.update(world.environment)
        together, alone = asyncio.run(_claim(table, rounds))
    note = f"{rows:,} rows a round, by turns, median of {rounds}; DynamoDB Local"
    yield Figure("claims for each second of CPU", together, 3_000, "", alone, "more", f"{note}; before: one by one")


async def _claim(table: str, rounds: int) -> tuple[float, float]:
    rates: list[list[float]] = [[], []]
    async with polling_clients(64, 10, ClockSkew(clock.now)) as clients:
        rows = TokenTable(clients, table, "index")
        waiting = await _rows(clients, rows)
        for number in range(rounds + 1):
            for rate, together in zip(rates, (True, False), strict=True):
                now = clock.now()
                each = [Claim(row, f"{row.job_id}-{number}", now, now, due_shard(row.job_id, 4)) for row in waiting]
                started = time.process_time()
                done = await (rows.write_many(each) if together else asyncio.gather(*map(rows.write, each)))
                rate.append(len(each) / (time.process_time() - started))
                waiting = [row for row in done if isinstance(row, TokenRow)]
                if len(waiting) < len(each):
                    sys.exit(f"{len(each) - len(waiting)} claims were not won")
    together_rate, alone_rate = (statistics.median(rate[1:]) for rate in rates)
    return together_rate, alone_rate


async def _rows(clients: Clients, table: TokenTable) -> list[TokenRow]:
    finder = DueFinder(table, clients, SHARDS, "index", time.monotonic)
    return [row async for page in finder.pages(clock.now()) for row in page.rows if isinstance(row, TokenRow)]


def memory(rows: int = 100_000) -> Iterator[Figure]:
    """Measure the memory that held rows take, in a process that holds them."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "benchmarks.holding", str(rows)], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    measured: Any = json.loads(done.stdout)
    note = "the growth of a process's memory while it takes them up and polls each once"
    yield Figure(f"memory for {rows:,} held rows", measured["megabytes"], 150, "MB", note=note)
