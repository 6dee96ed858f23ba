"""Compare one tick with a bare aioboto3 loop that makes the same calls at the same concurrency.

    python benchmarks/tick.py [--jobs 200] [--concurrency 64] [--rounds 5] [--json]

Both run in turn on the same embedded cloud, on jobs that stay in progress: a claim and a status check each. The figure
that counts is the ratio of their calls per second; the calls per second themselves are the emulator's speed.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from typing import Any

from scheduler import clock, log
from scheduler.assembly import assembled
from scheduler.aws.clients import AdminClients, admin_clients, polling_clients
from scheduler.aws.deploy import deploy
from scheduler.core.attributes import to_attribute
from scheduler.core.effects import Claim
from scheduler.core.instant import format_iso
from scheduler.core.row_reader import read_row
from scheduler.core.row_writes import write_call
from scheduler.core.token_row import due_shard
from scheduler.emulator import emulator
from scheduler.settings import Settings


async def add_jobs(clients: AdminClients, settings: Settings, count: int) -> list[str]:
    """Make jobs that never end, and token rows that are due; gives their ids."""
    job_ids: list[str] = []
    create = json.dumps({"action": "CREATE_JOB", "payload": {"completionPolls": 1_000}})
    for number in range(count):
        reply = await clients.functions.invoke(FunctionName=settings.simulated_api_function, Payload=create)
        async with reply["Payload"] as body:
            job_ids.append(json.loads(await body.read())["jobId"])
        row = {
            "jobId": job_ids[-1],
            "taskToken": f"a token that is never used {number}",
            "executionId": "none",
            "createdAt": format_iso(clock.now()),
            "expiresAt": format_iso(clock.now() + 3_600_000),
            "attemptCount": 0,
            "maxAttempts": 1_000,
            "status": "POLLING",
            "version": 0,
        }
        item = {name: to_attribute(value) for name, value in row.items()}
        await clients.dynamodb.put_item(TableName=settings.token_table, Item=item)
    return job_ids


async def make_due(clients: AdminClients, settings: Settings, job_ids: list[str]) -> None:
    """Make the rows due again, as if their interval had passed."""
    for job_id in job_ids:
        await clients.dynamodb.update_item(
            TableName=settings.token_table,
            Key={"jobId": {"S": job_id}},
            UpdateExpression="SET nextPollAt = :past, dueShard = :shard",
            ExpressionAttributeValues={":past": {"N": "0"}, ":shard": {"N": str(due_shard(job_id, settings.shards))}},
        )


async def time_tick(settings: Settings, jobs: int) -> float:
    """Time one tick; gives its calls per second. Its finding of the rows is in the time and not in the calls."""
    async with assembled(settings) as parts:
        await parts.probe()
        started = time.perf_counter()
        report = await parts.ticker.run("bench")
        seconds = time.perf_counter() - started
    if (report.polled, report.claimed, report.errors) != (jobs, jobs, 0):
        sys.exit(f"the tick did not poll all jobs: {report}")
    return 2 * jobs / seconds


async def time_bare_loop(settings: Settings, job_ids: list[str], claims: dict[str, Any]) -> float:
    """Time the same two calls for each job with nothing around them; gives calls per second."""
    slots = asyncio.Semaphore(settings.concurrency)
    async with polling_clients(settings.concurrency, 30, retry_invoke=True) as clients:
        await clients.dynamodb.describe_table(TableName=settings.token_table)
        await clients.functions.get_function_configuration(FunctionName=settings.source_function)

        async def ask(job_id: str) -> None:
            async with slots:
                await clients.dynamodb.update_item(**claims[job_id])
                payload = json.dumps({"action": "CHECK_STATUS", "jobId": job_id})
                reply = await clients.functions.invoke(FunctionName=settings.source_function, Payload=payload)
                async with reply["Payload"] as body:
                    json.loads(await body.read())

        started = time.perf_counter()
        await asyncio.gather(*map(ask, job_ids))
        return 2 * len(job_ids) / (time.perf_counter() - started)


async def claims_of(clients: AdminClients, settings: Settings, job_ids: list[str]) -> dict[str, Any]:
    """Give the claim of each row as the tick would make it, ready to be sent."""
    claims = {}
    for job_id in job_ids:
        item = (await clients.dynamodb.get_item(TableName=settings.token_table, Key={"jobId": {"S": job_id}}))["Item"]
        shard = due_shard(job_id, settings.shards)
        claim = Claim(read_row(item), "bench", clock.now(), clock.now() + 600_000, shard)
        claims[job_id] = write_call(claim, settings.token_table).parameters
    return claims


async def compare(jobs: int, concurrency: int, rounds: int) -> dict[str, Any]:
    """Run both in turn, after a warm-up of each, and give the figures of every round and the median of their ratios."""
    settings = Settings.load(concurrency=concurrency, interval_seconds=600, check_timeout_seconds=60)
    async with emulator() as endpoint:
        os.environ["AWS_ENDPOINT_URL"] = endpoint
        async with admin_clients() as clients:
            async for _ in deploy(clients, settings):
                pass
            job_ids = await add_jobs(clients, settings, jobs)
            pairs = []
            for _ in range(rounds + 1):
                await make_due(clients, settings, job_ids)
                tick = await time_tick(settings, jobs)
                claims = await claims_of(clients, settings, job_ids)
                pairs.append((tick, await time_bare_loop(settings, job_ids, claims)))
    pairs = pairs[1:]
    return {
        "jobs": jobs,
        "concurrency": concurrency,
        "tickCallsPerSecond": [round(tick) for tick, _ in pairs],
        "bareCallsPerSecond": [round(bare) for _, bare in pairs],
        "ratio": round(statistics.median(tick / bare for tick, bare in pairs), 2),
    }


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    # The logs are made and written as in the daemon, but to nowhere: they are a part of what a tick costs.
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123  a device, not a path
        log.configure("info", "json", nowhere)
        figures = asyncio.run(compare(given.jobs, given.concurrency, given.rounds))
    if given.json:
        print(json.dumps(figures))
        return
    print(f"{figures['jobs']} jobs due at once, {figures['concurrency']} polls in flight")
    print("calls per second, tick:     ", *figures["tickCallsPerSecond"])
    print("calls per second, bare loop:", *figures["bareCallsPerSecond"])
    print("ratio, median of the pairs: ", figures["ratio"])


if __name__ == "__main__":
    main()
