"""The world of a benchmark: DynamoDB Local, the stub, tables full of rows, and daemons as real processes."""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.stub import HANGS
from scheduler.core.instant import format_iso
from scheduler.core.token_row import due_shard
from tests.backends import local_environment

ROOT = Path(__file__).parents[1]
SHARDS = 4
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = resource.getpagesize()
_ACCESS: Any = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
_WRITTEN_AT_ONCE = 25
_TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAA" + "b7K2mZ9x" * 75  # as long as those of AWS usually are


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon of some version that runs."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def cpu(self) -> float:
        """Give the seconds of CPU that it has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> int:
        """Give the bytes of memory that it has now."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text("ascii").split()[1]) * _PAGE

    def events(self, name: str) -> list[dict[str, Any]]:
        """Give the lines of its log of one name."""
        lines = map(json.loads, self.log.read_text("utf-8").splitlines())
        return [line for line in lines if line["event"] == name]

    def stop(self, seconds: float = 60) -> int:
        """Let it drain; gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


def item(number: int, now: int, interval: float, due_in: float = 0.0, prefix: str = "job") -> dict[str, Any]:
    """Give a row that waits, due now or in some seconds; where the prefix is that of a source, it names that."""
    job_id = f"{prefix}-{number:07}"
    named: dict[str, Any] = {"source": {"S": prefix}} if prefix == HANGS else {}
    return named | {
        "jobId": {"S": job_id},
        "taskToken": {"S": f"{_TOKEN}{number}"},
        "executionId": {"S": f"arn:aws:states:us-east-1:000000000000:execution:bench:{number:032x}"},
        "createdAt": {"S": format_iso(now)},
        "expiresAt": {"S": format_iso(now + 86_400_000)},
        "attemptCount": {"N": "0"},
        "maxAttempts": {"N": "1000000"},
        "status": {"S": "POLLING"},
        "version": {"N": "0"},
        "intervalSeconds": {"N": f"{interval:g}"},
        "nextPollAt": {"N": str(now + round(due_in * 1000))},
        "dueShard": {"N": str(due_shard(job_id, SHARDS))},
    }


class World:
    """DynamoDB behind a stub of its own: what the stub counts is of this world's daemons alone."""

    def __init__(self, dynamodb_url: str, own: str, way: str) -> None:
        self._stub = own
        self.dynamodb = boto3.client(
            "dynamodb", endpoint_url=dynamodb_url, config=Config(max_pool_connections=16), **_ACCESS
        )
        self.environment = local_environment(own) | {"AWS_ENDPOINT_URL_DYNAMODB": way, "SCHEDULER_HTTP_PORT": "0"}

    @classmethod
    @contextmanager
    def behind(cls, dynamodb_url: str) -> "Iterator[World]":
        """Run a stub in front of a DynamoDB."""
        command = [sys.executable, "-m", "benchmarks.stub", "--dynamodb-url", dynamodb_url]
        stub = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)  # noqa: S603
        try:
            assert stub.stdout  # noqa: S101  for the type
            yield cls(dynamodb_url, *stub.stdout.readline().decode().split())
        finally:
            stub.kill()
            stub.wait()

    def table(self, name: str) -> str:
        """Make a table with the index."""
        name = f"{name}-{uuid.uuid4().hex[:8]}"
        self.dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "jobId", "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": "jobId", "AttributeType": "S"},
                {"AttributeName": "dueShard", "AttributeType": "N"},
                {"AttributeName": "nextPollAt", "AttributeType": "N"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "due",
                    "KeySchema": [
                        {"AttributeName": "dueShard", "KeyType": "HASH"},
                        {"AttributeName": "nextPollAt", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        return name

    def fill(self, table: str, rows: int, interval: float, due_in: float = 0.0, prefix: str = "job") -> None:
        """Write rows that wait, due now or in some seconds."""
        now = round(time.time() * 1000)

        def row(number: int) -> dict[str, Any]:
            return item(number, now, interval, due_in, prefix)

        def write(first: int) -> None:
            some = range(first, min(first + _WRITTEN_AT_ONCE, rows))
            self.dynamodb.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": row(n)}} for n in some]})

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(write, range(0, rows, _WRITTEN_AT_ONCE)))

    def held(self, table: str) -> int:
        """Count the rows that a replica holds."""
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=table, FilterExpression="attribute_exists(heldBy)", Select="COUNT", ConsistentRead=True
        )
        return sum(page["Count"] for page in pages)

    @contextmanager
    def daemon(self, table: str, *, tree: Path = ROOT, **settings: str) -> Iterator[Daemon]:
        """Run the daemon of a tree of sources; it is killed at the end where it has not stopped by then."""
        environment = self.environment | {"PYTHONPATH": str(tree), "SCHEDULER_TOKEN_TABLE": table} | settings
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "daemon.jsonl"
            with log.open("wb") as output:
                command = [sys.executable, "-m", "scheduler", "run"]
                process = subprocess.Popen(command, env=environment, stdout=output, cwd=folder)  # noqa: S603
                try:
                    yield Daemon(process, log)
                finally:
                    process.kill()
                    process.wait()

    def reset(self, delay: float = 0.0) -> None:
        """Let the stub forget all, and take so long for each check from now on."""
        self._ask(f"/_reset?delay={delay}")

    def stats(self, interval: float, prefix: str = "") -> Any:
        """Give what the stub has seen since, of jobs whose ids begin so."""
        return self._ask(f"/_stats?interval={interval}&prefix={prefix}")

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(self._stub + path) as reply:  # noqa: S310  the stub's own address
            return json.load(reply)


def until(happened: Callable[[], bool], seconds: float = 60, every: float = 0.05) -> float:
    """Wait until something has happened; gives the seconds that it took. Raises TimeoutError."""
    started = time.monotonic()
    while not happened():
        if time.monotonic() - started > seconds:
            message = f"it had not happened within {seconds:g} s"
            raise TimeoutError(message)
        time.sleep(every)
    return time.monotonic() - started


def older(commit: str, folder: Path) -> Path:
    """Give the tree of an older version."""
    packed = subprocess.run(  # noqa: S603
        ["git", "archive", commit],  # noqa: S607
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed, check=True)  # noqa: S603, S607
    return folder
