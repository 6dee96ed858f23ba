"""How a table is set up beside its keys: on which attribute DynamoDB deletes its rows by itself."""

from typing import TYPE_CHECKING, Any

from scheduler.aws.sdk_errors import translated

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

PURGE_AT = "purgeAt"
"""The attribute by which ended rows are to be deleted; a waiting row never has it."""
_ON = frozenset({"ENABLED", "ENABLING"})


async def ttl_attribute(client: "DynamoDBClient", table: str) -> str | None:
    """Give the attribute that a table's TTL is on; None where it is off. Raises MissingError or CloudError."""
    with translated("table", table):
        held: Any = (await client.describe_time_to_live(TableName=table))["TimeToLiveDescription"]
    return held.get("AttributeName") if held.get("TimeToLiveStatus") in _ON else None


def ttl_told(attribute: str | None) -> str:
    """Tell what a token table's TTL does to its rows."""
    if attribute == PURGE_AT:
        return f"on {PURGE_AT}: ended rows are deleted after their retention"
    if attribute is None:
        return "off: ended rows are never deleted; `callback-scheduler deploy` turns it on"
    return f"on {attribute}, not on {PURGE_AT}: ended rows stay, and a waiting one that has {attribute} may be deleted"
