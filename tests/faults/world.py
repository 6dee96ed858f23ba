"""A world in which things go wrong: AWS as it documents itself, a real token table, and real pollers to be killed.

    def test_it(world: World) -> None:
        job = world.add("job-1", polls=2)                    # a job, a task that waits for it, and our own token row
        with world.daemon(SCHEDULER_CONCURRENCY="1"):        # any number at once; killed where the block ends
            world.ended(job)                                 # waits for the row's end, and gives the row
        assert world.answers(job) == ["SendTaskSuccess"]
        done = world.poll_once("lambda", job, failpoint="after-send")    # one turn of a driver, as a process
        assert done == KILLED

Faults are ordered of `world.aws` (see tests.aws_server); reading and changing rows here goes around them.
Nothing sleeps for a fixed time: `until` looks again and again.
"""

import asyncio
import json
import math
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import aioboto3
import boto3

from scheduler.assets import asset
from scheduler.aws import deploy
from scheduler.aws.clients import AdminClients
from scheduler.core.attributes import Item, from_item, to_attribute
from scheduler.core.failpoints import VARIABLE
from scheduler.core.token_row import due_shard
from tests.aws_server import AwsServer
from tests.backends import local_environment
from tests.e2e.cloud import COMMAND, Daemon, until

__all__ = ["HOLDING", "KILLED", "KINDS", "MODES", "AddedJob", "Daemon", "Kind", "World", "until"]

Kind = Literal["daemon", "holding", "lambda"]
"""What polls, each a process of its own that a failpoint can kill: a daemon with a claim for each poll, one that holds
rows across polls, and the poller Lambda."""
KINDS: tuple[Kind, ...] = ("daemon", "holding", "lambda")
HOLDING = {"SCHEDULER_HOLD_SECONDS": "3600"}
"""The setting by which a daemon holds rows here, as it does where nothing is set."""
MODES: dict[Kind, dict[str, str]] = {"daemon": {}, "holding": HOLDING, "lambda": {"SCHEDULER_MODE": "lambda"}}
"""The settings by which a daemon polls as a kind does."""
KILLED = -signal.SIGKILL
"""The exit code of a process that was killed."""

SHARDS = 4
TICK_SECONDS = 0.2
POLLER = "poc-poller"
_ACCESS: Any = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
_HANDLE = "import json, sys, poller; json.dump(poller.handler(json.loads(sys.argv[1]), None), sys.stdout)"


@dataclass(frozen=True)
class AddedJob:
    """A job at the source, with the task that waits for it."""

    job_id: str
    token: str


class World:
    """AWS with a token table, and the pollers that run against it."""

    def __init__(self, aws: AwsServer, dynamodb_url: str, folder: Path) -> None:
        self.aws = aws
        self.table = f"tokens-{uuid.uuid4().hex[:12]}"
        self.dynamodb = boto3.client("dynamodb", endpoint_url=dynamodb_url, **_ACCESS)
        self.environment = local_environment(aws.endpoint) | {
            "SCHEDULER_TOKEN_TABLE": self.table,
            "SCHEDULER_INTERVAL_SECONDS": str(TICK_SECONDS),
            "SCHEDULER_HTTP_PORT": "0",
            "SCHEDULER_LOG_LEVEL": "debug",
            "SCHEDULER_HOLD_SECONDS": "0",
        }
        self.daemons: list[Daemon] = []
        self.may_be_repeated: list[AddedJob] = []
        """The jobs whose answer is offered once more though it was taken: whoever was told so died before the mark."""
        self._folder = folder
        self._tokens: list[str] = []
        asyncio.run(_make_table(dynamodb_url, self.table))

    @classmethod
    @contextmanager
    def running(cls, dynamodb_url: str, folder: Path) -> "Iterator[World]":
        """Run a world; at its end no log may hold a token, and no answer that was taken may have been offered again."""
        with AwsServer.in_thread(dynamodb_url) as aws:
            world = cls(aws, dynamodb_url, folder)
            try:
                yield world
            finally:
                world.dynamodb.delete_table(TableName=world.table)
                world.dynamodb.close()
            assert set(aws.ledger.repeated()) <= {job.token for job in world.may_be_repeated}
            world.assert_no_token_shown()

    # Jobs, their tasks and their rows

    def add(
        self,
        job_id: str = "job-1",
        *,
        foreign: bool = False,
        row: dict[str, Any] | None = None,
        timeout_seconds: float = math.inf,
        **behaviour: Any,
    ) -> AddedJob:
        """Add a job, a task that waits for it, and its row; `behaviour` as `Jobs.add` takes it.

        `row` changes attributes (plain values, or DynamoDB's own as `{"N": "1"}`); None takes one away.
        """
        self.aws.jobs.add(job_id, **behaviour)
        token = self.aws.tokens.waiting(timeout_seconds=timeout_seconds)
        execution = self.aws.tokens.task(token).execution_arn
        self.put(job_id, token, foreign=foreign, **({"executionId": execution} | (row or {})))
        return AddedJob(job_id, token)

    def put(self, job_id: str, token: str, *, foreign: bool = False, **changes: Any) -> AddedJob:
        """Write a row that is due: with all of our attributes, or with those that a foreign creator knows."""
        self._tokens.append(token)
        row: dict[str, Any] = {
            "jobId": job_id,
            "taskToken": token,
            "executionId": "arn:aws:states:us-east-1:000000000000:execution:none:none",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "expiresAt": "2099-01-01T00:00:00.000Z",
            "attemptCount": 0,
            "maxAttempts": 10,
            "status": "POLLING",
        }
        if not foreign:
            row |= {"version": 0, "nextPollAt": 1_000, "dueShard": due_shard(job_id, SHARDS)}
        row |= changes
        item = {name: _attribute(value) for name, value in row.items() if value is not None}
        self.dynamodb.put_item(TableName=self.table, Item=item)
        return AddedJob(job_id, token)

    def row(self, job: AddedJob | str) -> dict[str, Any]:
        """Read a row as it is."""
        return from_item(self.item(job))

    def item(self, job: AddedJob | str) -> Item:
        """Read a row in DynamoDB's own form."""
        key = {"jobId": {"S": job if isinstance(job, str) else job.job_id}}
        item: Item = self.dynamodb.get_item(TableName=self.table, Key=key, ConsistentRead=True)["Item"]
        return item

    def rows(self) -> dict[str, dict[str, Any]]:
        """Read all jobs' rows, by their ids; those of replicas have no status."""
        return {job_id: row for job_id, row in self.everything().items() if "status" in row}

    def replicas(self) -> dict[str, dict[str, Any]]:
        """Read the rows of replicas that nobody has forgotten, by their names."""
        rows = self.everything()
        return {
            job_id.removeprefix("replica#"): row
            for job_id, row in rows.items()
            if job_id.startswith("replica#") and "dueShard" in row
        }

    def everything(self) -> dict[str, dict[str, Any]]:
        """Read all that the table holds."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
        return {item["jobId"]["S"]: from_item(item) for page in pages for item in page["Items"]}

    def change(self, job: AddedJob | str, **changes: Any) -> None:
        """Set attributes of a row behind every poller's back; None removes one."""
        item = dict(self.item(job))
        for name, value in changes.items():
            item.pop(name, None)
            if value is not None:
                item[name] = _attribute(value)
        self.dynamodb.put_item(TableName=self.table, Item=item)

    def make_due(self, job: AddedJob | str) -> None:
        """End a lease by hand: it lasts half a minute, and no test should wait for that."""
        key = {"jobId": {"S": job if isinstance(job, str) else job.job_id}}
        with suppress(self.dynamodb.exceptions.ConditionalCheckFailedException):  # it has ended meanwhile
            self.dynamodb.update_item(
                TableName=self.table,
                Key=key,
                UpdateExpression="SET nextPollAt = :now",
                ConditionExpression="#status = :polling",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={":now": {"N": "1000"}, ":polling": {"S": "POLLING"}},
            )

    # Pollers

    @contextmanager
    def daemon(
        self, *, failpoint: str | None = None, command: Sequence[str] = (COMMAND, "run"), **settings: str
    ) -> Iterator[Daemon]:
        """Run a daemon; it is killed at the end where it has not stopped by then."""
        output = self._folder / f"daemon-{len(self.daemons)}.jsonl"
        with ExitStack() as stack:
            log = stack.enter_context(output.open("wb"))
            errors = stack.enter_context(output.with_suffix(".err").open("wb"))
            environment = self.environment | settings | _dying_at(failpoint)
            process = subprocess.Popen(
                list(command), env=environment, stdout=log, stderr=errors, stdin=subprocess.DEVNULL
            )
            daemon = Daemon(process, output)
            self.daemons.append(daemon)
            try:
                yield daemon
            finally:
                process.kill()  # also ends one that is stopped
                process.wait(10)

    def poller_lambda(
        self, event: Any, *, failpoint: str | None = None, **settings: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run the poller Lambda's handler for one event, as a process of its own; it prints its reply."""
        roots = [asset(), asset("lambdas", "poller")]
        environment = self.environment | settings | _dying_at(failpoint)
        # What the test wants to have imported first stays first.
        environment["PYTHONPATH"] = ":".join(filter(None, [environment.get("PYTHONPATH"), *map(str, roots)]))
        done = subprocess.run(
            [sys.executable, "-c", _HANDLE, json.dumps(event)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        shown = self._folder / f"lambda-{time.monotonic_ns()}.log"
        shown.write_text(done.stdout + done.stderr, "utf-8")
        return done

    def poll_once(self, kind: Kind, job: AddedJob, *, failpoint: str | None = None, **settings: str) -> int:
        """Let a poller of a kind poll until its failpoint kills it, or until the row has ended; gives its exit code."""
        if kind == "lambda":
            return self.poller_lambda({"jobId": job.job_id}, failpoint=failpoint, **settings).returncode
        settings = MODES[kind] | settings
        with self.daemon(failpoint=failpoint, **settings) as daemon:
            until(lambda: daemon.process.poll() is not None or self.row(job)["status"] != "POLLING", 30)
            return daemon.process.wait(10) if daemon.process.poll() is not None else daemon.stop()

    def install_poller(self, **settings: str) -> None:
        """Deploy the poller Lambda, for daemons with SCHEDULER_MODE=lambda."""

        def handler(event: Any) -> Any:
            done = self.poller_lambda(event, **settings)
            if done.returncode:
                message = f"exit {done.returncode}: {done.stderr[-300:]}"
                raise RuntimeError(message)
            return json.loads(done.stdout)

        self.aws.functions.add(POLLER, handler)

    # What became of it

    def ended(self, job: AddedJob | str, seconds: float = 30) -> dict[str, Any]:
        """Wait until a row has an end state, and give it; an ended row is due no more."""
        until(lambda: self.row(job)["status"] != "POLLING", seconds)
        row = self.row(job)
        assert row.keys().isdisjoint({"dueShard", "nextPollAt", "pendingAnswer"}), row
        return row

    def answers(self, job: AddedJob) -> list[str]:
        """Give the operations of the answers that had effect."""
        return [answer.operation for answer in self.aws.ledger[job.token]]

    def ticks(self, daemon: Daemon, more: int = 2) -> list[dict[str, Any]]:
        """Wait until a daemon has ended so many further ticks, and give those."""
        seen = len(daemon.events("tick.finished"))
        until(lambda: len(daemon.events("tick.finished")) >= seen + more, 30)
        return daemon.events("tick.finished")[seen:]

    def counted(self, *daemons: Daemon) -> Counter[str]:
        """Give the figures of all ticks together: a poll counts in the tick after which it has ended."""
        counted = Counter[str]()
        for tick in (tick for daemon in daemons for tick in daemon.events("tick.finished")):
            counted.update({name: held for name, held in tick.items() if type(held) is int})
        return counted

    def complaints(self, *daemons: Daemon) -> list[dict[str, Any]]:
        """Give what daemons have complained of, beside ticks that take longer than the short interval of tests."""
        lines = [line for daemon in daemons or self.daemons for line in daemon.lines()]
        return [line for line in lines if line["level"] not in {"debug", "info"} and line["event"] != "tick.skipped"]

    def texts(self) -> str:
        """Give all that any process has written, on either stream."""
        return "\n".join(path.read_text("utf-8", "replace") for path in sorted(self._folder.iterdir()))

    def assert_no_token_shown(self) -> None:
        """Look for every token in all that was written."""
        texts = self.texts()
        assert [token[:20] for token in self._tokens if len(token) > 20 and token in texts] == []


def _attribute(value: Any) -> Any:
    raw = isinstance(value, dict) and len(value) == 1 and next(iter(value)) in {"S", "N", "BOOL", "M", "L", "NULL", "B"}
    return value if raw else to_attribute(value)


def _dying_at(failpoint: str | None) -> dict[str, str]:
    return {VARIABLE: failpoint} if failpoint else {}


async def _make_table(dynamodb_url: str, name: str) -> None:
    make: Any = aioboto3.Session(**_ACCESS).client
    async with make("dynamodb", endpoint_url=dynamodb_url) as client:
        clients = cast("AdminClients", SimpleNamespace(dynamodb=client))  # making the other clients would take longer
        await deploy.deploy_table(clients, name, indexed=True)
