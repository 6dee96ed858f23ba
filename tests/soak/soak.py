"""A soak: replicas that are killed all the time, over a cloud that fails all the time, and nothing may be lost.

    python -m tests.soak.soak [--seed N] [--workflows 300] [--replicas 3] [--seconds 180] [--kill-every 1.0]

Workflows come and wait, each for a job of its own; daemons poll them as real processes over DynamoDB Local and the
server with AWS's semantics. Every second one is killed and started again; a tenth of all calls fail, a twentieth are
applied and their replies dropped, and there are bursts of throttling. Then the faults end, and so must all workflows:
each with the one answer that its job deserves. The seed decides all that the soak itself does; how the processes
interleave is the operating system's doing, so that a seed brings a fault back often, and not always.

A row whose poller was killed is due again when its lease has run out, 22 s later: in the long form that happens by
itself. Besides, all replicas die at once every now and then, in a blackout, and at the end of the chaos. While nobody
polls, every claim is an abandoned one, and only then the next polls are moved back by a lease, as if the time had
passed: so that abandoned rows are polled again in the midst of the faults, also in the short form.
"""

import argparse
import asyncio
import json
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
from scheduler.core.timing import lease_seconds
from tests.aws_server import AwsServer
from tests.backends import dynamodb_local, dynamodb_local_lacks
from tests.soak.faults import Chaos
from tests.soak.plan import Arrive, Blackout, Event, Kill, Options, Plan, Throttle, draw
from tests.soak.replicas import CHECK_TIMEOUT_SECONDS, Replicas
from tests.soak.table import Table, token_table
from tests.soak.verdict import faults_of

_PROGRESS_SECONDS = 5.0
_LANDING_SECONDS = 0.5
"""Until this long after the last caller's death, its last calls may still be applied."""
_LOOK_SECONDS = 0.5
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
    aws: AwsServer
    table: Table
    replicas: Replicas
    started: float = field(default_factory=time.monotonic)
    tokens: dict[str, str] = field(default_factory=dict)

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
                self.aws.jobs.add(workflow.job_id, polls=workflow.checks, script=workflow.script, **ends)
                token = self.tokens[workflow.job_id] = self.aws.tokens.waiting()
                await self.table.put(workflow.row(token, clock.now()))
            case Kill(replica):
                await self.replicas.kill(replica)
            case Blackout():
                await self._black_out()
            case Throttle():
                order = chaos.throttle(event)
                asyncio.get_running_loop().call_later(event.seconds, order.cancel)

    async def _black_out(self) -> None:
        await self.replicas.kill_all()
        await asyncio.sleep(_LANDING_SECONDS)
        await self.table.let_pass(lease_seconds(CHECK_TIMEOUT_SECONDS))
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
                f" {states.total()} ended, {self.replicas.kills} kills, {self.aws.calls.total()} calls,"
                f" {_faulty(chaos)} of them faulty\n"
            )
            sys.stderr.flush()

    async def _judge(self, chaos: Chaos, calls: int) -> Result:
        rows = await self.table.rows()
        wrong: list[str] = []
        shown = 0
        for workflow in self.plan.workflows:
            job_id, token = workflow.job_id, self.tokens[workflow.job_id]
            faults = list(faults_of(workflow, rows.get(job_id), token, self.aws, chaos.dropped.checks[job_id]))
            wrong += [f"{job_id}: {fault}" for fault in faults]
            if faults and shown < _SHOWN:
                shown += 1
                wrong += [f"  {line}" for line in self.replicas.lines_about(job_id)]
        wrong += self.replicas.troubles + self.replicas.bad_lines(list(self.tokens.values()))
        tokens = self.tokens.values()
        offers = [offer for token in tokens for offer in self.aws.ledger.offers(token)]
        summary = {
            "seed": self.options.seed,
            "workflows": len(self.tokens),
            "fates": dict(Counter(workflow.fate for workflow in self.plan.workflows)),
            "kills": self.replicas.kills,
            "callsInChaos": calls,
            "calls": dict(sorted(self.aws.calls.items())),
            "faults": chaos.met(),
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
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        async with AwsServer.running(dynamodb_url) as aws, token_table(dynamodb_url) as table:
            replicas = Replicas(options.replicas, aws.endpoint, table.name, Path(folder))
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
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=180.0, help="of chaos")
    parser.add_argument("--kill-every", type=float, default=1.0, help="seconds")
    given = vars(parser.parse_args())
    if given["seed"] is None:
        given["seed"] = secrets.randbelow(1_000_000)
    for name in ("workflows", "replicas", "seconds", "kill_every"):
        if given[name] <= 0:
            parser.error(f"--{name.replace('_', '-')} must be above 0")
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
