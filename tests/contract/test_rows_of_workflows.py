"""The token row that a workflow puts by itself: when it may take the place of another one."""

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scheduler.assets import asset
from scheduler.aws.clients import admin_clients
from scheduler.aws.deploy import deploy_table
from tests.contract.conftest import use_endpoint

Put = Callable[..., Awaitable[bool]]


@pytest.fixture(params=["ministack", "dynamodb_local"])
async def put(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Put]:
    """Put a row as the state does, over one that is there already; tells whether it was taken."""
    use_endpoint(monkeypatch, request.getfixturevalue(request.param))
    name = f"tokens-{uuid.uuid4().hex}"
    definition = json.loads(asset("state-machine", "without-lambda.json").read_text("utf-8"))
    said = definition["States"]["WaitForJob"]["Parameters"]
    fixed = {key: value for key, value in said["ExpressionAttributeValues"].items() if "S" in value}
    async with admin_clients() as clients:
        await deploy_table(clients, name, indexed=True)

        async def over(held: dict[str, Any] | None, entry: str, retry: int) -> bool:
            if held is not None:
                row: Any = {"jobId": "job-1", "taskToken": "theirs", "entry": "other/Wait/12:00#0"} | held
                await clients.dynamodb.put_item(TableName=name, Item={key: {"S": row[key]} for key in row})
            item: Any = {"jobId": {"S": "job-1"}, "taskToken": {"S": "mine"}, "status": {"S": "POLLING"}}
            tries = {":first": {"S": f"{entry}#0"}, ":this": {"S": f"{entry}#{retry}"}}
            try:
                await clients.dynamodb.put_item(
                    TableName=name,
                    Item=item | {"entry": tries[":this"]},
                    ConditionExpression=said["ConditionExpression"],
                    ExpressionAttributeNames=said["ExpressionAttributeNames"],
                    ExpressionAttributeValues=fixed | tries,
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                return False
            key: Any = {"jobId": {"S": "job-1"}}
            found: Any = (await clients.dynamodb.get_item(TableName=name, Key=key, ConsistentRead=True))["Item"]
            assert found["taskToken"] == {"S": "mine"}
            return True

        yield over
        await clients.dynamodb.delete_table(TableName=name)


async def test_a_job_without_a_row_gets_one(put: Put) -> None:
    assert await put(None, "me/Wait/12:00", 0)


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "MAX_ATTEMPTS", "EXPIRED", "CLOSED"])
async def test_a_row_that_is_over_is_replaced_for_the_job_may_run_again_under_its_id(put: Put, status: str) -> None:
    assert await put({"status": status}, "me/Wait/12:00", 0)


@pytest.mark.parametrize("status", ["POLLING", "QUARANTINED", "OF_A_NEWER_VERSION"])
async def test_the_token_of_another_task_that_waits_is_never_replaced(put: Put, status: str) -> None:
    assert not await put({"status": status}, "me/Wait/12:00", 0)


@pytest.mark.parametrize("earlier", ["me/Wait/12:00#0", "me/Wait/12:00#1", "me/Wait/12:00#2"])
async def test_a_later_try_of_the_same_entry_replaces_the_older_token_and_the_same_try_its_own(
    put: Put, earlier: str
) -> None:
    assert await put({"status": "POLLING", "entry": earlier}, "me/Wait/12:00", 2)


@pytest.mark.parametrize("held", ["me/Wait/12:00#3", "me/Wait/12:01#0", "me/Wait/11:59#0", "me/Wait/12:00.5#0"])
async def test_neither_a_later_tries_token_is_replaced_nor_another_entrys(put: Put, held: str) -> None:
    assert not await put({"status": "POLLING", "entry": held}, "me/Wait/12:00", 2)
