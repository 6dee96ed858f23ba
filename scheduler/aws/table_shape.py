"""How a token table is made: its index, and whether the owner's own indexes can hold what polls write."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_TYPES = {
    "attemptCount": "N",
    "claimId": "S",
    "completedAt": "S",
    "dueShard": "N",
    "heldBy": "S",
    "lastError": "S",
    "lastPolledAt": "S",
    "nextPollAt": "N",
    "pendingAnswer": "M",
    "purgeAt": "N",
    "status": "S",
    "unknownChecks": "N",
    "version": "N",
}
"""What polls write, by DynamoDB's names of types. An index with another type for one of these refuses every write."""
_SERVING = frozenset({"ACTIVE", "UPDATING"})
_ARN_PARTS = 6


@dataclass(frozen=True, slots=True)
class TableShape:
    """Whether the index `due` serves, the table's region and account, and what makes the table unusable."""

    indexed: bool
    region: str | None = None
    account: str | None = None
    fault: str | None = None


def read_shape(table: Mapping[str, Any], index: str) -> TableShape:
    """Read the reply to DescribeTable."""
    types = {each["AttributeName"]: each["AttributeType"] for each in table.get("AttributeDefinitions", [])}
    indexed = any(
        each["IndexName"] == index
        and each["IndexStatus"] in _SERVING
        and [key["AttributeName"] for key in each["KeySchema"]] == ["dueShard", "nextPollAt"]
        for each in table.get("GlobalSecondaryIndexes") or []
    )
    arn = str(table.get("TableArn", "")).split(":", _ARN_PARTS - 1)
    region, account = (arn[3], arn[4]) if len(arn) == _ARN_PARTS else (None, None)
    return TableShape(indexed, region, account, next(_faults(table, types), None))


def _faults(table: Mapping[str, Any], types: Mapping[str, str]) -> Iterator[str]:
    key = [each["AttributeName"] for each in table.get("KeySchema", [])]
    if key and (key != ["jobId"] or types.get("jobId") != "S"):
        yield f"its key is {', '.join(key)}, and must be jobId as a string"
    for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        for each in table.get(kind) or []:
            for name in (key["AttributeName"] for key in each["KeySchema"]):
                wanted = _TYPES.get(name)
                if wanted and types.get(name, wanted) != wanted:
                    yield f"its index {each['IndexName']} has {name} as {types[name]}, and polls write it as {wanted}"
