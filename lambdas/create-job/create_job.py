"""Creates the job of one waiting task, and the token row by which a poller finds it.

Both steps are safe to repeat with the same token: the job's idempotency key comes from the token, and the row is
only ever created. Raising ends the waiting state at once, so whatever is wrong here is raised. The token itself goes
into the row and nowhere else.
"""

import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from scheduler.core.attributes import to_attribute
from scheduler.core.instant import Instant, format_iso
from scheduler.core.service_calls import CONDITION_FAILED
from scheduler.core.states import POLLING
from scheduler.core.token import MAX_LENGTH, TaskToken
from scheduler.core.token_row import due_shard

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient

_DAY_SECONDS = 86_400
_YEAR_SECONDS = 31_536_000  # the longest that an execution of Step Functions may last
_LEAST_INTERVAL_SECONDS = 0.1
_LONGEST_TIMEOUT_SECONDS = 99_999_999  # of a state's TimeoutSeconds
_MOST_ATTEMPTS = 1_000_000
_DEFAULT_ATTEMPTS, _DEFAULT_TIMEOUT_MINUTES = 10, 15
_SHOWN = 300  # characters of somebody else's error that go into ours


class JobCreationError(Exception):
    """The job could not be created."""


class TokenConflictError(Exception):
    """Another task waits for this job; its token is never replaced."""


@dataclass(frozen=True, slots=True)
class PollingConfig:
    """How a job is polled; without an interval, as often as the poller's settings say."""

    interval_seconds: float | None
    max_attempts: int
    timeout_seconds: float
    heartbeat: bool


@dataclass(frozen=True, slots=True)
class Request:
    """What the state machine asks for."""

    token: TaskToken
    execution_id: str
    record: Mapping[str, Any]
    config: PollingConfig


@dataclass(frozen=True, slots=True)
class JobCreator:
    """Creates jobs at the simulated API and their rows in the token table."""

    dynamodb: "DynamoDBClient"
    functions: "LambdaClient"
    table: str
    api_function: str
    shards: int
    clock: Callable[[], Instant]

    def create(self, event: Any) -> dict[str, Any]:
        """Create the job and the row that an event asks for; raises ValueError where it cannot be understood."""
        request = read_request(event)
        job_id = self._create_job(request)
        item = new_row(job_id, request, self.shards, self.clock())
        try:
            self.dynamodb.put_item(TableName=self.table, Item=item, ConditionExpression="attribute_not_exists(jobId)")
        except ClientError as error:
            if error.response["Error"]["Code"] != CONDITION_FAILED:
                raise
            self._require_same_token(job_id, request.token)
        return {"jobId": job_id, "status": "WAITING"}

    def _create_job(self, request: Request) -> str:
        data = request.record.get("data", {})
        payload = {
            **(data if isinstance(data, dict) else {"data": data}),
            "recordId": request.record["id"],
            "idempotencyKey": hashlib.sha256(request.token.reveal().encode()).hexdigest(),
        }
        asked = json.dumps({"action": "CREATE_JOB", "payload": payload}).encode()
        reply = self.functions.invoke(FunctionName=self.api_function, Payload=asked)
        body = reply["Payload"].read()
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        match answer:
            case {"jobId": str(job_id)} if job_id and "FunctionError" not in reply:
                return job_id
        message = f"{self.api_function} created no job; it replied {body[:_SHOWN].decode(errors='replace')}"
        raise JobCreationError(message)

    def _require_same_token(self, job_id: str, token: TaskToken) -> None:
        row = self.dynamodb.get_item(TableName=self.table, Key={"jobId": {"S": job_id}}, ConsistentRead=True)
        held = row.get("Item", {}).get("taskToken", {}).get("S", "")
        if held != token.reveal():
            message = f"another task waits for job {job_id} already, and its token is never replaced"
            raise TokenConflictError(message)


def new_row(job_id: str, request: Request, shards: int, now: Instant) -> dict[str, Any]:
    """Give a token row as it is created: due at once, so that the next tick finds it."""
    config = request.config
    row: dict[str, Any] = {
        "jobId": job_id,
        "taskToken": request.token.reveal(),
        "executionId": request.execution_id,
        "createdAt": format_iso(now),
        "expiresAt": format_iso(now + round(config.timeout_seconds * 1000)),
        "attemptCount": 0,
        "maxAttempts": config.max_attempts,
        "status": POLLING,
        "nextPollAt": now,
        "version": 0,
        "dueShard": due_shard(job_id, shards),
    }
    if config.interval_seconds is not None:
        row["intervalSeconds"] = config.interval_seconds
    if config.heartbeat:
        row["heartbeat"] = True
    return {name: to_attribute(value) for name, value in row.items()}


def read_request(event: Any) -> Request:
    """Read an event; raises ValueError, which names the part that is wrong and never shows the token."""
    asked = _object(event, "the event")
    token = asked.get("taskToken")
    if not isinstance(token, str) or not 0 < len(token) <= MAX_LENGTH:
        message = f"taskToken must be a string of 1 to {MAX_LENGTH} characters"
        raise ValueError(message)
    execution_id = asked.get("executionId")
    if not isinstance(execution_id, str) or not execution_id:
        message = "executionId must be a non-empty string"
        raise ValueError(message)
    record = _object(asked.get("record"), "record")
    record_id = record.get("id")
    if isinstance(record_id, bool) or not isinstance(record_id, str | int) or record_id == "":
        message = "record.id must be a non-empty string or a whole number"
        raise ValueError(message)
    config = _read_config(_object(asked.get("pollingConfig", {}), "pollingConfig"), asked.get("timeoutSeconds"))
    return Request(TaskToken(token), execution_id, record, config)


def _read_config(config: Mapping[str, Any], state_timeout: Any) -> PollingConfig:
    interval: float | None = None
    # The state machine's default intervalMinutes stands beside a given intervalSeconds, which therefore wins.
    if "intervalSeconds" in config:
        interval = _number(config["intervalSeconds"], "intervalSeconds", _LEAST_INTERVAL_SECONDS, _DAY_SECONDS)
    elif "intervalMinutes" in config:
        minutes = config["intervalMinutes"]
        interval = 60 * _number(minutes, "intervalMinutes", _LEAST_INTERVAL_SECONDS / 60, _DAY_SECONDS / 60)
    minutes = config.get("timeoutMinutes", _DEFAULT_TIMEOUT_MINUTES)
    timeout = 60 * _number(minutes, "timeoutMinutes", 0.01, _YEAR_SECONDS / 60)
    if state_timeout is not None:
        # Past the state's own time-out nobody waits for an answer.
        timeout = min(timeout, _whole(state_timeout, "timeoutSeconds", 1, _LONGEST_TIMEOUT_SECONDS, prefix=""))
    heartbeat = config.get("heartbeat", False)
    if not isinstance(heartbeat, bool):
        message = f"pollingConfig.heartbeat must be true or false, not {heartbeat!r:.50}"
        raise ValueError(message)  # noqa: TRY004 - one kind of error for whatever is wrong with the event
    attempts = _whole(config.get("maxAttempts", _DEFAULT_ATTEMPTS), "maxAttempts", 1, _MOST_ATTEMPTS)
    return PollingConfig(interval, attempts, timeout, heartbeat)


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        message = f"{name} must be an object"
        raise ValueError(message)  # noqa: TRY004 - one kind of error for whatever is wrong with the event
    return value


def _number(value: Any, name: str, least: float, most: float) -> float:
    # NaN is JSON to Python, and fails the comparison as it should.
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        message = f"pollingConfig.{name} must be a number from {least:g} to {most:g}, not {value!r:.50}"
        raise ValueError(message)
    return value


def _whole(value: Any, name: str, least: int, most: int, prefix: str = "pollingConfig.") -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        message = f"{prefix}{name} must be a whole number from {least} to {most}, not {value!r:.50}"
        raise ValueError(message)
    return value


@functools.cache
def _creator() -> JobCreator:
    # Every call may be repeated, the invocation too: the simulated API knows the idempotency key.
    retries: Any = {"mode": "standard", "total_max_attempts": 3}
    return JobCreator(
        dynamodb=boto3.client("dynamodb", config=Config(connect_timeout=2, read_timeout=4, retries=retries)),
        # Long enough for the cold start of a function in an emulator's container.
        functions=boto3.client("lambda", config=Config(connect_timeout=2, read_timeout=15, retries=retries)),
        table=os.environ.get("SCHEDULER_TOKEN_TABLE", "poc-task-tokens"),
        api_function=os.environ.get("SCHEDULER_SIMULATED_API_FUNCTION", "poc-simulated-api"),
        shards=int(os.environ.get("SCHEDULER_SHARDS", "4")),
        clock=lambda: time.time_ns() // 1_000_000,
    )


def handler(event: Any, context: object) -> dict[str, Any]:
    """Create the job and the token row of one waiting task; see `read_request` for the event."""
    del context
    return _creator().create(event)
