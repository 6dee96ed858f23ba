"""Using a cloud as people do: through the command line, as real processes, and through AWS's own API."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from scheduler.core.attributes import from_item
from scheduler.core.replica_rows import PREFIX
from tests.backends import local_environment

COMMAND = str(Path(sys.executable).with_name("callback-scheduler"))
OURS = ("version", "nextPollAt", "dueShard", "intervalSeconds", "heartbeat")


def until(look: Callable[[], Any], seconds: float = 60) -> Any:
    """Look until there is something to see, and give it."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return seen


class Daemon:
    """A daemon that runs as a process of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: Path) -> None:
        self.process = process
        self._output = output

    def lines(self) -> list[dict[str, Any]]:
        """Give what it has logged; every line must be a JSON object."""
        lines = [json.loads(line) for line in self._output.read_text("utf-8").splitlines()]
        assert all(isinstance(line, dict) for line in lines)
        return lines

    def events(self, name: str) -> list[dict[str, Any]]:
        """Give the lines of one event."""
        return [line for line in self.lines() if line["event"] == name]

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """Ask it whether it is ready: HTTP's status and the reply."""
        (started,) = until(lambda: self.events("scheduler.started"))
        url = f"http://127.0.0.1:{started['http_port']}/readyz"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, json.load(refusal)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 30) -> int:
        """Signal it and give its exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


class Cloud:
    """A cloud, and the names of what this run of the tests deployed on it."""

    def __init__(self, endpoint: str, prefix: str) -> None:
        self.endpoint = endpoint
        self.token_table = f"{prefix}-tokens"
        self.jobs_table = f"{prefix}-jobs"
        self.simulated_api = f"{prefix}-simulated-api"
        self.create_job = f"{prefix}-create-job"
        self.poller = f"{prefix}-poller"
        self.state_machine = f"{prefix}-workflow"
        self.environment = local_environment(endpoint) | {
            "SCHEDULER_TOKEN_TABLE": self.token_table,
            "SCHEDULER_JOBS_TABLE": self.jobs_table,
            "SCHEDULER_SOURCE_FUNCTION": self.simulated_api,
            "SCHEDULER_SIMULATED_API_FUNCTION": self.simulated_api,
            "SCHEDULER_CREATE_JOB_FUNCTION": self.create_job,
            "SCHEDULER_POLLER_FUNCTION": self.poller,
            "SCHEDULER_STATE_MACHINE": self.state_machine,
            "SCHEDULER_INTERVAL_SECONDS": "1",
            "SCHEDULER_HTTP_PORT": "0",
        }
        local: Any = {
            "endpoint_url": endpoint,
            "region_name": "us-east-1",
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
        }
        self.dynamodb = boto3.client("dynamodb", **local)
        self.states = boto3.client("stepfunctions", **local)
        self.functions = boto3.client("lambda", **local)

    def run(self, *arguments: str, given: str = "", **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            [COMMAND, *arguments],
            env=self.environment | settings,
            input=given,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    def succeed(self, *arguments: str, given: str = "", **settings: str) -> str:
        """Run a command that must succeed, and give what it prints."""
        done = self.run(*arguments, given=given, **settings)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    @contextmanager
    def daemon(self, output: Path, **settings: str) -> Iterator[Daemon]:
        """Run the daemon; it is killed at the end where it has not stopped by then."""
        with output.open("wb") as log, output.with_suffix(".err").open("wb") as errors:
            process = subprocess.Popen(
                [COMMAND, "run"], env=self.environment | settings, stdout=log, stderr=errors, stdin=subprocess.DEVNULL
            )
            try:
                yield Daemon(process, output)
            finally:
                process.kill()
                process.wait(10)

    def start(self, *inputs: dict[str, Any]) -> list[str]:
        """Start executions and wait until each has its token row; gives their ARNs."""
        arn = f"arn:aws:states:us-east-1:000000000000:stateMachine:{self.state_machine}"
        arns = [
            self.states.start_execution(stateMachineArn=arn, input=json.dumps(given))["executionArn"]
            for given in inputs
        ]
        until(lambda: {row["executionId"] for row in self.rows()} >= set(arns))
        return arns

    def outcome(self, arn: str) -> Any:
        """Give an execution's output once it has ended."""

        def output() -> Any:
            held = self.states.describe_execution(executionArn=arn)
            assert held["status"] in {"RUNNING", "SUCCEEDED"}, held
            return json.loads(held["output"]) if held["status"] == "SUCCEEDED" else None

        return until(output)

    def rows(self) -> list[dict[str, Any]]:
        """Give all token rows, without those by which replicas see each other."""
        return [row for row in self._items(self.token_table) if not row["jobId"].startswith(PREFIX)]

    def jobs(self) -> list[dict[str, Any]]:
        """Give all jobs of the simulated API."""
        return self._items(self.jobs_table)

    def strip_rows(self) -> None:
        """Leave in each token row only what a creator writes who knows the first block of attributes."""
        for row in self.rows():
            self.dynamodb.update_item(
                TableName=self.token_table,
                Key={"jobId": {"S": row["jobId"]}},
                UpdateExpression=f"REMOVE {', '.join(OURS)}",
            )

    def put_row(self, job_id: str, **more: Any) -> None:
        """Write a token row of a foreign creator, for a task that nobody waits for."""
        item = {
            "jobId": {"S": job_id},
            "taskToken": {"S": f"no such token {job_id}"},
            "executionId": {"S": "arn:aws:states:us-east-1:000000000000:execution:none:none"},
            "createdAt": {"S": "2026-01-01T00:00:00Z"},
            "expiresAt": {"S": "2099-01-01T00:00:00Z"},
            "attemptCount": {"N": "0"},
            "maxAttempts": {"N": "10"},
            "status": {"S": "POLLING"},
        }
        self.dynamodb.put_item(TableName=self.token_table, Item=item | more)

    def make_job(self, **payload: Any) -> str:
        """Make a job at the simulated API and give its id."""
        reply = self.functions.invoke(
            FunctionName=self.simulated_api, Payload=json.dumps({"action": "CREATE_JOB", "payload": payload})
        )
        job_id: str = json.load(reply["Payload"])["jobId"]
        return job_id

    def deploy_function(self, name: str, source: Path, **environment: str) -> None:
        """Deploy a function of somebody else's, made of one file."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.write(source, "function.py")
        self.functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="function.handler",
            Role="arn:aws:iam::000000000000:role/any",
            Code={"ZipFile": packed.getvalue()},
            Timeout=30,
            Environment={"Variables": environment},
        )
        self.functions.get_waiter("function_active_v2").wait(FunctionName=name)

    def clear(self) -> None:
        """Delete every row of both tables."""
        for table in (self.token_table, self.jobs_table):
            for row in self._items(table):
                self.dynamodb.delete_item(TableName=table, Key={"jobId": {"S": row["jobId"]}})

    def _items(self, table: str) -> list[dict[str, Any]]:
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        return [from_item(item) for page in pages for item in page["Items"]]


def without_aws(environment: dict[str, str]) -> dict[str, str]:
    """Take everything of AWS and of this program out of an environment."""
    return {name: value for name, value in environment.items() if not name.startswith(("AWS_", "SCHEDULER_"))}


PLAIN = without_aws(dict(os.environ))
