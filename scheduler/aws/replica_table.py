"""The replicas' rows in the token table, and the rows that a replica which is gone has held."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from scheduler.aws.clients import WithDynamoDB
from scheduler.aws.sdk_errors import SDK_ERRORS, reading
from scheduler.aws.token_table import INDEX, LOAD, TokenTable
from scheduler.core.due_rows import held_parameters, shard_parameters
from scheduler.core.instant import Instant
from scheduler.core.replica_rows import SHARD, Beat, beat_parameters, forget_parameters, read_beat
from scheduler.core.row_reader import Found, MalformedRowError, read_row
from scheduler.core.states import POLLING

_FAR = 10**15  # later than any beat


class ReplicaTable:
    """Where replicas beat, and see each other."""

    def __init__(self, table: TokenTable, clients: WithDynamoDB, shards: int) -> None:
        self._table = table
        self._clients = clients
        self._shards = shards

    async def beat(self, beat: Beat) -> None:
        """Write a beat. Raises MissingError or CloudError."""
        async with reading("table", self._table.name):
            await self._clients.dynamodb.update_item(**beat_parameters(self._table.name, beat))

    async def forget(self, name: str, at: Instant) -> None:
        """Take a replica that is gone out of the index, unless it has beaten again since; another may have done it."""
        try:
            await self._clients.dynamodb.update_item(**forget_parameters(self._table.name, name, at))
        except SDK_ERRORS:
            return

    async def beats(self) -> list[Beat]:
        """Read the last beat of every replica that has not been forgotten. Raises MissingError or CloudError."""
        ids = [job_id async for job_id in self._ids(shard_parameters(self._table.name, INDEX, SHARD, _FAR))]
        read = [read_beat(item) for item in await self._table.load(ids)]
        return [beat for beat in read if beat is not None]

    async def held_by(self, names: set[str], now: Instant, mine: Callable[[str], bool]) -> AsyncIterator[list[Found]]:
        """Find the rows that replicas hold beyond now, a page at a time; only of jobs that are `mine` to take over.

        Raises MissingError or CloudError.
        """
        for shard in range(self._shards):
            ids: list[str] = []
            async for job_id in self._ids(held_parameters(self._table.name, INDEX, shard, now)):
                if mine(job_id):
                    ids.append(job_id)
                if len(ids) == LOAD:
                    yield await self._held(ids, names)
                    ids = []
            if ids:
                yield await self._held(ids, names)

    async def _held(self, ids: list[str], names: set[str]) -> list[Found]:
        rows: list[Found] = []
        for item in await self._table.load(ids):
            if item.get("status") == {"S": POLLING} and item.get("heldBy", {}).get("S") in names:
                try:
                    rows.append(read_row(item))
                except MalformedRowError:
                    continue  # it is set aside when its hold has ended, as any other
        return rows

    async def _ids(self, parameters: dict[str, Any]) -> AsyncIterator[str]:
        while True:
            async with reading("table", self._table.name):
                page: Any = await self._clients.dynamodb.query(**parameters)
                self._table.part(page, "Items")
            for item in page["Items"]:
                yield item["jobId"]["S"]
            if not page.get("LastEvaluatedKey"):
                return
            parameters = parameters | {"ExclusiveStartKey": page["LastEvaluatedKey"]}
