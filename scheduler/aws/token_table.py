"""The token table in DynamoDB: reading rows, and every write of the protocol."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from typing import Any, Literal

from scheduler.aws.batch_writes import BatchWrites
from scheduler.aws.clients import WithDynamoDB
from scheduler.aws.sdk_errors import SDK_ERRORS, reading
from scheduler.aws.table_shape import TableShape, read_shape
from scheduler.aws.whereabouts import whereabouts
from scheduler.core.attributes import Item
from scheduler.core.due_rows import keys
from scheduler.core.effects import Failure, Lost, Reread, Write
from scheduler.core.row_reader import MalformedRowError
from scheduler.core.row_writes import Written, reread_result, tidy_call, write_call, write_result
from scheduler.core.service_calls import Refusal, call_error
from scheduler.core.states import EndState
from scheduler.core.timing import SEND_TIMEOUT_SECONDS
from scheduler.core.token_row import TokenRow
from scheduler.errors import CloudError, MissingError

INDEX = "due"
LOAD = 100
"""Keys that one BatchGetItem takes."""
_LOAD_TRIES = 8
_PROBE = "callback-scheduler-probe"  # the id of no job

Due = Literal["auto", "scan", "index"]


class TokenTable:
    """The token table, by its key: what it costs does not depend on how many rows are stored."""

    def __init__(self, clients: WithDynamoDB, name: str, due: Due) -> None:
        """Take the clients, the table's name and how due rows are to be found."""
        self.name = name
        self._clients = clients
        self._due = due
        self._batches = BatchWrites(clients, name, self.write)

    async def get(self, job_id: str) -> Item | None:
        """Read one row as it is now. Raises MissingError or CloudError."""
        async with reading("table", self.name):
            client = self._clients.dynamodb
            reply = await client.get_item(TableName=self.name, Key={"jobId": {"S": job_id}}, ConsistentRead=True)
        return reply.get("Item")

    async def probe(self) -> TableShape:
        """Ask whether the table is there and can hold what polls write. Raises MissingError or CloudError."""
        shape = await self.shape()
        async with reading("table", self.name):
            await self._clients.dynamodb.get_item(TableName=self.name, Key={"jobId": {"S": _PROBE}})
        return shape

    async def shape(self) -> TableShape:
        """Ask how the table is made. Raises MissingError, or CloudError where an index of it refuses what polls write.

        With SCHEDULER_DUE=scan nothing depends on it, and no right to ask is needed.
        """
        try:
            async with reading("table", self.name):
                described = await self._clients.dynamodb.describe_table(TableName=self.name)
        except CloudError as error:
            if self._due == "scan" and error.refusal is Refusal.DENIED:
                return TableShape(indexed=False)
            raise
        shape = read_shape(self.part(described, "Table"), INDEX)
        if shape.fault:
            message = f"table {self.name} cannot be used: {shape.fault} ({whereabouts(self._clients.dynamodb)})"
            raise CloudError(message, reason=shape.fault)
        if self._due == "index" and not shape.indexed:
            kind = f"index {INDEX} of table"
            raise MissingError(kind, self.name, whereabouts(self._clients.dynamodb))
        return shape

    async def write(self, effect: Write) -> Written:
        """Perform one write of the protocol; never raises an error of the SDK."""
        call = write_call(effect, self.name)
        try:
            # The SDK's own retries included: the lease counts on it.
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                reply: Any = await self._clients.dynamodb.update_item(**call.parameters)
        except SDK_ERRORS as error:
            reply = call_error(error)
        return write_result(effect, reply)

    async def write_many(self, effects: Sequence[Write]) -> list[Written]:
        """Perform writes of the protocol, claims, renewals and releases in batches, and give what came of each.

        The results have the order of the effects. What 200 claims take, at 25 a call and 8 calls at once, ends in the
        time that one write may take; more than that has to wait for its turn. Never raises an error of the SDK.
        """
        return await self._batches.write(effects)

    async def reread(self, effect: Reread) -> TokenRow | MalformedRowError | Lost | Failure:
        """Read a held row as it is now; never raises an error of the SDK."""
        try:
            # A lease has room for one more call like a write, and not for all the patience of reading.
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                item = await self.get(effect.row.job_id)
        except CloudError as error:
            return Failure(str(error), refusal=error.refusal)
        except TimeoutError:
            return Failure(f"table {self.name} gave no reply in time")
        return reread_result(effect, item)

    async def load(self, job_ids: Sequence[str]) -> list[Item]:
        """Read rows by their ids as they are now, in the same order; one that is not there is left out.

        Raises MissingError or CloudError.
        """
        found: dict[str, Item] = {}
        wanted_ids = list(dict.fromkeys(job_ids))
        for start in range(0, len(wanted_ids), LOAD):
            await self._load_page(wanted_ids[start : start + LOAD], found)
        return [found[job_id] for job_id in wanted_ids if job_id in found]

    async def _load_page(self, job_ids: Sequence[str], found: dict[str, Item]) -> None:
        wanted: Any = {self.name: {"Keys": keys(job_ids), "ConsistentRead": True}}
        for retry in itertools.count():
            if not wanted:
                break
            if retry == _LOAD_TRIES:
                message = f"table {self.name} could not be read: it keeps leaving keys unprocessed"
                raise CloudError(message, Refusal.THROTTLED)
            await asyncio.sleep(0.05 * (2**retry - 1) * random.random())
            async with reading("table", self.name):
                reply = await self._clients.dynamodb.batch_get_item(RequestItems=wanted)
            for item in self.part(reply, "Responses").get(self.name, []):
                found[item["jobId"]["S"]] = item
            wanted = reply.get("UnprocessedKeys")

    async def tidy(self, item: Item, state: EndState) -> None:
        """Take a row out of the index that somebody else ended and left there, or every tick would read it again."""
        if not item.keys() & {"dueShard", "nextPollAt"}:
            return  # the index only lags behind
        try:
            await self._clients.dynamodb.update_item(**tidy_call(item["jobId"]["S"], state, self.name).parameters)
        except SDK_ERRORS:
            return  # the next tick tries again

    def part(self, reply: Any, name: str) -> Any:
        """Give a part that every reply of DynamoDB has; the SDK takes a proxy's page of HTML for a reply, too."""
        if name not in reply:
            message = f"table {self.name} could not be used: the reply is not DynamoDB's own: it has no {name}"
            raise CloudError(message)
        return reply[name]
