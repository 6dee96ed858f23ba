"""Deploying tables: created, or given what they lack; nothing of theirs is ever taken away or changed."""

from typing import Any

from botocore.exceptions import ClientError

from scheduler.aws.clients import AdminClients
from scheduler.aws.deployed import Deployed
from scheduler.aws.sdk_errors import is_missing, translated
from scheduler.aws.time_to_live import PURGE_AT, ttl_attribute, ttl_told
from scheduler.aws.token_table import INDEX
from scheduler.aws.usable import until_usable
from scheduler.core.service_calls import call_error
from scheduler.errors import CloudError


async def deploy_table(clients: AdminClients, name: str, *, indexed: bool) -> Deployed:
    """Create a table keyed by jobId, or add what it lacks, and wait for it. Raises CloudError.

    A token table is `indexed`: it gets the index `due`, and TTL where it has none yet.
    """
    changes = []
    with translated("table", name):
        try:
            table: Any = (await clients.dynamodb.describe_table(TableName=name))["Table"]
        except ClientError as error:
            if not is_missing(error):
                raise
            table = None
            await _create(clients, name, indexed=indexed)
        else:
            if [key["AttributeName"] for key in table["KeySchema"]] != ["jobId"]:
                message = f"table {name} exists with another key than jobId; name another one"
                raise CloudError(message)
            held = {index["IndexName"] for index in table.get("GlobalSecondaryIndexes", [])}
            if indexed and INDEX not in held:
                await _add_index(clients, table)
                changes.append(f"index {INDEX}")

        async def usable() -> bool:
            table: Any = (await clients.dynamodb.describe_table(TableName=name))["Table"]
            states = [table["TableStatus"], *(i["IndexStatus"] for i in table.get("GlobalSecondaryIndexes", []))]
            return set(states) == {"ACTIVE"}

        await until_usable(usable, f"table {name}")
        amiss = None
        if indexed:
            turned_on, amiss = await _turn_on_purging(clients, name)
            changes += turned_on
    if table is None:
        return Deployed("table", name, "created", amiss)
    return Deployed.found("table", name, changes, amiss)


def _attributes(*, indexed: bool) -> list[Any]:
    numbers = ("dueShard", "nextPollAt") if indexed else ()
    return [
        {"AttributeName": "jobId", "AttributeType": "S"},
        *({"AttributeName": name, "AttributeType": "N"} for name in numbers),
    ]


def _index() -> dict[str, Any]:
    return {
        "IndexName": INDEX,
        "KeySchema": [
            {"AttributeName": "dueShard", "KeyType": "HASH"},
            {"AttributeName": "nextPollAt", "KeyType": "RANGE"},
        ],
        # Keys only: the index is written with every claim, and the token has no place in a second copy.
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }


async def _create(clients: AdminClients, name: str, *, indexed: bool) -> None:
    more: Any = {"GlobalSecondaryIndexes": [_index()]} if indexed else {}
    await clients.dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "jobId", "KeyType": "HASH"}],
        AttributeDefinitions=_attributes(indexed=indexed),
        **more,
    )


async def _add_index(clients: AdminClients, table: Any) -> None:
    index: Any = _index()
    if table.get("BillingModeSummary", {}).get("BillingMode") != "PAY_PER_REQUEST":
        held = table["ProvisionedThroughput"]
        index["ProvisionedThroughput"] = {name: held[name] for name in ("ReadCapacityUnits", "WriteCapacityUnits")}
    await clients.dynamodb.update_table(
        TableName=table["TableName"],
        AttributeDefinitions=_attributes(indexed=True),
        GlobalSecondaryIndexUpdates=[{"Create": index}],
    )


async def _turn_on_purging(clients: AdminClients, name: str) -> tuple[list[str], str | None]:
    """Let DynamoDB delete ended rows once their purgeAt has passed; gives what was changed, and what is amiss.

    A table has one TTL: where its owner has it on another attribute, it stays there.
    """
    held = await ttl_attribute(clients.dynamodb, name)
    if held is not None:
        return [], None if held == PURGE_AT else f"TTL is {ttl_told(held)}"
    specification: Any = {"Enabled": True, "AttributeName": PURGE_AT}
    try:
        await clients.dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=specification)
    except ClientError as error:
        # DynamoDB takes one change of it an hour: one that was just turned off is not turned on again before.
        if call_error(error).code != "ValidationException":
            raise
        return [], f"TTL is off and cannot be turned on now: {call_error(error).message}"
    return [f"TTL on {PURGE_AT}"], None
