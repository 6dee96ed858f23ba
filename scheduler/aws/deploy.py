"""Deploying: everything is created or brought up to date, one resource after the other, each waited for."""

from collections.abc import AsyncIterator, Iterator

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
from scheduler.aws.deploy_workflow import Workflow, deploy_workflow, with_functions, without_functions
from scheduler.aws.deployed import Deployed
from scheduler.aws.poller_sources import NONE, Entries, askable, out_of_reach, require_askable
from scheduler.aws.roles import (
    Role,
    create_job_role,
    poller_role,
    simulated_api_role,
    workflow_role,
    workflow_without_lambda_role,
)
from scheduler.aws.source_rights import not_granted
from scheduler.settings import Settings

__all__ = ["Deployed", "deploy", "deploy_table", "deploy_without_lambda"]


async def deploy(clients: AdminClients, settings: Settings, entries: Entries = NONE) -> AsyncIterator[Deployed]:
    """Create or update everything, and tell of each resource; `entries` are those of the file of sources, expanded.

    Raises CloudError, and SettingsError where the poller Lambda is to ask what it cannot ask.
    """
    require_askable(settings, entries)
    place = await place_of(clients)
    async for done in _tables(clients, settings):
        yield done
    packed = askable(entries)
    for function, role in [
        (simulated_api(settings), simulated_api_role(settings, place)),
        (create_job(settings), create_job_role(settings, place)),
        (poller(settings, packed), poller_role(settings, place, packed)),
    ]:
        async for done in _function(clients, function, role):
            yield done
    for done in _of_sources(entries):
        yield done
    async for done in _workflow(clients, place, with_functions(settings), workflow_role(settings, place)):
        yield done
    async for done in earlier_roles(clients, settings):
        yield done


def _of_sources(entries: Entries) -> Iterator[Deployed]:
    """Tell what a person should know of sources that the poller Lambda does not ask, or may not yet."""
    for name, entry in entries.items():
        if reason := out_of_reach(entry):
            yield Deployed("source", name, "left alone", f"not for the poller Lambda: {reason}")
        elif right := not_granted(entry):
            yield Deployed("source", name, "left alone", right)


async def deploy_without_lambda(clients: AdminClients, settings: Settings) -> AsyncIterator[Deployed]:
    """Create or update what the workflow without a Lambda needs, and no function. Raises CloudError."""
    place = await place_of(clients)
    async for done in _tables(clients, settings):
        yield done
    role = workflow_without_lambda_role(settings, place)
    async for done in _workflow(clients, place, without_functions(settings), role):
        yield done


async def _tables(clients: AdminClients, settings: Settings) -> AsyncIterator[Deployed]:
    yield await deploy_table(clients, settings.token_table, indexed=True)
    yield await deploy_table(clients, settings.jobs_table, indexed=False)


async def _workflow(clients: AdminClients, place: Place, workflow: Workflow, role: Role) -> AsyncIterator[Deployed]:
    arn, done = await deploy_role(clients, role)
    yield done
    yield await deploy_workflow(clients, workflow, place.state_machine(workflow.name), arn)


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
