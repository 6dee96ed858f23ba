"""Checking that what the settings name can be reached."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from scheduler.aws.clients import AdminClients
from scheduler.aws.functions import Functions
from scheduler.aws.time_to_live import ttl_attribute, ttl_told
from scheduler.aws.token_table import TokenTable
from scheduler.aws.workflows import Workflows
from scheduler.errors import CloudError
from scheduler.settings import Settings


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing that was checked."""

    what: str
    ok: bool
    detail: str


async def checks(clients: AdminClients, settings: Settings) -> AsyncIterator[Checked]:
    """Check what the daemon needs in its mode, then the workflow."""
    yield Checked("settings", ok=True, detail=f"{settings.mode} mode, {settings.schedule}")
    table = TokenTable(clients, settings.token_table, settings.due)
    try:
        found = "with" if (await table.probe()).indexed else "no"
        yield Checked(f"table {settings.token_table}", ok=True, detail=f"reachable, {found} index due")
        yield await _ttl(clients, settings.token_table)
    except CloudError as error:
        yield Checked(f"table {settings.token_table}", ok=False, detail=str(error))
    functions = Functions(clients)
    function = settings.source_function if settings.mode == "direct" else settings.poller_function
    workflows = Workflows(clients, settings.state_machine)
    probes = {
        f"function {function}": functions.probe(function),
        f"state machine {settings.state_machine}": workflows.probe(),
    }
    for what, probe in probes.items():
        try:
            await probe
        except CloudError as error:
            yield Checked(what, ok=False, detail=str(error))
        else:
            yield Checked(what, ok=True, detail="reachable")


async def _ttl(clients: AdminClients, table: str) -> Checked:
    """Say what deletes the table's rows; nothing that polls needs it, nor the right to ask."""
    try:
        told = ttl_told(await ttl_attribute(clients.dynamodb, table))
    except CloudError as error:
        told = f"not known: {error}"
    return Checked(f"TTL of table {table}", ok=True, detail=told)
