"""Deploying: everything is created or brought up to date, one resource after the other, each waited for."""

from collections.abc import AsyncIterator, Callable

from scheduler.aws.arns import Place, place_of
from scheduler.aws.clients import AdminClients
from scheduler.aws.deploy_functions import (
    Function,
    create_job,
    deploy_function,
    held_function,
    made_by_deploy,
    poller,
    simulated_api,
)
from scheduler.aws.deploy_invocation import deploy_invocation
from scheduler.aws.deploy_roles import deploy_role, earlier_roles
from scheduler.aws.deploy_tables import deploy_table
from scheduler.aws.deploy_workflow import deploy_workflow
from scheduler.aws.deployed import Deployed
from scheduler.aws.roles import Role, create_job_role, poller_role, simulated_api_role, workflow_role
from scheduler.settings import Settings

__all__ = ["Deployed", "deploy", "deploy_table"]

_FUNCTIONS: list[tuple[Callable[[Settings], Function], Callable[[Settings, Place], Role]]] = [
    (simulated_api, simulated_api_role),
    (create_job, create_job_role),
    (poller, poller_role),
]


async def deploy(clients: AdminClients, settings: Settings) -> AsyncIterator[Deployed]:
    """Create or update everything, and tell of each resource. Raises CloudError."""
    place = await place_of(clients)
    yield await deploy_table(clients, settings.token_table, indexed=True)
    yield await deploy_table(clients, settings.jobs_table, indexed=False)
    for function, role in _FUNCTIONS:
        async for done in _function(clients, function(settings), role(settings, place)):
            yield done
    arn, done = await deploy_role(clients, workflow_role(settings, place))
    yield done
    yield await deploy_workflow(clients, settings, place.state_machine(settings.state_machine), arn)
    async for done in earlier_roles(clients, settings):
        yield done


async def _function(clients: AdminClients, function: Function, role: Role) -> AsyncIterator[Deployed]:
    held = await held_function(clients, function.name)
    if held is not None and not made_by_deploy(held):
        yield Deployed("function", function.name, "left alone", "somebody else made it")
        return
    arn, done = await deploy_role(clients, role)
    yield done
    yield await deploy_function(clients, function, held, arn)
    async for done in deploy_invocation(clients, function):
        yield done
