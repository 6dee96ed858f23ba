"""A soak: replicas that are killed and put to sleep all the time, over a cloud that fails all the time.

    python -m tests.soak.soak [--seed N] [--workflows 300] [--replicas 4] [--rounds 3] [--kill-every 1.0]

Workflows come and wait, each for a job of its own; daemons poll them as real processes over DynamoDB Local and the
server with AWS's semantics. All but one hold rows; the last one claims for each poll. In each round replicas are
killed and started again every second; then one sleeps until the others call it gone and take over what it held, and
another one for less. All the while a tenth of all calls fail, others are applied and never confirmed or answered by
garbage, and there are bursts of throttling. Then the faults end, and so must all workflows: each with the one answer
that its job deserves. And all these faults must have been met. The seed decides all that the soak itself does; how the
processes interleave is the operating system's doing, so that a seed brings a fault back often, and not always.

What a killed replica held is taken over by one that has not seen it beat for 30 s, or is due again when its hold ends.
Sleeps leave time for that. Where replicas are killed every second nobody lives so long, so that all die at once every
now and then, in a black-out: while nobody polls, every claim and every hold is an abandoned one, and only then the next
polls are moved back by the longest hold, as if the time had passed.
"""

import argparse
import asyncio
import json
import logging
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scheduler import clock
from scheduler.core.timing import HOLD_INTERVALS, lease_seconds
from tests.aws_server.jobs import Job
from tests.backends import dynamodb_local, dynamodb_local_lacks
from tests.soak.faults import Chaos
from tests.soak.met import unmet
from tests.soak.plan import (
    INTERVALS,
    LEAST_REPLICAS,
    Arrive,
    Blackout,
    Event,
    Kill,
    Options,
    Plan,
    Sleep,
    Throttle,
    Wake,
    draw,
)
from tests.soak.replicas import Replicas
from tests.soak.table import Table, token_table
from tests.soak.verdict import faults_of
from tests.soak.witness import CHECK_TIMEOUT_SECONDS, WatchedServer

_PROGRESS_SECONDS = 5.0
_LANDING_SECONDS = 0.5
"""Until this long after the last caller's death, its last calls may still be applied."""
_LONGEST_HOLD_SECONDS = HOLD_INTERVALS * max(INTERVALS) + lease_seconds(CHECK_TIMEOUT_SECONDS)
_LOOK_SECONDS = 0.5
_UNDER_WAY = 2
"""Checks that one replica may have been about to send when it was put to sleep, and sends when it wakes up."""
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a soak: it went well where `wrong` is empty."""

    summary: dict[str, Any]
    wrong: list[str]


@dataclass(slots=True)
class Soak:
    """One soak that runs."""

    options: Options
    plan: Plan
    aws: WatchedServer
    table: Table
    replicas: Replicas
    started: float = field(default_factory=time.monotonic)
    tokens: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)

    async def run(self) -> Result:
        """Let the chaos reign, let it settle, and judge."""
        chaos = Chaos(self.aws, self.plan.fault_seed)
        await self.replicas.start()
        async with _beside(self._show_progress(chaos)):
            await self._reign(chaos)
            calls = self.aws.calls.total()
            self.aws.faults.clear()
            await self._black_out()
            await self._settle()
        await self.replicas.stop()
        return await self._judge(chaos, calls)

    async def _reign(self, chaos: Chaos) -> None:
        for at, event in self.plan.events:
            await asyncio.sleep(max(0.0, self.started + at - time.monotonic()))
            await self._make_happen(event, chaos)
        await asyncio.sleep(max(0.0, self.started + self.options.seconds - time.monotonic()))

    async def _make_happen(self, event: Event, chaos: Chaos) -> None:
        match event:
            case Arrive(workflow):
                ends = {"fail_with": workflow.reason} if workflow.fate == "fails" else {"result": workflow.result}
                job = self.aws.jobs.add(workflow.job_id, polls=workflow.checks, script=workflow.script, **ends)
                self.jobs[workflow.job_id] = job
                token = self.tokens[workflow.job_id] = self.aws.tokens.waiting()
                await self.table.put(workflow.row(token, clock.now()))
            case Kill(replica):
                await self.replicas.kill(replica)
            case Sleep(replica, seconds):
                self.replicas.sleep(replica, seconds)
            case Wake(replica):
                self.replicas.wake(replica)
            case Blackout():
                await self._black_out()
                self.replicas.met["black-outs"] += 1
            case Throttle():
                order = chaos.throttle(event)
                asyncio.get_running_loop().call_later(event.seconds, order.cancel)

    async def _black_out(self) -> None:
        await self.replicas.kill_all()
        await asyncio.sleep(_LANDING_SECONDS)
        await self.table.let_pass(_LONGEST_HOLD_SECONDS)
        await self.replicas.start()

    async def _settle(self) -> None:
        deadline = time.monotonic() + self.options.settle_seconds
        while time.monotonic() < deadline:
            if all(row["status"] != "POLLING" for row in (await self.table.rows()).values()):
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _show_progress(self, chaos: Chaos) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            states = Counter(row["status"] for row in (await self.table.rows()).values())
            waiting = states.pop("POLLING", 0)
            sys.stderr.write(
                f"{time.monotonic() - self.started:5.0f} s: {len(self.tokens)} workflows came, {waiting} wait,"
                f" {states.total()} ended, {self.replicas.met['kills']} kills, {self.aws.calls.total()} calls,"
                f" {_faulty(chaos)} of them faulty\n"
            )
            sys.stderr.flush()

    async def _judge(self, chaos: Chaos, calls: int) -> Result:
        rows = await self.table.rows()
        wrong: list[str] = []
        shown = 0
        for workflow in self.plan.workflows:
            job_id, token = workflow.job_id, self.tokens[workflow.job_id]
            job = self.jobs[job_id]
            found_ended = max(0, job.answered - job.polls + 1)
            faults = list(faults_of(workflow, rows.get(job_id), token, self.aws, found_ended))
            wrong += [f"{job_id}: {fault}" for fault in faults]
            if faults and shown < _SHOWN:
                shown += 1
                wrong += [f"  {line}" for line in self.replicas.lines_about(job_id)]
        wrong += self.replicas.troubles + self.replicas.bad_lines(list(self.tokens.values()))
        sleeps = sum(isinstance(event, Sleep) for _, event in self.plan.events)
        if len(trespasses := self.aws.witness.trespasses) > _UNDER_WAY * sleeps:
            wrong += [f"{len(trespasses)} checks of rows that others held", *trespasses[:_SHOWN]]
        met = chaos.met() | self.replicas.met | {"rows taken over": self.replicas.taken_over()}
        met |= {"drops after sleep": self.replicas.dropped_all()}
        wrong += unmet(met, self.options)
        tokens = self.tokens.values()
        offers = [offer for token in tokens for offer in self.aws.ledger.offers(token)]
        summary = {
            "seed": self.options.seed,
            "workflows": len(self.tokens),
            "fates": dict(Counter(workflow.fate for workflow in self.plan.workflows)),
            "callsInChaos": calls,
            "calls": dict(sorted(self.aws.calls.items())),
            "met": dict(sorted(met.items())),
            "checksOfRowsThatOthersHeld": len(trespasses),
            "checks": sum(self.aws.jobs.all_checks().values()),
            "attempts": sum(row["attemptCount"] for row in rows.values()),
            "answersOffered": len(offers),
            "answersRepeated": sum(offer.effect == "TaskTimedOut" for offer in offers),
            "answersEffective": sum(len(self.aws.ledger[token]) for token in tokens),
            "ends": dict(Counter(row["status"] for row in rows.values())),
            "wrong": len(wrong),
            "seconds": round(time.monotonic() - self.started, 1),
        }
        return Result(summary, wrong)


async def soak(options: Options, dynamodb_url: str) -> Result:
    """Run one soak; whatever ends it, nothing of it stays behind."""
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # those who are to be answered have often died
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        async with WatchedServer.running(dynamodb_url) as aws, token_table(dynamodb_url) as table:
            aws.witness.read_row = table.row
            replicas = Replicas(options.replicas, aws.endpoint, table.name, Path(folder), aws.witness)
            try:
                return await Soak(options, draw(options), aws, table, replicas).run()
            finally:
                await replicas.abandon()


@asynccontextmanager
async def _beside(work: Any) -> AsyncIterator[None]:
    """Run work beside, until here is done; where it fails, so does this."""
    async with asyncio.TaskGroup() as group:
        working = group.create_task(work)
        yield
        working.cancel()


def _faulty(chaos: Chaos) -> int:
    return sum(count for kind, count in chaos.met().items() if kind != "late")


def _read_options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=None, help="a new one where it is not given")
    parser.add_argument("--workflows", type=int, default=300)
    parser.add_argument("--replicas", type=int, default=LEAST_REPLICAS)
    parser.add_argument("--rounds", type=int, default=3, help="of kills and then sleeps, of a minute each")
    parser.add_argument("--kill-every", type=float, default=1.0, help="seconds")
    given = vars(parser.parse_args())
    if given["seed"] is None:
        given["seed"] = secrets.randbelow(1_000_000)
    for name in ("workflows", "replicas", "rounds", "kill_every"):
        if given[name] <= 0:
            parser.error(f"--{name.replace('_', '-')} must be above 0")
    if given["replicas"] < LEAST_REPLICAS:
        parser.error(f"--replicas must be {LEAST_REPLICAS} or more")
    return Options(**given)


def main() -> None:
    """Run a soak, print its seed, its progress and its summary, and exit with 0 where all went well."""
    options = _read_options()
    sys.stdout.write(f"seed {options.seed}\n")
    sys.stdout.flush()
    if lacks := dynamodb_local_lacks():
        sys.exit(lacks)
    # Ctrl-C and a supervisor's SIGTERM end it alike.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with dynamodb_local() as url:
            result = asyncio.run(soak(options, url))
    except KeyboardInterrupt:
        sys.exit(130)
    for line in result.wrong:
        sys.stderr.write(f"{line}\n")
    sys.stdout.write(json.dumps(result.summary, indent=2) + "\n")
    sys.exit(1 if result.wrong else 0)


if __name__ == "__main__":
    main()
