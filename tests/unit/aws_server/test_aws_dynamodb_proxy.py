"""A real DynamoDB behind the server, with the same faults before it."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.aws_server import AwsServer, Clock
from tests.unit.aws_server.conftest import open_clients


@dataclass(frozen=True)
class Table:
    aws: AwsServer
    client: Any
    name: str

    async def put(self, number: int) -> None:
        await self.client.put_item(TableName=self.name, Item={"jobId": {"S": f"job-{number}"}})

    async def count(self, number: int = 1) -> Any:
        reply = await self.client.update_item(
            TableName=self.name,
            Key={"jobId": {"S": f"job-{number}"}},
            UpdateExpression="ADD version :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="ALL_NEW",
        )
        return reply["Attributes"]["version"]["N"]

    async def batch(self, *numbers: int) -> tuple[list[str], list[str]]:
        keys = [{"jobId": {"S": f"job-{number}"}} for number in numbers]
        wanted = {self.name: {"Keys": keys, "ConsistentRead": True}}
        reply = await self.client.batch_get_item(RequestItems=wanted)
        left = reply["UnprocessedKeys"].get(self.name, {})
        assert not left or left["ConsistentRead"]
        found = reply["Responses"].get(self.name, [])
        return sorted(one["jobId"]["S"] for one in found), [one["jobId"]["S"] for one in left.get("Keys", [])]

    async def update(self, *numbers: int) -> list[str]:
        """Set a note in rows, in one batch; give how each statement fared."""
        text = f'UPDATE "{self.name}" SET "note" = ? WHERE "jobId" = ? RETURNING ALL NEW *'  # noqa: S608  the name is ours
        given = [[{"S": "seen"}, {"S": f"job-{number}"}] for number in numbers]
        statements = [{"Statement": text, "Parameters": parameters} for parameters in given]
        reply = await self.client.batch_execute_statement(Statements=statements)
        return [one["Error"]["Code"] if "Error" in one else one["Item"]["jobId"]["S"] for one in reply["Responses"]]

    async def seen(self, number: int) -> bool:
        reply = await self.client.get_item(TableName=self.name, Key={"jobId": {"S": f"job-{number}"}})
        return "note" in reply["Item"]


@pytest.fixture
async def table(dynamodb_local: str) -> AsyncIterator[Table]:
    async with AsyncExitStack() as stack:
        aws = await stack.enter_async_context(AwsServer.running(dynamodb_local, clock=Clock(running=False)))
        client = (await open_clients(stack, aws.endpoint)).dynamodb
        name = f"proxy-{uuid.uuid4().hex}"
        await client.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "jobId", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "jobId", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield Table(aws, client, name)
        aws.faults.clear()
        await client.delete_table(TableName=name)


async def test_what_is_no_fault_passes_through(table: Table) -> None:
    assert [await table.count(), await table.count()] == ["1", "2"]
    assert table.aws.calls["UpdateItem"] == 2


async def test_an_item_of_almost_400_kb_passes_through(table: Table) -> None:
    large = {"jobId": {"S": "large"}, "note": {"S": "x" * 400_000}}
    await table.client.put_item(TableName=table.name, Item=large)
    held = await table.client.get_item(TableName=table.name, Key={"jobId": {"S": "large"}})
    assert held["Item"] == large


async def test_errors_of_dynamodb_itself_pass_through(table: Table) -> None:
    with pytest.raises(table.client.exceptions.ResourceNotFoundException):
        await table.client.describe_table(TableName="nowhere")
    await table.put(1)
    with pytest.raises(table.client.exceptions.ConditionalCheckFailedException) as raised:
        await table.client.put_item(
            TableName=table.name,
            Item={"jobId": {"S": "job-1"}},
            ConditionExpression="attribute_not_exists(jobId)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert raised.value.response["Item"] == {"jobId": {"S": "job-1"}}


async def test_a_write_is_applied_and_its_reply_dropped(table: Table) -> None:
    table.aws.faults.drop_reply("UpdateItem", containing="job-1")
    assert await table.count(2) == "1"
    with pytest.raises(ConnectionClosedError):
        await table.count(1)
    assert await table.count(1) == "2"


async def test_a_throttled_write_is_not_applied(table: Table) -> None:
    table.aws.faults.fail("UpdateItem", code="ProvisionedThroughputExceededException")
    with pytest.raises(table.client.exceptions.ProvisionedThroughputExceededException):
        await table.count()
    assert await table.count() == "1"


async def test_a_batch_leaves_some_keys_unprocessed(table: Table) -> None:
    for number in (1, 2, 3):
        await table.put(number)
    table.aws.faults.unprocessed(keys=2)
    table.aws.faults.unprocessed(keys=9)
    assert await table.batch(1, 2, 3) == (["job-1"], ["job-2", "job-3"])
    assert await table.batch(2, 3) == ([], ["job-2", "job-3"])
    assert await table.batch(2, 3) == (["job-2", "job-3"], [])


async def test_statements_of_a_batch_are_refused_inside_a_success(table: Table) -> None:
    for number in (1, 2, 3):
        await table.put(number)
    table.aws.faults.refuse_statements(code="ThrottlingError", count=2)
    table.aws.faults.refuse_statements(code="InternalServerError", applied=True)
    assert await table.update(1, 2, 3) == ["job-1", "ThrottlingError", "ThrottlingError"]
    assert [await table.seen(number) for number in (1, 2, 3)] == [True, False, False]
    assert await table.update(2, 3) == ["job-2", "InternalServerError"]
    assert await table.seen(3)
    assert await table.update(3, 9) == ["job-3", "ConditionalCheckFailed"]
    assert (table.aws.calls["BatchExecuteStatement"], table.aws.statements) == (3, 7)


async def test_a_batch_may_be_refused_whole(table: Table) -> None:
    await table.put(1)
    table.aws.faults.refuse_statements(code="ThrottlingError", count=9)
    assert await table.update(1) == ["ThrottlingError"]
    assert not await table.seen(1)


async def test_without_a_dynamodb_its_calls_are_refused(clients: Any) -> None:
    with pytest.raises(ClientError, match="UnknownOperationException"):
        await clients.dynamodb.list_tables()


async def test_a_dynamodb_that_is_down_closes_the_connection() -> None:
    async with AsyncExitStack() as stack:
        gone = await stack.enter_async_context(AwsServer.running())
        aws = await stack.enter_async_context(AwsServer.running(gone.endpoint))
        client = (await open_clients(stack, aws.endpoint)).dynamodb
        await gone.__aexit__()
        with pytest.raises(ConnectionClosedError):
            await client.list_tables()
