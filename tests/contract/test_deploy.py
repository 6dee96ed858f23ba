"""Deploying to the embedded cloud: what one deployment has, no other one takes."""

import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from scheduler.aws.clients import AdminClients, admin_clients
from scheduler.aws.deploy import Deployed, deploy
from scheduler.aws.roles import POLICY_NAME, earlier_names
from scheduler.preflight import checks
from scheduler.settings import Settings
from tests.contract.conftest import use_endpoint

HOME, ABROAD = "us-east-1", "eu-central-1"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
ANOTHER = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
)


@pytest.fixture
def cloud(ministack: str, no_settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    del no_settings
    use_endpoint(monkeypatch, ministack)


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SCHEDULER_{name.upper()}", raising=False)


@pytest.fixture
def go(cloud: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Go to a region: clients that are opened from now on are there."""
    del cloud
    return lambda region: monkeypatch.setenv("AWS_REGION", region)


def names(prefix: str | None = None, **more: Any) -> Settings:
    """Give the settings of a deployment with names of its own."""
    prefix = prefix or f"d{uuid.uuid4().hex[:8]}"
    return Settings.load(
        **{
            "token_table": f"{prefix}-tokens",
            "jobs_table": f"{prefix}-jobs",
            "source_function": f"{prefix}-api",
            "simulated_api_function": f"{prefix}-api",
            "create_job_function": f"{prefix}-create",
            "poller_function": f"{prefix}-poller",
            "state_machine": f"{prefix}-flow",
        }
        | more
    )


async def deployed(settings: Settings) -> dict[str, Deployed]:
    """Deploy, and give what was done for each resource."""
    async with admin_clients() as clients:
        return {f"{done.kind} {done.name}": done async for done in deploy(clients, settings)}


def actions(done: dict[str, Deployed]) -> set[str]:
    return {each.action for each in done.values()}


def roles(done: dict[str, Deployed]) -> list[str]:
    return [each.name for each in done.values() if each.kind == "role"]


async def with_clients(work: Callable[[AdminClients], Awaitable[Any]]) -> Any:
    async with admin_clients() as clients:
        return await work(clients)


async def rights(role_names: list[str]) -> dict[str, Any]:
    """Read who may take each role, and what it allows."""

    async def read(clients: AdminClients) -> dict[str, Any]:
        held: dict[str, Any] = {}
        for name in role_names:
            role: Any = (await clients.iam.get_role(RoleName=name))["Role"]
            policies = (await clients.iam.list_role_policies(RoleName=name))["PolicyNames"]
            allowed = [await clients.iam.get_role_policy(RoleName=name, PolicyName=policy) for policy in policies]
            held[name] = (role["AssumeRolePolicyDocument"], [each["PolicyDocument"] for each in allowed])
        return held

    read_rights: dict[str, Any] = await with_clients(read)
    return read_rights


async def role_of(function: str) -> str:
    async def read(clients: AdminClients) -> Any:
        return await clients.functions.get_function_configuration(FunctionName=function)

    role: str = (await with_clients(read))["Role"].rpartition("/")[2]
    return role


async def test_a_second_region_takes_nothing_from_the_first(go: Callable[[str], None]) -> None:
    settings = names()
    go(HOME)
    at_home = await deployed(settings)
    before = await rights(roles(at_home))

    go(ABROAD)
    abroad = await deployed(settings)

    assert actions(at_home) == actions(abroad) == {"created"}
    assert await rights(roles(at_home)) == before
    assert all(HOME in json.dumps(held) and ABROAD not in json.dumps(held) for held in before.values())
    assert all(HOME not in json.dumps(held) for held in (await rights(roles(abroad))).values())
    for region, done in ((HOME, at_home), (ABROAD, abroad)):
        go(region)
        assert actions(await deployed(settings)) == {"unchanged"}
        assert await role_of(settings.poller_function) in roles(done)


@pytest.mark.parametrize("padding", ["", "x" * 40])
async def test_two_deployments_in_one_region_take_nothing_from_each_other(
    go: Callable[[str], None], padding: str
) -> None:
    go(HOME)
    prefix = uuid.uuid4().hex[:8] + padding
    one, other = names(f"{prefix}1"), names(f"{prefix}2")
    of_one = await deployed(one)
    before = await rights(roles(of_one))

    of_other = await deployed(other)

    assert actions(of_other) == {"created"}
    assert (len(roles(of_one)), set(roles(of_one)) & set(roles(of_other))) == (4, set())
    assert await rights(roles(of_one)) == before
    assert actions(await deployed(one)) == {"unchanged"}


async def test_each_function_takes_a_role_of_its_own(go: Callable[[str], None]) -> None:
    go(HOME)
    settings = names()
    await deployed(settings)
    functions = [settings.simulated_api_function, settings.create_job_function, settings.poller_function]
    assert [await role_of(name) for name in functions] == [f"{name}-function-{HOME}" for name in functions]


async def test_roles_of_the_version_before_are_left_to_whoever_uses_them_and_named(go: Callable[[str], None]) -> None:
    go(HOME)
    settings = names()
    earlier = earlier_names(settings)

    async def make(clients: AdminClients) -> None:
        for name in earlier:
            await clients.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
            await clients.iam.put_role_policy(RoleName=name, PolicyName=POLICY_NAME, PolicyDocument=ANOTHER)

    await with_clients(make)
    before = await rights(earlier)

    done = await deployed(settings)

    assert [(done[f"role {name}"].action, done[f"role {name}"].note) for name in earlier] == [
        ("left alone", "made by version 0.1.0, and used no more from here; delete it once no other region uses it")
    ] * 2
    assert await rights(earlier) == before


async def test_a_role_of_somebody_else_that_has_an_earlier_name_is_not_spoken_of(go: Callable[[str], None]) -> None:
    go(HOME)
    settings = names()
    (name, _) = earlier_names(settings)

    async def make(clients: AdminClients) -> None:
        await clients.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))

    await with_clients(make)
    assert f"role {name}" not in await deployed(settings)


async def test_a_deployment_of_the_version_before_gets_the_new_roles(go: Callable[[str], None]) -> None:
    go(HOME)
    settings = names()
    await deployed(settings)

    async def go_back(clients: AdminClients) -> None:
        old = "arn:aws:iam::000000000000:role/old"
        await clients.functions.update_function_configuration(FunctionName=settings.poller_function, Role=old)
        arn = f"arn:aws:states:{HOME}:000000000000:stateMachine:{settings.state_machine}"
        await clients.stepfunctions.update_state_machine(stateMachineArn=arn, roleArn=old)

    await with_clients(go_back)
    done = await deployed(settings)
    assert {name: each.note for name, each in done.items() if each.action != "unchanged"} == {
        f"function {settings.poller_function}": "Role",
        f"state machine {settings.state_machine}": "roleArn",
    }


async def test_what_was_updated_is_said(go: Callable[[str], None]) -> None:
    go(HOME)
    settings = names()
    await deployed(settings)

    async def change(clients: AdminClients) -> None:
        poller = settings.poller_function
        await clients.functions.update_function_code(FunctionName=poller, ZipFile=b"PK\x05\x06" + bytes(18))
        role = f"{settings.create_job_function}-function-{HOME}"
        await clients.iam.put_role_policy(RoleName=role, PolicyName=POLICY_NAME, PolicyDocument=ANOTHER)
        trust = json.dumps(TRUST).replace("lambda", "ec2")
        await clients.iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust)
        arn = f"arn:aws:states:{HOME}:000000000000:stateMachine:{settings.state_machine}"
        simple = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
        await clients.stepfunctions.update_state_machine(stateMachineArn=arn, definition=simple)

    await with_clients(change)
    done = await deployed(settings.model_copy(update={"check_timeout_seconds": 7.0}))
    assert {name: each.note for name, each in done.items() if each.action != "unchanged"} == {
        f"role {settings.create_job_function}-function-{HOME}": "trust, policy",
        f"function {settings.poller_function}": "code, Timeout, Environment",
        f"state machine {settings.state_machine}": "definition",
    }


async def test_a_function_of_somebody_else_is_left_alone_and_gets_no_role(go: Callable[[str], None]) -> None:
    go(HOME)
    settings = names()
    await deployed(settings)

    async def take_over(clients: AdminClients) -> None:
        await clients.functions.update_function_configuration(
            FunctionName=settings.poller_function, Description="mine", Role="arn:aws:iam::000000000000:role/mine"
        )

    await with_clients(take_over)
    done = await deployed(settings)
    line = done[f"function {settings.poller_function}"].line
    assert line == f"left alone function {settings.poller_function} (somebody else made it)"
    assert f"role {settings.poller_function}-function-{HOME}" not in done
    assert await role_of(settings.poller_function) == "mine"


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


async def test_a_ttl_on_another_attribute_stays_and_is_said_by_deploy_and_check(go: Callable[[str], None]) -> None:
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


async def test_a_ttl_that_is_off_is_turned_on_and_checked(go: Callable[[str], None]) -> None:
    go(HOME)
    settings = names()
    await table_with_ttl(settings.token_table, None)
    what = f"TTL of table {settings.token_table}"
    off = "off: ended rows are never deleted; `callback-scheduler deploy` turns it on"
    assert (what, True, off) in await checked(settings)

    done = (await deployed(settings))[f"table {settings.token_table}"]

    assert (done.action, done.note) == ("updated", "index due, TTL on purgeAt")
    assert (what, True, "on purgeAt: ended rows are deleted after their retention") in await checked(settings)


async def test_check_says_nothing_of_the_ttl_of_a_table_that_is_missing(go: Callable[[str], None]) -> None:
    go(HOME)
    assert [what for what, _, _ in await checked(names()) if "TTL" in what] == []
