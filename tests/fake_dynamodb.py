"""DynamoDB's client in memory, with one token table: real expressions, and errors as the SDK raises them.

The contract suite holds it to what DynamoDB does. It reads no clock and waits for nothing unless it is told to.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable
from decimal import Decimal
from operator import gt, lt
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from scheduler.core.attributes import Attribute, Item
from scheduler.core.service_calls import CONDITION_FAILED
from tests import expressions

MAX_ITEM_BYTES = 409_600
MAX_NUMBER_DIGITS = 38
MAX_KEYS = 100
REGION, ACCOUNT = "us-east-1", "000000000000"
HTTP_STATUS = {"InternalError": 500, "InternalServerError": 500, "ServiceUnavailable": 503}
"""Of errors that are not the caller's fault; any other has 400."""

VALIDATION = "ValidationException"


def refused(code: str = "InternalServerError", message: str = "as the test asked for", **more: Any) -> ClientError:
    """Give an error as the SDK raises it for a reply of AWS."""
    status = {"HTTPStatusCode": HTTP_STATUS.get(code, 400)}
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": status} | more
    return ClientError(response, "Operation")


def described(name: str = "tokens", *, indexed: bool = True) -> dict[str, Any]:
    """Give what DescribeTable says of a token table."""
    key = [{"AttributeName": "jobId", "KeyType": "HASH"}]
    kinds = [{"AttributeName": "jobId", "AttributeType": "S"}]
    table: dict[str, Any] = {
        "TableName": name,
        "TableArn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}",
        "KeySchema": key,
        "AttributeDefinitions": kinds,
    }
    if indexed:
        names = {"dueShard": "HASH", "nextPollAt": "RANGE"}
        schema = [{"AttributeName": name, "KeyType": kind} for name, kind in names.items()]
        table["GlobalSecondaryIndexes"] = [{"IndexName": "due", "IndexStatus": "ACTIVE", "KeySchema": schema}]
        kinds += [{"AttributeName": name, "AttributeType": "N"} for name in names]
    return table


class FakeDynamoDB:
    """The client of a table whose rows are `items`; what it is asked is counted and noted.

    `page_rows` is how many rows a scan or a query reads at most, as 1 MB of them does in truth, and `unprocessed` how
    many of the keys of each of the next BatchGetItems are left.
    """

    meta = SimpleNamespace(endpoint_url="http://in-memory", region_name="us-east-1")

    def __init__(self, *, indexed: bool = True) -> None:
        self.items: dict[str, dict[str, Attribute]] = {}
        self.table = described(indexed=indexed)
        self.page_rows = 1_000
        self.unprocessed: deque[int] = deque()
        self.calls: Counter[str] = Counter()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.lagging: dict[str, Item] | None = None
        """What the index holds where it lags behind: the items of an earlier time."""
        self._failures: dict[str, deque[BaseException]] = {}
        self._down: ClientError | None = None
        self._gate = asyncio.Event()
        self._gate.set()

    def fail(self, operation: str, *errors: BaseException) -> None:
        """Let the next calls of an operation raise these."""
        self._failures.setdefault(operation, deque()).extend(errors)

    def go_down(self, code: str = "InternalServerError") -> None:
        """Refuse every call from now on."""
        self._down = refused(code)

    def come_back(self) -> None:
        """Serve again."""
        self._down = None

    def hold(self) -> None:
        """Let every call wait until `let_go`."""
        self._gate.clear()

    def let_go(self) -> None:
        """Let the waiting calls go on."""
        self._gate.set()

    def let_index_lag(self) -> None:
        """Let the index show the rows as they are now, whatever becomes of them."""
        self.lagging = {job_id: dict(item) for job_id, item in self.items.items()}

    async def describe_table(self, **asked: Any) -> Any:
        """Say how the table is made."""
        await self._asked("describe_table", asked)
        return {"Table": self.table}

    async def get_item(self, **asked: Any) -> Any:
        """Read one row."""
        await self._asked("get_item", asked)
        item = self.items.get(asked["Key"]["jobId"]["S"])
        return {"Item": dict(item)} if item else {}

    async def put_item(self, **asked: Any) -> Any:
        """Write one row as it is."""
        await self._asked("put_item", asked)
        self.items[asked["Item"]["jobId"]["S"]] = dict(asked["Item"])
        return {}

    async def batch_get_item(self, **asked: Any) -> Any:
        """Read some rows, in no order that anybody could rely on."""
        await self._asked("batch_get_item", asked)
        ((name, wanted),) = asked["RequestItems"].items()
        keys = wanted["Keys"]
        assert 0 < len(keys) <= MAX_KEYS
        served = len(keys) - (self.unprocessed.popleft() if self.unprocessed else 0)
        found = [self.items[key["jobId"]["S"]] for key in keys[:served] if key["jobId"]["S"] in self.items]
        left = {name: wanted | {"Keys": keys[served:]}} if keys[served:] else {}
        return {"Responses": {name: [dict(item) for item in reversed(found)]}, "UnprocessedKeys": left}

    async def scan(self, **asked: Any) -> Any:
        """Read a page of the table, in the order of its keys, and give what the filter lets through."""
        await self._asked("scan", asked)
        after = asked.get("ExclusiveStartKey", {}).get("jobId", {}).get("S", "")
        ids = sorted(job_id for job_id in self.items if job_id > after)
        limit = min(self.page_rows, asked.get("Limit", self.page_rows))
        names, values = asked["ExpressionAttributeNames"], asked["ExpressionAttributeValues"]
        read = [self.items[job_id] for job_id in ids[:limit]]
        found = [item for item in read if expressions.holds(asked["FilterExpression"], item, names, values)]
        projection = asked.get("ProjectionExpression")
        items = [{projection: item[projection]} for item in found] if projection else [dict(item) for item in found]
        return {"Items": items, "Count": len(items), "ScannedCount": len(read)} | _more(ids, limit)

    async def query(self, **asked: Any) -> Any:
        """Read a page of one partition of the index, in the order of its sort key."""
        await self._asked("query", asked)
        assert "GlobalSecondaryIndexes" in self.table
        assert asked["IndexName"] == "due"
        names, values = asked["ExpressionAttributeNames"], asked["ExpressionAttributeValues"]
        indexed = (self.items if self.lagging is None else self.lagging).values()
        found = [
            item
            for item in sorted(
                filter(_in_index, indexed), key=_position, reverse=not asked.get("ScanIndexForward", True)
            )
            if expressions.holds(asked["KeyConditionExpression"], item, names, values)
        ]
        if after := asked.get("ExclusiveStartKey"):
            beyond = gt if asked.get("ScanIndexForward", True) else lt
            found = [item for item in found if beyond(_position(item), _position(after))]
        limit = min(self.page_rows, asked.get("Limit", self.page_rows))
        keys = [{name: item[name] for name in ("jobId", "dueShard", "nextPollAt")} for item in found]
        return {"Items": keys[:limit]} | ({"LastEvaluatedKey": keys[limit - 1]} if len(keys) > limit else {})

    async def update_item(self, **asked: Any) -> Any:
        """Perform one conditional update. Raises ClientError."""
        await self._asked("update_item", asked)
        return self.update(**asked)

    def update(self, **asked: Any) -> dict[str, Any]:
        """Perform one conditional update, whatever else the client was told. Raises ClientError."""
        job_id = asked["Key"]["jobId"]["S"]
        names, values = asked.get("ExpressionAttributeNames", {}), asked["ExpressionAttributeValues"]
        old = self.items.get(job_id, {})
        condition = asked.get("ConditionExpression")
        if condition and not expressions.holds(condition, old, names, values):
            shown = bool(old) and asked.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
            message = "The conditional request failed"
            raise refused(CONDITION_FAILED, message, **({"Item": dict(old)} if shown else {}))
        try:
            new = expressions.updated(asked["UpdateExpression"], old or {"jobId": {"S": job_id}}, names, values)
            _fits(new)
        except expressions.RefusedError as refusal:
            raise refused(VALIDATION, str(refusal)) from None
        self.items[job_id] = new
        return {"Attributes": dict(new)} if asked.get("ReturnValues") == "ALL_NEW" else {}

    async def _asked(self, operation: str, asked: dict[str, Any]) -> None:
        self.calls[operation] += 1
        self.asked.append((operation, asked))
        tables = list(asked["RequestItems"]) if operation == "batch_get_item" else [asked.get("TableName")]
        assert tables == [self.table["TableName"]]
        if not self._gate.is_set():
            await self._gate.wait()
        if self._failures.get(operation):
            raise self._failures[operation].popleft()
        if self._down:
            raise self._down


def _more(ids: list[str], limit: int) -> dict[str, Any]:
    return {"LastEvaluatedKey": {"jobId": {"S": ids[limit - 1]}}} if len(ids) > limit else {}


def _in_index(item: Item) -> bool:
    return all("N" in item.get(name, {}) for name in ("dueShard", "nextPollAt"))


def _position(item: Item) -> tuple[Decimal, str]:
    return Decimal(item["nextPollAt"]["N"]), item["jobId"]["S"]


def _fits(item: Item) -> None:
    """Refuse what DynamoDB does not store: over 400 KB, or a number of over 38 digits."""
    for held in item.values():
        if "N" in held and len(str(held["N"]).strip("-0").replace(".", "")) > MAX_NUMBER_DIGITS:
            message = "Attempting to store more than 38 significant digits in a Number"
            raise expressions.RefusedError(message)
    if item_size(item) > MAX_ITEM_BYTES:
        message = "Item size to update has exceeded the maximum allowed size"
        raise expressions.RefusedError(message)


def item_size(item: Item) -> int:
    """Give an item's bytes as DynamoDB counts them, near enough."""
    return sum(len(name.encode()) + _size(held) for name, held in item.items())


def _size(attribute: Attribute) -> int:
    ((kind, value),) = attribute.items()
    match kind:
        case "M":
            return 3 + sum(len(name.encode()) + _size(held) for name, held in value.items())
        case "L":
            return 3 + sum(map(_size, value))
        case "S":
            return len(value.encode("utf-8", "surrogatepass"))
    return len(str(value))


def job_ids(rows: Iterable[Any]) -> list[str]:
    """Give the ids of some rows, in their order."""
    return [row.job_id for row in rows]
