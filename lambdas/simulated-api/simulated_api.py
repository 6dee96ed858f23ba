"""The simulated API: a slow job system in one function, for trying and testing callback workflows.

A job completes after a few status checks. The payload of CREATE_JOB can ask for more: see `Options`. Whatever cannot
be understood is answered with `{"error"}`, as an API would, and never raised.
"""

import functools
import hashlib
import os
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_MOST_POLLS = 1_000
_MOST_JOBS = 100  # that can be asked for at once
_LONGEST_DELAY_SECONDS = 60.0
_LONGEST_KEY_BYTES = 2_048  # DynamoDB's quota for a partition key
_LONGEST_REASON_BYTES = 100_000  # longer than any cause that Step Functions takes, well below an item's 400 KB


class _BadRequestError(ValueError):
    """The request cannot be understood; the message is the reply."""


def handler(event: Any, context: object) -> dict[str, Any]:
    """Answer `{"action": "CREATE_JOB", "payload"}` or `{"action": "CHECK_STATUS", "jobId"}`, or `"jobIds": [...]`."""
    del context
    api = SimulatedApi(_dynamodb(), os.environ.get("SCHEDULER_JOBS_TABLE", "poc-jobs"))
    return api.answer(event)


@functools.cache
def _dynamodb() -> "DynamoDBClient":
    retries: Any = {"mode": "standard", "total_max_attempts": 3}
    return boto3.client("dynamodb", config=Config(connect_timeout=2, read_timeout=4, retries=retries))


@dataclass(frozen=True, slots=True)
class Options:
    """How a job is to behave.

    It ends at its `completion_polls`-th status check, FAILED where `fail_with` names a reason. Each check is answered
    after `delay_seconds`. The first `throttled_checks` are answered with an error and do not count. The same
    `idempotency_key` always means the same job.
    """

    completion_polls: int
    fail_with: str | None
    delay_seconds: float
    throttled_checks: int
    idempotency_key: str | None

    def job_id(self) -> str:
        """Give the id of the job: the same one for the same key."""
        if self.idempotency_key is None:
            return f"job-{uuid.uuid4().hex[:20]}"
        return f"job-{hashlib.sha256(self.idempotency_key.encode()).hexdigest()[:20]}"


@dataclass(frozen=True, slots=True)
class SimulatedApi:
    """The API over its table of jobs."""

    dynamodb: "DynamoDBClient"
    table: str
    sleep: Callable[[float], None] = time.sleep

    def answer(self, event: Any) -> dict[str, Any]:
        """Answer one request."""
        try:
            match event:
                case {"action": "CREATE_JOB"}:
                    return self._create(_read_options(event.get("payload")))
                case {"action": "CHECK_STATUS", "jobIds": job_ids} if "jobId" not in event:
                    return self._check_many(_read_job_ids(job_ids))
                case {"action": "CHECK_STATUS"}:
                    return self._check(event.get("jobId"), self.sleep)
        except _BadRequestError as error:
            return {"error": str(error)}
        action = event.get("action") if isinstance(event, dict) else None
        return {"error": f"unknown action {action!r:.50}; known are CREATE_JOB and CHECK_STATUS"}

    def _create(self, options: Options) -> dict[str, Any]:
        job_id = options.job_id()
        item: dict[str, Any] = {
            "jobId": {"S": job_id},
            "status": {"S": "IN_PROGRESS"},
            # Throttled checks count up to zero, so that one atomic ADD serves both counts.
            "pollCount": {"N": str(-options.throttled_checks)},
            "completionPolls": {"N": str(options.completion_polls)},
            "createdAt": {"S": _now()},
        }
        if options.delay_seconds:
            item["delaySeconds"] = {"N": str(options.delay_seconds)}
        if options.fail_with is not None:
            item["failWith"] = {"S": options.fail_with}
        try:
            self.dynamodb.put_item(TableName=self.table, Item=item, ConditionExpression="attribute_not_exists(jobId)")
        except ClientError as error:
            if not _condition_failed(error):
                raise
            # A repeat gets the job as it was created, whatever it asks for this time.
            item = self.dynamodb.get_item(TableName=self.table, Key=_key(job_id), ConsistentRead=True)["Item"]
        return {
            "jobId": job_id,
            "status": item["status"]["S"],
            "completionPolls": int(item["completionPolls"]["N"]),
        }

    def _check_many(self, job_ids: list[Any]) -> dict[str, Any]:
        """Check several jobs; whatever is wrong with one is its own result. All are as late as the slowest of them."""
        results, delays = [], [0.0]
        for job_id in job_ids:
            try:
                results.append(self._check(job_id, delays.append))
            except _BadRequestError as error:
                results.append({"error": str(error)})
        if max(delays):
            self.sleep(max(delays))
        return {"results": results}

    def _check(self, given: Any, delay: Callable[[float], None]) -> dict[str, Any]:
        job_id = _read_job_id(given)
        job = self._count_poll(job_id)
        poll_count, completion_polls = int(job["pollCount"]["N"]), int(job["completionPolls"]["N"])
        if poll_count <= 0:
            return {"error": "TooManyRequests: rate exceeded, try again later"}
        if "delaySeconds" in job:
            delay(float(job["delaySeconds"]["N"]))
        status: str = job["status"]["S"]
        # Counting goes on after the end, so that asking too often can be seen.
        if status == "IN_PROGRESS" and poll_count >= completion_polls:
            status = "FAILED" if "failWith" in job else "COMPLETED"
            self._end(job_id, status)
        reply = {"jobId": job_id, "status": status, "pollCount": poll_count, "completionPolls": completion_polls}
        return reply | {"reason": job["failWith"]["S"]} if status == "FAILED" else reply

    def _count_poll(self, job_id: str) -> Mapping[str, Any]:
        try:
            counted = self.dynamodb.update_item(
                TableName=self.table,
                Key=_key(job_id),
                UpdateExpression="ADD pollCount :one",
                ConditionExpression="attribute_exists(jobId)",
                ExpressionAttributeValues={":one": {"N": "1"}},
                ReturnValues="ALL_NEW",
            )
        except ClientError as error:
            if not _condition_failed(error):
                raise
            message = f"JobNotFound: there is no job {job_id!r:.100}"
            raise _BadRequestError(message) from error
        return counted["Attributes"]

    def _end(self, job_id: str, status: str) -> None:
        self.dynamodb.update_item(
            TableName=self.table,
            Key=_key(job_id),
            UpdateExpression="SET #status = :status, endedAt = :now",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":status": {"S": status}, ":now": {"S": _now()}},
        )


def _read_options(payload: Any) -> Options:
    if payload is None:
        payload = {}
    if not isinstance(payload, dict):
        message = "payload must be an object"
        raise _BadRequestError(message)
    return Options(
        completion_polls=_read_count(payload, "completionPolls", 1) or random.choice((2, 3)),
        fail_with=_read_text(payload, "failWith", _LONGEST_REASON_BYTES),
        delay_seconds=_read_delay(payload, "delaySeconds"),
        throttled_checks=_read_count(payload, "throttledChecks", 0) or 0,
        idempotency_key=_read_text(payload, "idempotencyKey", _LONGEST_KEY_BYTES),
    )


def _read_count(payload: Mapping[str, Any], name: str, least: int) -> int | None:
    value = payload.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST_POLLS:
        message = f"{name} must be a whole number from {least} to {_MOST_POLLS}"
        raise _BadRequestError(message)
    return value


def _read_delay(payload: Mapping[str, Any], name: str) -> float:
    value = payload.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_DELAY_SECONDS:
        message = f"{name} must be a number of seconds from 0 to {_LONGEST_DELAY_SECONDS:g}"
        raise _BadRequestError(message)
    return round(float(value), 3)


def _read_text(payload: Mapping[str, Any], name: str, longest: int) -> str | None:
    value = payload.get(name)
    if value is not None and not _is_text(value, longest):
        message = f"{name} must be a non-empty string of at most {longest} bytes"
        raise _BadRequestError(message)
    return value


def _read_job_ids(value: Any) -> list[Any]:
    if not isinstance(value, list) or not 0 < len(value) <= _MOST_JOBS:
        message = f"jobIds must be a list of 1 to {_MOST_JOBS} job ids"
        raise _BadRequestError(message)
    return value


def _read_job_id(value: Any) -> str:
    if not _is_text(value, _LONGEST_KEY_BYTES):
        message = f"jobId must be a non-empty string of at most {_LONGEST_KEY_BYTES} bytes"
        raise _BadRequestError(message)
    text: str = value
    return text


def _is_text(value: Any, longest: int) -> bool:
    try:
        return isinstance(value, str) and 0 < len(value.encode()) <= longest
    except UnicodeEncodeError:  # JSON can escape a lone surrogate, which DynamoDB cannot store
        return False


def _key(job_id: str) -> dict[str, Any]:
    return {"jobId": {"S": job_id}}


def _condition_failed(error: ClientError) -> bool:
    return error.response["Error"]["Code"] == "ConditionalCheckFailedException"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
