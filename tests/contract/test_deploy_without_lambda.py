"""Deploying the workflow without a Lambda to the embedded cloud: tables, one role and one state machine."""

import json
from typing import Any

from scheduler.aws.clients import AdminClients
from tests.contract.conftest import Go
from tests.contract.deployments import ABROAD, HOME, actions, deployed, names, rights, roles, with_clients


async def test_it_needs_no_function_and_a_second_time_changes_nothing(go: Go) -> None:
    go(HOME)
    settings = names()
    done = await deployed(settings, without_lambda=True)
    machine = f"{settings.state_machine}-without-lambda"
    assert list(done) == [
        f"table {settings.token_table}",
        f"table {settings.jobs_table}",
        f"role {machine}-workflow-{HOME}",
        f"state machine {machine}",
    ]
    assert actions(done) == {"created"}
    assert actions(await deployed(settings, without_lambda=True)) == {"unchanged"}


async def test_its_role_puts_items_into_the_two_tables_and_does_nothing_else(go: Go) -> None:
    go(HOME)
    settings = names()
    done = await deployed(settings, without_lambda=True)
    ((trust, (policy,)),) = (await rights(roles(done))).values()
    assert trust["Statement"][0]["Principal"] == {"Service": "states.amazonaws.com"}
    assert policy["Statement"] == [
        {
            "Effect": "Allow",
            "Action": ["dynamodb:PutItem"],
            "Resource": [f"arn:aws:dynamodb:{HOME}:000000000000:table/{table}"],
        }
        for table in (settings.jobs_table, settings.token_table)
    ]


async def test_its_states_name_the_tables_of_the_settings(go: Go) -> None:
    go(HOME)
    settings = names()
    await deployed(settings, without_lambda=True)

    async def read(clients: AdminClients) -> Any:
        arn = f"arn:aws:states:{HOME}:000000000000:stateMachine:{settings.state_machine_without_lambda}"
        return await clients.stepfunctions.describe_state_machine(stateMachineArn=arn)

    states = json.loads((await with_clients(read))["definition"])["States"]
    assert states["StartJob"]["Parameters"]["TableName"] == settings.jobs_table
    assert states["WaitForJob"]["Parameters"]["TableName"] == settings.token_table


async def test_both_workflows_beside_each_other_and_in_two_regions_take_nothing_from_each_other(go: Go) -> None:
    settings = names()
    go(HOME)
    with_functions = await deployed(settings)
    before = await rights(roles(with_functions))
    without = await deployed(settings, without_lambda=True)
    go(ABROAD)
    abroad = await deployed(settings, without_lambda=True)

    assert actions(abroad) == {"created"}
    assert not set(roles(without)) & {*roles(with_functions), *roles(abroad)}
    assert await rights(roles(with_functions)) == before
    go(HOME)
    assert actions(await deployed(settings)) == {"unchanged"}
    assert actions(await deployed(settings, without_lambda=True)) == {"unchanged"}
