"""The token row of one waiting task: created once, and given a newer token where the same state is tried again.

A token takes the place of another one only where both are of the same entry into the same state, and it is of the later
attempt. On AWS each attempt has a token of its own, and the older one is dead; nobody else's is ever replaced.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from job_request import Entry, Request
from scheduler.core.attributes import Item, to_attribute
from scheduler.core.instant import Instant, format_iso
from scheduler.core.service_calls import CONDITION_FAILED
from scheduler.core.states import POLLING, EndState
from scheduler.core.token_row import due_shard

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_TRIES = 5  # of a write that meets a row which has changed since it was read
_UNANSWERED = frozenset({POLLING, EndState.CLOSED.value})
"""A row that waits; and one whose older token a poller found closed before the newer one came."""
_OF_THE_TASK = ("taskToken", "entry", "expiresAt", "status", "nextPollAt", "dueShard")
_OF_THE_OLDER_TASK = ("claimId", "heldBy", "completedAt", "purgeAt")


class TokenConflictError(Exception):
    """Another task waits for this job; its token is never replaced."""


class UnsettledError(Exception):
    """The row changes faster than it can be written."""


class _Held(Enum):
    """What the row that a job has already is to the task that asks."""

    OURS = auto()
    OLDER = auto()
    """An earlier attempt of the same entry waited in it, and nobody has answered."""
    SPENT = auto()
    """The job had its end in an earlier attempt, or is somebody's who entered alike: the task needs another job."""


@dataclass(frozen=True, slots=True)
class WaitingRows:
    """The rows in the token table."""

    dynamodb: "DynamoDBClient"
    table: str
    shards: int

    def wait(self, job_id: str, request: Request, now: Instant) -> bool:
        """Let a job's row hold the token of the task that asks; False where the task needs another job.

        Raises TokenConflictError, UnsettledError and the SDK's errors.
        """
        row = self._row(job_id, request, now)
        if self._create(row):
            return True
        for _ in range(_TRIES):
            key = {"jobId": row["jobId"]}
            item = self.dynamodb.get_item(TableName=self.table, Key=key, ConsistentRead=True).get("Item", {})
            match _held(job_id, item, request):
                case _Held.OURS:
                    return True
                case _Held.SPENT:
                    return False
            if self._replace(row, item):
                return True
        message = f"the row of job {job_id} changes faster than it can be written"
        raise UnsettledError(message)

    def _row(self, job_id: str, request: Request, now: Instant) -> dict[str, Any]:
        """Give a token row as it is created: due at once, so that the next tick finds it."""
        config, entry = request.config, request.entry
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
            "dueShard": due_shard(job_id, self.shards),
        }
        if config.interval_seconds is not None:
            row["intervalSeconds"] = config.interval_seconds
        if config.heartbeat:
            row["heartbeat"] = True
        if entry is not None:
            row["entry"] = entry.text()
        return {name: to_attribute(value) for name, value in row.items()}

    def _create(self, row: dict[str, Any]) -> bool:
        return _condition_holds(
            lambda: self.dynamodb.put_item(
                TableName=self.table, Item=row, ConditionExpression="attribute_not_exists(jobId)"
            )
        )

    def _replace(self, row: dict[str, Any], held: Item) -> bool:
        """Give a row the newer token, as long as nobody has touched what was judged.

        The job is the same one, so the checks that were made of it count. The task is new, and waits until its own
        `expiresAt`. The claim goes: whoever polls the row right now holds the older token, and may keep nothing in it.
        """
        sets = [f"#{name} = :{name}" for name in _OF_THE_TASK]
        sets.append("#version = if_not_exists(#version, :zero) + :one")
        removes = [f"#{name}" for name in _OF_THE_OLDER_TASK]
        values: Any = {f":{name}": row[name] for name in _OF_THE_TASK}
        values |= {":zero": {"N": "0"}, ":one": {"N": "1"}}
        values |= {":held_status": held["status"], ":held_entry": held["entry"]}
        return _condition_holds(
            lambda: self.dynamodb.update_item(
                TableName=self.table,
                Key={"jobId": row["jobId"]},
                UpdateExpression=f"SET {', '.join(sets)} REMOVE {', '.join(removes)}",
                ConditionExpression="#status = :held_status AND #entry = :held_entry",
                ExpressionAttributeNames={f"#{name}": name for name in ("version", *_OF_THE_TASK, *_OF_THE_OLDER_TASK)},
                ExpressionAttributeValues=values,
            )
        )


def _held(job_id: str, item: Item, request: Request) -> _Held:
    same_token = item.get("taskToken") == {"S": request.token.reveal()}
    held, asked = Entry.of(item.get("entry", {}).get("S", "")), request.entry
    if held is None or asked is None or held.key != asked.key:
        if same_token:
            return _Held.OURS
        message = f"another task waits for job {job_id} already, and its token is never replaced"
        raise TokenConflictError(message)
    if held.retry > asked.retry:
        message = f"a later attempt waits for job {job_id} already, and its token is never replaced"
        raise TokenConflictError(message)
    if held.retry == asked.retry:
        return _Held.OURS if same_token else _Held.SPENT
    return _Held.OLDER if item.get("status", {}).get("S") in _UNANSWERED else _Held.SPENT


def _condition_holds(write: Callable[[], object]) -> bool:
    try:
        write()
    except ClientError as error:
        if error.response["Error"]["Code"] != CONDITION_FAILED:
            raise
        return False
    return True
