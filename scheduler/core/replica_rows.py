"""The rows by which replicas see that each other live: their form in the token table, which no poll ever takes up."""

from dataclasses import dataclass
from typing import Any

from scheduler.core.attributes import Item, to_attribute
from scheduler.core.instant import Instant

PREFIX = "replica#"
SHARD = -1
"""The partition of the index `due` in which they are found by one query; no job belongs to it."""
_KEPT_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Beat:
    """What a replica says of itself with a beat: `at` is its own clock's, and only tells one beat from the next."""

    name: str
    at: Instant
    held: int = 0
    lagging: bool = False
    program: str = ""
    knows: str = ""
    """Which sources it knows besides the default one, as a text that says no more than whether others know the same."""


def beat_parameters(table: str, beat: Beat) -> dict[str, Any]:
    """Give the UpdateItem of a beat. It has no `status`, so that no query, scan or sweep takes it for a job's row."""
    values = {
        ":shard": SHARD,
        ":at": beat.at,
        ":held": beat.held,
        ":lagging": beat.lagging,
        ":program": beat.program,
        ":purge": beat.at // 1000 + _KEPT_SECONDS,
        ":knows": beat.knows,
    }
    return {
        "TableName": table,
        "Key": {"jobId": {"S": PREFIX + beat.name}},
        "UpdateExpression": (
            "SET dueShard = :shard, nextPollAt = :at, held = :held, lagging = :lagging, program = :program,"
            " purgeAt = :purge, knows = :knows"
        ),
        "ExpressionAttributeValues": {name: to_attribute(value) for name, value in values.items()},
    }


def forget_parameters(table: str, name: str, at: Instant) -> dict[str, Any]:
    """Give the UpdateItem that takes a replica's row out of the index, unless it has beaten again since."""
    return {
        "TableName": table,
        "Key": {"jobId": {"S": PREFIX + name}},
        "UpdateExpression": "REMOVE dueShard",
        "ConditionExpression": "nextPollAt = :at",
        "ExpressionAttributeValues": {":at": to_attribute(at)},
    }


def read_beat(item: Item) -> Beat | None:
    """Read a replica's row; None where it is none that can be understood, or a job's row of an odd shard."""
    job_id = item["jobId"]["S"]
    if not job_id.startswith(PREFIX) or "status" in item:
        return None
    try:
        return Beat(
            job_id.removeprefix(PREFIX),
            int(item["nextPollAt"]["N"]),
            int(item.get("held", {}).get("N", "0")),
            item.get("lagging", {}).get("BOOL") is True,
            item.get("program", {}).get("S", ""),
            item.get("knows", {}).get("S", ""),
        )
    except (KeyError, ValueError):
        return None
