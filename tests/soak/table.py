"""The token table as the soak itself uses it: directly, past every fault."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aioboto3

from scheduler.aws.clients import AdminClients
from scheduler.aws.deploy import deploy_table
from scheduler.core.attributes import from_item
from scheduler.core.replica_rows import PREFIX


class Table:
    """The token table."""

    def __init__(self, client: Any, name: str) -> None:
        self.name = name
        self._client = client

    async def put(self, item: dict[str, Any]) -> None:
        """Write one row."""
        await self._client.put_item(TableName=self.name, Item=item)

    async def rows(self) -> dict[str, dict[str, Any]]:
        """Read the rows of all jobs, by job: those of replicas are of no job."""
        pages = self._client.get_paginator("scan").paginate(TableName=self.name, ConsistentRead=True)
        items = [from_item(item) async for page in pages for item in page["Items"]]
        return {row["jobId"]: row for row in items if not row["jobId"].startswith(PREFIX)}

    async def row(self, job_id: str) -> dict[str, Any] | None:
        """Read the row of one job."""
        read = await self._client.get_item(TableName=self.name, Key={"jobId": {"S": job_id}}, ConsistentRead=True)
        return from_item(read["Item"]) if "Item" in read else None

    async def let_pass(self, seconds: float) -> None:
        """Move the next poll of each waiting row back, which is the end of its hold where it is held.

        To whoever polls it is as if that time had passed; so nobody may hold any row meanwhile.
        """
        rows = await self.rows()
        waiting = [row["jobId"] for row in rows.values() if row["status"] == "POLLING" and "nextPollAt" in row]
        await asyncio.gather(*[self._move_back(job_id, round(seconds * 1000)) for job_id in waiting])

    async def _move_back(self, job_id: str, milliseconds: int) -> None:
        with suppress(self._client.exceptions.ConditionalCheckFailedException):  # a late call has just ended it
            await self._client.update_item(
                TableName=self.name,
                Key={"jobId": {"S": job_id}},
                UpdateExpression="SET #next = #next - :time",
                ConditionExpression="#status = :polling",
                ExpressionAttributeNames={"#next": "nextPollAt", "#status": "status"},
                ExpressionAttributeValues={":time": {"N": str(milliseconds)}, ":polling": {"S": "POLLING"}},
            )


@asynccontextmanager
async def token_table(dynamodb_url: str) -> AsyncIterator[Table]:
    """Make a table of a name of its own, with the index, and delete it where all went well."""
    session: Any = aioboto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    name = f"soak-{uuid.uuid4().hex}"
    async with session.client("dynamodb", endpoint_url=dynamodb_url) as client:
        nothing: Any = None
        await deploy_table(AdminClients(client, nothing, nothing, nothing, nothing), name, indexed=True)
        yield Table(client, name)
        # Not after Ctrl-C, which DynamoDB Local gets too: it may have gone by now, and its tables live in its memory.
        await client.delete_table(TableName=name)
