"""What is going on: token rows, jobs, executions and functions, as data and as tables."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from scheduler.aws.admin import read_functions, read_rows
from scheduler.aws.clients import AdminClients
from scheduler.aws.replica_table import ReplicaTable
from scheduler.aws.token_table import TokenTable
from scheduler.aws.workflows import Workflows
from scheduler.core.instant import Instant, format_iso
from scheduler.core.replica_rows import PREFIX
from scheduler.core.states import POLLING
from scheduler.errors import CloudError
from scheduler.log import printable
from scheduler.settings import Settings

_COLOURS = {
    "POLLING": "cyan",
    "RUNNING": "cyan",
    "IN_PROGRESS": "cyan",
    "COMPLETED": "green",
    "SUCCEEDED": "green",
    "SUCCESS": "green",
    "Active": "green",
    "alive": "green",
}


@dataclass(frozen=True, slots=True)
class Section:
    """One kind of resource: its entries, or why they cannot be shown."""

    title: str
    entries: list[dict[str, Any]]
    problem: str | None = None


async def survey(clients: AdminClients, settings: Settings, limit: int) -> list[Section]:
    """Read all sections at once; one that cannot be read says why and hides no other."""
    workflows = Workflows(clients, settings.state_machine)
    names = [settings.simulated_api_function, settings.create_job_function, settings.poller_function]
    return list(
        await asyncio.gather(
            _section("token rows", _token_rows(clients, settings.token_table, limit)),
            _section("replicas", _replicas(clients, settings)),
            _section("jobs", _jobs(clients, settings.jobs_table, limit)),
            _section("executions", _executions(workflows, limit)),
            _section("functions", read_functions(clients, names)),
        )
    )


def as_data(sections: Iterable[Section]) -> dict[str, Any]:
    """Give the sections as one JSON object."""
    shown: dict[str, Any] = {}
    for section in sections:
        title = section.title.replace(" r", "R")
        shown[title] = {"problem": section.problem} if section.problem else section.entries
    return shown


def as_tables(sections: Iterable[Section]) -> Group:
    """Give the sections as tables for a terminal."""
    return Group(*map(_table, sections))


def attempts(row: Mapping[str, Any]) -> str:
    """Give a row's status checks so far and at most: the attempt that gives a job up checks nothing."""
    count, most = row.get("attemptCount", 0), row.get("maxAttempts")
    if most is None:
        return str(count)
    if isinstance(count, int) and isinstance(most, int):
        count = min(count, most)
    return f"{count}/{most}"


def styled(status: str) -> Text:
    """Colour a status; whatever is neither waiting nor well is shown in red. Never read as markup."""
    return Text(printable(status), _COLOURS.get(status, "red"))


async def _section(title: str, entries: Any) -> Section:
    try:
        return Section(title, await entries)
    except CloudError as error:
        return Section(title, [], str(error))


async def _replicas(clients: AdminClients, settings: Settings) -> list[dict[str, Any]]:
    """Show the replicas that beat, what each holds and its version; without the index there are none."""
    table = TokenTable(clients, settings.token_table, settings.due)
    if not (await table.shape()).indexed:
        return []
    beats = await ReplicaTable(table, clients, settings.shards).beats()
    return [
        {
            "replica": beat.name,
            "status": "lagging" if beat.lagging else "alive",
            "held": beat.held,
            "lastBeat": format_iso(beat.at),
            "version": beat.program,
        }
        for beat in sorted(beats, key=lambda beat: beat.name)
    ]


async def _token_rows(clients: AdminClients, table: str, limit: int) -> list[dict[str, Any]]:
    rows = [row for row in await read_rows(clients, table) if not str(row["jobId"]).startswith(PREFIX)]
    rows.sort(key=lambda row: str(row.get("createdAt", "")), reverse=True)
    rows.sort(key=lambda row: row.get("status") != POLLING)
    return [
        {
            "jobId": row["jobId"],
            "status": row.get("status"),
            "attempts": attempts(row),
            "nextPollAt": _instant(row.get("nextPollAt")),
            "createdAt": row.get("createdAt"),
            "completedAt": row.get("completedAt"),
            "lastError": row.get("lastError"),
        }
        for row in rows[:limit]
    ]


async def _jobs(clients: AdminClients, table: str, limit: int) -> list[dict[str, Any]]:
    rows = await read_rows(clients, table)
    rows.sort(key=lambda row: str(row.get("createdAt", "")), reverse=True)
    return [
        {
            "jobId": row["jobId"],
            "status": row.get("status"),
            "polls": f"{row.get('pollCount', '?')}/{row.get('completionPolls', '?')}",
        }
        for row in rows[:limit]
    ]


async def _executions(workflows: Workflows, limit: int) -> list[dict[str, Any]]:
    listed = await workflows.latest(limit)
    described = await asyncio.gather(*(workflows.describe(entry["executionArn"]) for entry in listed))
    return [
        {
            "name": entry["name"],
            "status": execution.status,
            "outcome": execution.outcome,
            "reason": execution.reason,
            "startedAt": entry["startDate"].isoformat(timespec="seconds"),
        }
        for entry, execution in zip(listed, described, strict=True)
    ]


def _instant(at: object) -> str | None:
    return format_iso(Instant(at)) if isinstance(at, int) else None


def _table(section: Section) -> Table:
    # As wide as its title at least, which would be broken into two lines above "none".
    width = len(section.title)
    table = Table(title=section.title, title_justify="left", title_style="bold", min_width=width)
    if section.problem or not section.entries:
        table.add_column(Text(printable(section.problem or "none"), "red" if section.problem else "dim"))
        return table
    for name in section.entries[0]:
        table.add_column(name, overflow="fold")
    for entry in section.entries:
        table.add_row(
            *(
                styled(str(v)) if k in {"status", "outcome"} and v else Text(printable(str(v or "")))
                for k, v in entry.items()
            )
        )
    return table
