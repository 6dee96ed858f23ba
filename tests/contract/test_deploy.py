"""Deploying to the embedded cloud: what one deployment has, no other one takes."""

import json
import uuid

import pytest

from scheduler.aws.clients import AdminClients
from scheduler.aws.roles import POLICY_NAME, earlier_names
from tests.contract.conftest import Go
from tests.contract.deployments import (
    ABROAD,
    ANOTHER,
    HOME,
    TRUST,
    actions,
    deployed,
    names,
    rights,
    role_of,
    roles,
    with_clients,
)


async def test_a_second_region_takes_nothing_from_the_first(go: Go) -> None:
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
async def test_two_deployments_in_one_region_take_nothing_from_each_other(go: Go, padding: str) -> None:
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


async def test_each_function_takes_a_role_of_its_own(go: Go) -> None:
    go(HOME)
    settings = names()
    await deployed(settings)
    functions = [settings.simulated_api_function, settings.create_job_function, settings.poller_function]
    assert [await role_of(name) for name in functions] == [f"{name}-function-{HOME}" for name in functions]


async def test_roles_of_the_version_before_are_left_to_whoever_uses_them_and_named(go: Go) -> None:
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


async def test_a_role_of_somebody_else_that_has_an_earlier_name_is_not_spoken_of(go: Go) -> None:
    go(HOME)
    settings = names()
    (name, _) = earlier_names(settings)

    async def make(clients: AdminClients) -> None:
        await clients.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))

    await with_clients(make)
    assert f"role {name}" not in await deployed(settings)


async def test_a_deployment_of_the_version_before_gets_the_new_roles(go: Go) -> None:
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


async def test_what_was_updated_is_said(go: Go) -> None:
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


async def test_a_function_of_somebody_else_is_left_alone_and_gets_no_role(go: Go) -> None:
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


async def test_how_the_poller_is_invoked_is_brought_up_to_date_where_the_settings_say_so(go: Go) -> None:
    go(HOME)
    settings = names()
    await deployed(settings)
    by_events = settings.model_copy(update={"lambda_invocation": "event", "lambda_concurrency": 5})

    done = await deployed(by_events)

    name = settings.poller_function
    assert {each.line for each in done.values() if each.action != "unchanged"} == {
        f"updated    event queue {name} (MaximumRetryAttempts, MaximumEventAgeInSeconds)",
        f"updated    reserved concurrency {name} (5)",
    }
    assert actions(await deployed(by_events)) == {"unchanged"}

    async def read(clients: AdminClients) -> tuple[int, int, int]:
        config = await clients.functions.get_function_event_invoke_config(FunctionName=name)
        held = await clients.functions.get_function_concurrency(FunctionName=name)
        return (
            config["MaximumRetryAttempts"],
            config["MaximumEventAgeInSeconds"],
            held["ReservedConcurrentExecutions"],
        )

    assert await with_clients(read) == (0, 60, 5)
