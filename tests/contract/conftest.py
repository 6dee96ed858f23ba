"""The backends that the contracts are held against: the fake, the embedded cloud, DynamoDB Local."""

import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from scheduler.aws import deploy as deploying
from scheduler.aws.clients import WithDynamoDB, admin_clients
from scheduler.aws.due_finder import DueFinder
from scheduler.aws.table_shape import TableShape
from scheduler.aws.token_table import Due, TokenTable
from scheduler.core.attributes import Item
from scheduler.engine.sweep import sweep_once
from scheduler.settings import Settings
from tests.backends import local_environment
from tests.fakes import FakeTokenTable

SHARDS = 4

BACKENDS = [
    "fake-index",
    "fake-scan",
    "ministack-index",
    "ministack-scan",
    "dynamodb_local-index",
    "dynamodb_local-scan",
]


@dataclass(frozen=True)
class TableUnderTest:
    """What every backend's token table does; `put` is the tests' own way in."""

    find: Callable[[int], AsyncIterator[Any]]
    get: Callable[[str], Awaitable[Item | None]]
    write: Callable[[Any], Awaitable[Any]]
    probe: Callable[[], Awaitable[TableShape]]
    put: Callable[[Any], Awaitable[None]]
    due: Due


def over(clients: WithDynamoDB, name: str, due: Due, write: Callable[[Any], Awaitable[Any]] | None) -> TableUnderTest:
    """Give the product's own token table and finder over a client, and another way to write where there is one."""
    # A clock that leaps lets the table be looked at before every tick.
    leaps = itertools.count(0, 1_000)
    table = TokenTable(clients, name, due)
    finder = DueFinder(table, clients, SHARDS, due, lambda: float(next(leaps)))

    async def find(now: int) -> AsyncIterator[Any]:
        await sweep_once(finder, now)
        async for page in finder.pages(now):
            for row in page.rows:
                yield row

    async def put(item: Any) -> None:
        await clients.dynamodb.put_item(TableName=name, Item=item)

    return TableUnderTest(find, table.get, write or table.write, table.probe, put, due)


def use_endpoint(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    for name, value in local_environment(endpoint).items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=BACKENDS)
async def table(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TableUnderTest]:
    backend, _, way = request.param.partition("-")
    due: Due = "auto" if way == "index" else "scan"
    if backend == "fake":
        fake = FakeTokenTable(SHARDS)
        yield over(fake, fake.name, due, fake.write)
        return
    use_endpoint(monkeypatch, request.getfixturevalue(backend))
    name = f"tokens-{uuid.uuid4().hex}"
    async with admin_clients() as clients:
        await deploying.deploy_table(clients, name, indexed=True)
        yield over(clients, name, due, None)
        await clients.dynamodb.delete_table(TableName=name)


def waiting_item(job_id: str = "job-1", **more: Any) -> dict[str, Any]:
    """Give a row that this program's own create-job wrote: due, with all attributes."""
    return foreign_item(job_id, **({"version": {"N": "0"}, "nextPollAt": {"N": "1000"}} | more))


def foreign_item(job_id: str = "job-1", **more: Any) -> dict[str, Any]:
    """Give a row of a creator that knows the first block of attributes only."""
    item = {
        "jobId": {"S": job_id},
        "taskToken": {"S": f"token of {job_id}"},
        "executionId": {"S": "arn:aws:states:us-east-1:000000000000:execution:w:1"},
        "createdAt": {"S": "2026-01-01T00:00:00Z"},
        "expiresAt": {"S": "2099-01-01T00:00:00Z"},
        "attemptCount": {"N": "0"},
        "maxAttempts": {"N": "10"},
        "status": {"S": "POLLING"},
    }
    return {name: value for name, value in (item | more).items() if value is not None}


Go = Callable[[str], None]


@pytest.fixture
def go(ministack: str, monkeypatch: pytest.MonkeyPatch) -> Go:
    """Go to a region of the embedded cloud: clients that are opened from now on are there."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SCHEDULER_{name.upper()}", raising=False)
    use_endpoint(monkeypatch, ministack)
    return lambda region: monkeypatch.setenv("AWS_REGION", region)
