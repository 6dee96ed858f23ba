"""The token table in DynamoDB: finding what is due, and every write of the protocol."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from scheduler.aws.sdk_errors import SDK_ERRORS, translated
from scheduler.core.attributes import Item
from scheduler.core.due_rows import find_parameters, keys, shard_parameters
from scheduler.core.effects import Failure, Lost, Write
from scheduler.core.instant import Instant
from scheduler.core.row_reader import Found, MalformedRowError, read_found
from scheduler.core.row_writes import tidy_call, write_call, write_result
from scheduler.core.service_calls import call_error
from scheduler.core.states import POLLING, EndState
from scheduler.core.timing import SEND_TIMEOUT_SECONDS
from scheduler.core.token_row import TokenRow
from scheduler.errors import CloudError, MissingError

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

INDEX = "due"
_ENDED = frozenset(EndState)
_LOAD = 100  # keys that one BatchGetItem takes
_LOAD_TRIES = 8
_OLDEST_FOR_ONE_NEW = 4
_NEWEST = _LOAD // _OLDEST_FOR_ONE_NEW  # taken from the new end of a backlog with each page from its old end
_LOOK_AGAIN_SECONDS = 60.0
"""How long the answer to "has the table the index?" is good for."""
_REST_PER_ROW_SECONDS, _LONGEST_REST_SECONDS = 0.01, 60.0
"""Rest after a sweep, for each row it read: a table of 100 rows is swept each second, a large one each minute."""

Due = Literal["auto", "scan", "index"]


def _mixed(oldest: list[str], newest: list[str]) -> list[str]:
    """Put one of the newest behind each four of the oldest: a tick that is cut short has taken from both ends, too."""
    mixed = []
    for start in range(0, len(oldest), _OLDEST_FOR_ONE_NEW):
        mixed += oldest[start : start + _OLDEST_FOR_ONE_NEW]
        mixed += newest[start // _OLDEST_FOR_ONE_NEW :][:1]
    return mixed


class TokenTable:
    """The token table. `find` is the only part that costs by what is stored, and only where the index cannot serve."""

    def __init__(self, client: "DynamoDBClient", name: str, shards: int, due: Due, clock: Callable[[], float]) -> None:
        """Take a client, the table's name, the number of shards, how to find rows, and a monotonic clock in seconds."""
        self.name = name
        self._client = client
        self._shards = shards
        self._due = due
        self._clock = clock
        self._indexed: bool | None = None
        self._look_again_at = 0.0
        self._sweep_at = 0.0
        self._first_shard = 0

    async def find(self, now: Instant) -> AsyncIterator[Found]:
        """Give the due rows, each as soon as its page is there. Raises MissingError or CloudError."""
        with translated("table", self.name):
            indexed = await self.has_index()
        if not indexed:
            async for found in self._scan(find_parameters(self.name, now)):
                yield found
            return
        async for found in self._query(now):
            yield found
        if self._due == "auto" and self._clock() >= self._sweep_at:
            async for found in self._sweep(now):
                yield found

    async def get(self, job_id: str) -> Item | None:
        """Read one row as it is now. Raises MissingError or CloudError."""
        with translated("table", self.name):
            reply = await self._client.get_item(TableName=self.name, Key={"jobId": {"S": job_id}}, ConsistentRead=True)
        return reply.get("Item")

    async def probe(self) -> None:
        """Ask whether the table is there and may be read. Raises MissingError or CloudError."""
        self._look_again_at = 0.0
        with translated("table", self.name):
            await self.has_index()
            await self._client.get_item(TableName=self.name, Key={"jobId": {"S": "callback-scheduler-probe"}})

    async def write(self, effect: Write) -> TokenRow | MalformedRowError | Lost | Failure | None:
        """Perform one write of the protocol; never raises an error of the SDK."""
        call = write_call(effect, self.name)
        try:
            # The SDK's own retries included: the lease counts on it.
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                reply: Any = await self._client.update_item(**call.parameters)
        except SDK_ERRORS as error:
            reply = call_error(error)
        return write_result(effect, reply)

    async def has_index(self) -> bool:
        """Tell whether the index serves, as asked within the last minute. Raises the SDK's errors, and MissingError."""
        if self._due == "scan":
            return False
        if self._indexed is None or self._clock() >= self._look_again_at:
            table = self._part(await self._client.describe_table(TableName=self.name), "Table")
            states = {index["IndexName"]: index["IndexStatus"] for index in table.get("GlobalSecondaryIndexes", [])}
            self._indexed = states.get(INDEX) in {"ACTIVE", "UPDATING"}
            self._look_again_at = self._clock() + _LOOK_AGAIN_SECONDS
        if self._due == "index" and not self._indexed:
            kind = f"index {INDEX} of table"
            raise MissingError(kind, self.name)
        return self._indexed

    async def _query(self, now: Instant) -> AsyncIterator[Found]:
        """Find what is due in each shard: the longest due first, and where that is a backlog some of the newest too."""
        # Another shard goes first each time, so that none starves where ticks are cut short.
        self._first_shard = (self._first_shard + 1) % self._shards
        order = [(self._first_shard + shard) % self._shards for shard in range(self._shards)]
        oldest = {shard: self._due_ids(shard, now, _LOAD, newest=False) for shard in order}
        newest = {shard: self._due_ids(shard, now, _NEWEST, newest=True) for shard in order}
        while oldest:
            for shard in list(oldest):
                ids = await anext(oldest[shard], None)
                if ids is None:
                    del oldest[shard]
                    continue
                if len(ids) == _LOAD:
                    ids = _mixed(ids, await anext(newest[shard], []))
                for found in await self._waiting(ids, now):
                    yield found

    async def _due_ids(self, shard: int, now: Instant, limit: int, *, newest: bool) -> AsyncIterator[list[str]]:
        parameters = shard_parameters(self.name, INDEX, shard, now)
        parameters |= {"Limit": limit, "ScanIndexForward": not newest}
        async for page in self._pages(self._client.query, parameters):
            yield [item["jobId"]["S"] for item in page["Items"]]

    async def _waiting(self, job_ids: list[str], now: Instant) -> list[Found]:
        """Read the rows of these ids as they are now, for the index lags behind; gives those that wait and are due."""
        waiting = []
        for item in await self._load(job_ids):
            status = item.get("status", {}).get("S")
            if status in _ENDED:
                await self._tidy(item["jobId"]["S"], EndState(status))
            elif status == POLLING and int(item.get("nextPollAt", {}).get("N", 0)) <= now:
                waiting.append(read_found(item))
        return waiting

    async def _scan(self, parameters: dict[str, Any]) -> AsyncIterator[Found]:
        async for page in self._pages(self._client.scan, parameters):
            for item in page["Items"]:
                yield read_found(item)

    async def _sweep(self, now: Instant) -> AsyncIterator[Found]:
        """Find the rows that no query can: those that a foreign creator wrote, and those of a shard given up."""
        read = 0
        async for page in self._pages(self._client.scan, find_parameters(self.name, now, self._shards)):
            read += page["ScannedCount"]
            for item in page["Items"]:
                yield read_found(item)
        self._sweep_at = self._clock() + min(_LONGEST_REST_SECONDS, read * _REST_PER_ROW_SECONDS)

    async def _pages(self, read: Callable[..., Any], parameters: dict[str, Any]) -> AsyncIterator[Any]:
        while True:
            try:
                with translated("table", self.name):
                    page = await read(**parameters)
                    self._part(page, "Items")
            except CloudError:
                self._indexed = None  # it may be the index that has gone: look before the next tick
                raise
            yield page
            if not page.get("LastEvaluatedKey"):
                return
            parameters = parameters | {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    async def _load(self, job_ids: Sequence[str]) -> list[Item]:
        found: dict[str, Item] = {}
        wanted_ids = list(dict.fromkeys(job_ids))
        for start in range(0, len(wanted_ids), _LOAD):
            await self._load_page(wanted_ids[start : start + _LOAD], found)
        return [found[job_id] for job_id in wanted_ids if job_id in found]

    async def _load_page(self, job_ids: Sequence[str], found: dict[str, Item]) -> None:
        wanted: Any = {self.name: {"Keys": keys(job_ids), "ConsistentRead": True}}
        for retry in itertools.count():
            if not wanted:
                break
            if retry == _LOAD_TRIES:
                message = f"table {self.name} could not be read: it keeps leaving keys unprocessed"
                raise CloudError(message)
            await asyncio.sleep(0.05 * (2**retry - 1) * random.random())
            with translated("table", self.name):
                reply = await self._client.batch_get_item(RequestItems=wanted)
            for item in self._part(reply, "Responses").get(self.name, []):
                found[item["jobId"]["S"]] = item
            wanted = reply.get("UnprocessedKeys")

    def _part(self, reply: Any, name: str) -> Any:
        """Give a part that every reply of DynamoDB has; the SDK takes a proxy's page of HTML for a reply, too."""
        if name not in reply:
            message = f"table {self.name} could not be used: the reply is not DynamoDB's own: it has no {name}"
            raise CloudError(message)
        return reply[name]

    async def _tidy(self, job_id: str, state: EndState) -> None:
        """Take a row out of the index that somebody else ended and left there, or every tick would read it again."""
        try:
            await self._client.update_item(**tidy_call(job_id, state, self.name).parameters)
        except SDK_ERRORS:
            return  # the next tick tries again
