"""Finding due rows: by the index where there is one, else by a scan; and the sweep for rows that no query finds."""

import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from scheduler.aws.clients import WithDynamoDB
from scheduler.aws.sdk_errors import reading
from scheduler.aws.table_shape import TableShape
from scheduler.aws.token_table import INDEX, LOAD, Due, TokenTable
from scheduler.core.attributes import Item
from scheduler.core.due_rows import find_parameters, shard_parameters
from scheduler.core.instant import Instant
from scheduler.core.row_reader import Found, read_found
from scheduler.core.states import POLLING, EndState
from scheduler.errors import CloudError
from scheduler.log import logger

_ENDED = frozenset(EndState)
_OLDEST_FOR_ONE_NEW = 4
_NEWEST = LOAD // _OLDEST_FOR_ONE_NEW  # taken from the new end of a backlog with each page from its old end
_LOOK_AGAIN_SECONDS = 60.0
"""How long the answer to "has the table the index?" is good for."""
REST_SECONDS = 1.0
"""How long a shard is left to another replica that was quicker."""
MOST_GIVEN_BACK = 250
"""Rows of the sweep that are kept though nobody takes them: it comes by them again, and others are to be found, too."""
MOST_STRAYS = 1_000
"""Rows that the sweep has found and no tick has taken yet; the sweep waits where there are more."""

Key = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Due rows that were found together: the shard they are of, and the keys behind which they begin and end."""

    rows: list[Found]
    shard: int | None = None
    before: Key | None = None
    after: Key | None = None
    stray: bool = False


class DueFinder:
    """Finds due rows, a page at a time, and goes on where it was cut, so that every row gets its turn."""

    def __init__(
        self, table: TokenTable, clients: WithDynamoDB, shards: int, due: Due, clock: Callable[[], float]
    ) -> None:
        """Take the table and its clients, the number of shards, how to find rows, and a monotonic clock in seconds."""
        self._table = table
        self._clients = clients
        self._shards = shards
        self._due = due
        self._clock = clock
        self._indexed: bool | None = None
        self._look_again_at = 0.0
        # Replicas begin at other shards, and each at another one every time: none starves where ticks are cut short.
        self._first_shard = random.randrange(shards)
        self._rests: dict[int, float] = {}
        self._after: dict[int | None, Key] = {}
        self._sweep_after: Key | None = None
        self._strays: dict[str, None] = {}
        self._strays_first = False
        self.passes_by: Callable[[str], bool] = lambda _: False
        """Tells of a row that nobody wants to see now, so that it need not be read."""

    def learn(self, shape: TableShape) -> None:
        """Take how the table is made from a probe of it."""
        self._indexed = shape.indexed and self._due != "scan"
        self._look_again_at = self._clock() + _LOOK_AGAIN_SECONDS

    async def pages(self, now: Instant) -> AsyncIterator[Page]:
        """Give the due rows, each page as soon as it is there. Raises MissingError or CloudError."""
        if not await self._has_index():
            async for page in self._scan(now):
                yield page
            return
        # Neither may hold up the other where a lane takes little: one begins this time, the other the next.
        self._strays_first = not self._strays_first
        for strays in (self._strays_first, not self._strays_first):
            async for page in self._take_strays(now) if strays else self._query(now):
                yield page

    @property
    def indexed(self) -> bool:
        """Whether the table has its index, as far as is known."""
        return bool(self._indexed)

    @property
    def resting(self) -> bool:
        """Whether some shards rest."""
        return any(until > self._clock() for until in self._rests.values())

    def rest(self, shard: int) -> None:
        """Pass a shard by for REST_SECONDS: another replica takes up what is due there."""
        self._rests[shard] = self._clock() + REST_SECONDS

    def give_back(self, rows: Iterable[Found]) -> None:
        """Take back rows of a stray page: the next tick gives them again, as far as not too many wait already."""
        room = MOST_GIVEN_BACK - len(self._strays)
        self._strays |= dict.fromkeys(row.job_id for row in itertools.islice(rows, max(0, room)))

    def cut(self, page: Page, taken: Sequence[Found], *, beyond: bool) -> None:
        """Note that the first rows of a page were `taken`, and that no further page is read.

        A scan goes on behind them the next time. A query begins with the longest due again; or, like a scan, `beyond`
        this page, where it has read for long what nobody takes.
        """
        if page.shard is None and not page.stray:
            after = page.after if beyond else {"jobId": {"S": taken[-1].job_id}} if taken else page.before
            if after:
                self._after[None] = after
        elif beyond and page.after:
            self._after[page.shard] = page.after

    async def sweep(self, now: Instant, limit: int) -> tuple[int, bool]:
        """Look through so many rows, from where the last call ended, for due ones that no query finds.

        Ticks take what is found. Gives how many rows were read, and whether the table's end was reached. Raises
        MissingError or CloudError; the position is kept.
        """
        if self._due != "auto" or not await self._has_index() or len(self._strays) >= MOST_STRAYS:
            return 0, True
        parameters = find_parameters(self._table.name, now, self._shards) | {"Limit": limit}
        parameters["ProjectionExpression"] = "jobId"
        page = await self._read(self._clients.dynamodb.scan, parameters, self._sweep_after)
        self._strays |= dict.fromkeys(item["jobId"]["S"] for item in page["Items"])
        self._sweep_after = page.get("LastEvaluatedKey") or None
        return page["ScannedCount"], self._sweep_after is None

    async def _has_index(self) -> bool:
        """Tell whether the index serves, as asked within the last minute. Raises MissingError and CloudError."""
        if self._due == "scan":
            return False
        if self._indexed is None or self._clock() >= self._look_again_at:
            self.learn(await self._table.shape())
        return bool(self._indexed)

    async def _take_strays(self, now: Instant) -> AsyncIterator[Page]:
        """Give what the sweep has found, each row once: what is given back meanwhile is for the next time."""
        strays = list(self._strays)
        for start in range(0, len(strays), LOAD):
            ids = strays[start : start + LOAD]
            rows = await self._waiting(ids, now)
            for job_id in ids:  # after they were read: what cannot be read stays
                self._strays.pop(job_id, None)
            yield Page(rows, stray=True)

    async def _query(self, now: Instant) -> AsyncIterator[Page]:
        """Find what is due in each shard: the longest due first, and where that is a backlog some of the newest too."""
        self._first_shard = (self._first_shard + 1) % self._shards
        order = [(self._first_shard + shard) % self._shards for shard in range(self._shards)]
        order = [shard for shard in order if self._rests.get(shard, 0.0) <= self._clock()]
        oldest = {shard: self._due_ids(shard, now, LOAD, newest=False) for shard in order}
        newest = {shard: self._due_ids(shard, now, _NEWEST, newest=True) for shard in order}
        while oldest:
            for shard in list(oldest):
                read = await anext(oldest[shard], None)
                if read is None:
                    del oldest[shard]
                    continue
                ids, after = read
                if after and (others := await anext(newest[shard], None)):
                    ids = _mixed(ids, others[0])
                yield Page(await self._waiting(ids, now), shard, after=after)

    async def _due_ids(
        self, shard: int, now: Instant, limit: int, *, newest: bool
    ) -> AsyncIterator[tuple[list[str], Key | None]]:
        parameters = shard_parameters(self._table.name, INDEX, shard, now)
        parameters |= {"Limit": limit, "ScanIndexForward": not newest}
        after = None if newest else self._after.pop(shard, None)
        while True:
            page = await self._read(self._clients.dynamodb.query, parameters, after)
            after = page.get("LastEvaluatedKey") or None
            yield [item["jobId"]["S"] for item in page["Items"]], after
            if not after:
                return

    async def _waiting(self, job_ids: list[str], now: Instant) -> list[Found]:
        """Read the rows of these ids as they are now, for the index lags behind; gives those that wait and are due."""
        waiting = []
        for item in await self._table.load([job_id for job_id in job_ids if not self.passes_by(job_id)]):
            status = item.get("status", {}).get("S")
            if status in _ENDED:
                await self._table.tidy(item, EndState(status))
            elif status == POLLING:
                waiting += _read([item])
        return [row for row in waiting if row.next_poll_at is None or row.next_poll_at <= now]

    async def _scan(self, now: Instant) -> AsyncIterator[Page]:
        """Read the whole table, from where the last scan was cut to its end and then from its beginning."""
        after = self._after.pop(None, None)
        from_the_start = after is None
        while True:
            try:
                page = await self._read(self._clients.dynamodb.scan, find_parameters(self._table.name, now), after)
            except CloudError:
                if after:
                    self._after[None] = after
                raise
            before, after = after, page.get("LastEvaluatedKey") or None
            yield Page(_read(page["Items"]), None, before, after)
            if not after:
                if from_the_start:
                    return
                from_the_start = True

    async def _read(self, read: Callable[..., Any], parameters: dict[str, Any], after: Key | None) -> Any:
        if after:
            parameters = parameters | {"ExclusiveStartKey": after}
        try:
            async with reading("table", self._table.name):
                page = await read(**parameters)
                self._table.part(page, "Items")
        except CloudError:
            self._indexed = None  # it may be the index that has gone: look before the next tick
            raise
        return page


def _read(items: Iterable[Item]) -> list[Found]:
    """Read rows; whatever one of them does to the reader, the others are read."""
    rows = []
    for item in items:
        try:
            rows.append(read_found(item))
        except Exception as error:  # noqa: BLE001  a fault of ours with one row; its text might hold what the row holds
            logger().error("row.unreadable", job_id=item["jobId"]["S"], error=type(error).__name__)
    return rows


def _mixed(oldest: list[str], newest: list[str]) -> list[str]:
    """Put one of the newest behind each four of the oldest: a tick that is cut short has taken from both ends, too."""
    mixed = []
    for start in range(0, len(oldest), _OLDEST_FOR_ONE_NEW):
        mixed += oldest[start : start + _OLDEST_FOR_ONE_NEW]
        mixed += newest[start // _OLDEST_FOR_ONE_NEW :][:1]
    return mixed
