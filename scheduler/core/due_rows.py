"""Finding due rows: the requests that DynamoDB is asked."""

from collections.abc import Iterable
from typing import Any

from scheduler.core.attributes import Attribute
from scheduler.core.states import POLLING


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
        values |= {":first": {"N": "0"}, ":last": {"N": str(stray_shards - 1)}}
        conditions.append(
            "(attribute_not_exists(#next) OR attribute_not_exists(#shard) OR NOT (#shard BETWEEN :first AND :last))"
        )
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


def keys(job_ids: Iterable[str]) -> list[dict[str, Attribute]]:
    """Give the keys of token rows."""
    return [{"jobId": {"S": job_id}} for job_id in job_ids]
