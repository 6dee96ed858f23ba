"""Finding due rows: the requests that DynamoDB is asked."""

from collections.abc import Iterable
from typing import Any

from scheduler.core.attributes import Attribute
from scheduler.core.states import POLLING

_MOST_IN = 100  # operands that one IN of DynamoDB takes


def find_parameters(table: str, now: int, stray_shards: int | None = None) -> dict[str, Any]:
    """Give the Scan that finds due rows; with `stray_shards`, only those that no query of so many shards can find."""
    names = {"#status": "status", "#next": "nextPollAt"}
    values: dict[str, Attribute] = {":polling": {"S": POLLING}, ":now": {"N": str(now)}, ":number": {"S": "N"}}
    # A nextPollAt of another type would never compare, and its row never be found.
    conditions = [
        "#status = :polling",
        "(attribute_not_exists(#next) OR #next <= :now OR NOT attribute_type(#next, :number))",
    ]
    if stray_shards is not None:
        names["#shard"] = "dueShard"
        # Each by name: a shard of 1.5 lies between two of them, and no query asks for it.
        shards = [f":shard{shard}" for shard in range(stray_shards)]
        values |= {name: {"N": str(shard)} for shard, name in enumerate(shards)}
        known = " OR ".join(
            f"#shard IN ({', '.join(some)})"
            for some in (shards[at : at + _MOST_IN] for at in range(0, stray_shards, _MOST_IN))
        )
        # An index that was made later than the row leaves out a time of another type in silence.
        timeless = "attribute_not_exists(#next) OR NOT attribute_type(#next, :number)"
        conditions.append(f"({timeless} OR attribute_not_exists(#shard) OR NOT ({known}))")
    return {
        "TableName": table,
        "FilterExpression": " AND ".join(conditions),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


def shard_parameters(table: str, index: str, shard: int, now: int) -> dict[str, Any]:
    """Give the Query that finds the ids of one shard's due rows, the longest due first."""
    return {
        "TableName": table,
        "IndexName": index,
        "KeyConditionExpression": "#shard = :shard AND #next <= :now",
        "ExpressionAttributeNames": {"#shard": "dueShard", "#next": "nextPollAt"},
        "ExpressionAttributeValues": {":shard": {"N": str(shard)}, ":now": {"N": str(now)}},
    }


def held_parameters(table: str, index: str, shard: int, now: int) -> dict[str, Any]:
    """Give the Query that finds the ids of one shard's rows that are not due yet: held ones are among them."""
    parameters = shard_parameters(table, index, shard, now)
    parameters["KeyConditionExpression"] = "#shard = :shard AND #next > :now"
    return parameters


def keys(job_ids: Iterable[str]) -> list[dict[str, Attribute]]:
    """Give the keys of token rows."""
    return [{"jobId": {"S": job_id}} for job_id in job_ids]
