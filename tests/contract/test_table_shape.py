"""TTL where DynamoDB does not take a change of it, or may not be asked."""

import uuid
from collections.abc import Iterator

import pytest

from scheduler.aws.clients import admin_clients
from scheduler.aws.deploy import deploy_table
from scheduler.aws.table_shape import ttl_attribute
from scheduler.errors import MissingError
from scheduler.preflight import checks
from scheduler.settings import Settings
from tests.aws_server import AwsServer
from tests.contract.conftest import use_endpoint


@pytest.fixture
def aws(dynamodb_local: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsServer]:
    with AwsServer.in_thread(dynamodb_local) as server:
        use_endpoint(monkeypatch, server.endpoint)
        yield server


@pytest.fixture
def table() -> str:
    return f"tokens-{uuid.uuid4().hex}"


async def test_a_ttl_that_was_just_turned_off_is_said_and_turned_on_later(aws: AwsServer, table: str) -> None:
    why = "TimeToLive has been modified multiple times within a fixed interval"
    async with admin_clients() as clients:
        with aws.faults.fail("UpdateTimeToLive", code="ValidationException", message=why):
            made = await deploy_table(clients, table, indexed=True)
        assert await ttl_attribute(clients.dynamodb, table) is None
        again = await deploy_table(clients, table, indexed=True)
        assert await ttl_attribute(clients.dynamodb, table) == "purgeAt"
    assert (made.action, made.note) == ("created", f"TTL is off and cannot be turned on now: {why}")
    assert (again.action, again.note) == ("updated", "TTL on purgeAt")


async def test_check_fails_nobody_who_may_not_ask_for_the_ttl(aws: AwsServer, table: str) -> None:
    async with admin_clients() as clients:
        await deploy_table(clients, table, indexed=True)
        with aws.faults.deny("DescribeTimeToLive"):
            results = {each.what: each async for each in checks(clients, Settings.load(token_table=table))}
    ttl = results[f"TTL of table {table}"]
    assert (ttl.ok, results[f"table {table}"].ok) == (True, True)
    assert ttl.detail.startswith(f"not known: table {table} could not be used: AccessDeniedException")


async def test_the_ttl_of_a_table_that_is_missing_is_an_error_that_names_it(aws: AwsServer, table: str) -> None:
    del aws
    async with admin_clients() as clients:
        with pytest.raises(MissingError, match=f"table {table} does not exist"):
            await ttl_attribute(clients.dynamodb, table)
