"""Compare claims one by one with claims in batches: how many for each second of CPU of the process that claims.

    python -m benchmarks.claims [--rows 500] [--rounds 7] [--json]

DynamoDB Local runs in a process of its own, and what it takes is not counted. Each round claims every row both ways, in
turns; the figures are the medians of all rounds.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from scheduler import clock
from scheduler.aws.batch_writes import SINGLES_AT_ONCE
from scheduler.aws.clients import Clients, admin_clients, polling_clients
from scheduler.aws.clock_skew import ClockSkew
from scheduler.aws.deploy_tables import deploy_table
from scheduler.aws.token_table import TokenTable
from scheduler.core.attributes import to_attribute
from scheduler.core.effects import Claim
from scheduler.core.instant import format_iso
from scheduler.core.row_reader import read_row
from scheduler.core.row_writes import Written
from scheduler.core.token_row import TokenRow, due_shard
from tests.backends import dynamodb_local, local_environment

TABLE = "claims"
SHARDS = 4
_TOKEN = "AAAAKgAAAAIAAAAA" + "x" * 640  # as long as those of Step Functions
_HOLD_MS = 600_000


def item(job_id: str) -> dict[str, Any]:
    """Give a token row as create-job writes it."""
    now = clock.now()
    row = {
        "jobId": job_id,
        "taskToken": _TOKEN,
        "executionId": f"arn:aws:states:us-east-1:000000000000:execution:poc-callback-workflow:{job_id}",
        "createdAt": format_iso(now),
        "expiresAt": format_iso(now + 3_600_000),
        "attemptCount": 0,
        "maxAttempts": 1_000_000,
        "status": "POLLING",
        "nextPollAt": now,
        "version": 0,
        "dueShard": due_shard(job_id, SHARDS),
        "intervalSeconds": 60,
    }
    return {name: to_attribute(value) for name, value in row.items()}


def claim(row: TokenRow, number: int) -> Claim:
    """Give the claim that holds a row."""
    now = clock.now()
    return Claim(row, f"{number:032x}", now, now + _HOLD_MS, due_shard(row.job_id, SHARDS), "a-replica-of-some-name")


async def singly(table: TokenTable, claims: Sequence[Claim]) -> list[Written]:
    """Claim as many at once as `write_many` does where it cannot batch."""
    slots = asyncio.Semaphore(SINGLES_AT_ONCE)

    async def one(effect: Claim) -> Written:
        async with slots:
            return await table.write(effect)

    return await asyncio.gather(*map(one, claims))


async def in_batches(table: TokenTable, claims: Sequence[Claim]) -> list[Written]:
    """Claim 25 a call."""
    return await table.write_many(claims)


async def timed(
    way: Callable[[TokenTable, Sequence[Claim]], Awaitable[list[Written]]],
    table: TokenTable,
    rows: Sequence[TokenRow],
    number: int,
) -> tuple[float, list[TokenRow]]:
    """Claim every row once, one way; give the claims for each second of CPU, and the rows as they are now."""
    started = time.process_time()
    written = await way(table, [claim(row, number) for row in rows])
    seconds = time.process_time() - started
    won = [row for row in written if isinstance(row, TokenRow)]
    if len(won) < len(rows):
        sys.exit(f"{len(rows) - len(won)} claims were not won: {[row for row in written if row not in won][:1]}")
    return len(rows) / seconds, won


async def compare(clients: Clients, count: int, rounds: int) -> dict[str, Any]:
    """Claim both ways in turns, after a warm-up of each, and give the figures."""
    table = TokenTable(clients, TABLE, "auto")
    items = [item(f"job-{number:06}") for number in range(count)]
    for one in items:
        await clients.dynamodb.put_item(TableName=TABLE, Item=one)
    rows = [read_row(one) for one in items]
    single: list[float] = []
    batched: list[float] = []
    for number in range(rounds + 1):
        for way, figures in ((singly, single), (in_batches, batched)):
            figure, rows = await timed(way, table, rows, number)
            figures.append(figure)
    return {
        "rows": count,
        "rounds": rounds,
        "singleClaimsPerCpuSecond": round(statistics.median(single[1:])),
        "batchedClaimsPerCpuSecond": round(statistics.median(batched[1:])),
        "ratio": round(statistics.median(map(float.__truediv__, batched[1:], single[1:])), 1),
    }


async def measure(count: int, rounds: int) -> dict[str, Any]:
    """Make the table, and compare."""
    async with admin_clients() as admin:
        await deploy_table(admin, TABLE, indexed=True)
    async with polling_clients(64, 10, ClockSkew(clock.now)) as clients:
        return await compare(clients, count, rounds)


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with dynamodb_local() as endpoint:
        os.environ |= local_environment(endpoint)
        figures = asyncio.run(measure(given.rows, given.rounds))
    if given.json:
        print(json.dumps(figures))
        return
    print(f"claims for each second of CPU, {figures['rows']} rows, median of {figures['rounds']} rounds")
    print("one by one:", figures["singleClaimsPerCpuSecond"])
    print("in batches:", figures["batchedClaimsPerCpuSecond"])
    print("ratio:     ", figures["ratio"])


if __name__ == "__main__":
    main()
