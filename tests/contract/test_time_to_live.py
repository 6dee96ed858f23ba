"""TTL: on another attribute than ours, off, refused, or not to be asked for."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from scheduler.aws.clients import AdminClients, admin_clients
from scheduler.aws.deploy import deploy_table
from scheduler.aws.time_to_live import ttl_attribute
from scheduler.errors import MissingError
from scheduler.preflight import checks
from scheduler.settings import Settings
from tests.aws_server import AwsServer
from tests.contract.conftest import Go, use_endpoint
from tests.contract.deployments import HOME, deployed, names, with_clients


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


async def table_with_ttl(name: str, attribute: str | None) -> None:
    async def make(clients: AdminClients) -> None:
        await clients.dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "jobId", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "jobId", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        if attribute:
            ttl: Any = {"Enabled": True, "AttributeName": attribute}
            await clients.dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=ttl)

    await with_clients(make)


async def ttl_of(name: str) -> Any:
    async def read(clients: AdminClients) -> Any:
        return (await clients.dynamodb.describe_time_to_live(TableName=name))["TimeToLiveDescription"]

    return await with_clients(read)


async def checked(settings: Settings) -> list[tuple[str, bool, str]]:
    async with admin_clients() as clients:
        return [(each.what, each.ok, each.detail) async for each in checks(clients, settings)]


async def test_a_ttl_on_another_attribute_stays_and_is_said_by_deploy_and_check(go: Go) -> None:
    go(HOME)
    settings = names()
    await table_with_ttl(settings.token_table, "expiresAt")
    before = await ttl_of(settings.token_table)
    told = "on expiresAt, not on purgeAt: ended rows stay, and a waiting one that has expiresAt may be deleted"

    first, again = await deployed(settings), await deployed(settings)

    table = f"table {settings.token_table}"
    assert (first[table].action, first[table].note) == ("updated", f"index due; TTL is {told}")
    assert again[table].line == f"unchanged  {table} (TTL is {told})"
    assert await ttl_of(settings.token_table) == before
    assert (f"TTL of {table}", True, told) in await checked(settings)


async def test_a_ttl_that_is_off_is_turned_on_and_checked(go: Go) -> None:
    go(HOME)
    settings = names()
    await table_with_ttl(settings.token_table, None)
    what = f"TTL of table {settings.token_table}"
    off = "off: ended rows are never deleted; `callback-scheduler deploy` turns it on"
    assert (what, True, off) in await checked(settings)

    done = (await deployed(settings))[f"table {settings.token_table}"]

    assert (done.action, done.note) == ("updated", "index due, TTL on purgeAt")
    assert (what, True, "on purgeAt: ended rows are deleted after their retention") in await checked(settings)


async def test_check_says_nothing_of_the_ttl_of_a_table_that_is_missing(go: Go) -> None:
    go(HOME)
    assert [what for what, _, _ in await checked(names()) if "TTL" in what] == []
