"""Checking that what the settings name can be reached."""

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass

from scheduler.aws.clients import AdminClients
from scheduler.aws.functions import Functions
from scheduler.aws.time_to_live import ttl_attribute, ttl_told
from scheduler.aws.token_table import TokenTable
from scheduler.aws.workflows import Workflows
from scheduler.errors import CloudError
from scheduler.settings import Settings
from scheduler.source_listing import sources_checked
from scheduler.sourcing import wants_default


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing that was checked."""

    what: str
    ok: bool
    detail: str


async def checks(clients: AdminClients, settings: Settings) -> AsyncIterator[Checked]:
    """Check what the daemon needs in its mode, then the workflow."""
    yield Checked("settings", ok=True, detail=f"{settings.mode} mode, {settings.schedule}")
    functions = Functions(clients)
    if settings.sources:
        async for what, ok, detail in sources_checked(settings.sources, functions, settings.check_timeout_seconds):
            yield Checked(what, ok, detail)
    table = TokenTable(clients, settings.token_table, settings.due)
    try:
        found = "with" if (await table.probe()).indexed else "no"
        yield Checked(f"table {settings.token_table}", ok=True, detail=f"reachable, {found} index due")
        yield await _ttl(clients, settings.token_table)
    except CloudError as error:
        yield Checked(f"table {settings.token_table}", ok=False, detail=str(error))
    yield await _function(functions, settings)
    yield await _reached(f"state machine {settings.state_machine}", Workflows(clients, settings.state_machine).probe())


async def _function(functions: Functions, settings: Settings) -> Checked:
    """Check the one function that is asked or invoked; it may be missing where no row needs it."""
    if settings.mode != "direct":
        name = settings.poller_function
        return await _reached(f"function {name}", functions.probe(name))
    name = settings.source_function
    checked = await _reached(f"function {name}", functions.probe(name))
    if checked.ok or wants_default(settings, named=bool(settings.sources)):
        return checked
    return Checked(checked.what, ok=True, detail="not reachable; only rows that name no source need it")


async def _reached(what: str, probe: Awaitable[None]) -> Checked:
    try:
        await probe
    except CloudError as error:
        return Checked(what, ok=False, detail=str(error))
    return Checked(what, ok=True, detail="reachable")


async def _ttl(clients: AdminClients, table: str) -> Checked:
    """Say what deletes the table's rows; nothing that polls needs it, nor the right to ask."""
    try:
        told = ttl_told(await ttl_attribute(clients.dynamodb, table))
    except CloudError as error:
        told = f"not known: {error}"
    return Checked(f"TTL of table {table}", ok=True, detail=told)
