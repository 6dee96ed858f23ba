"""Looking at what is there: `monitor` and `check`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scheduler.commands.output import Json, read_settings, show
from scheduler.errors import SchedulerError, SettingsError

if TYPE_CHECKING:
    from scheduler.monitor import Section


def monitor(
    watch: Annotated[bool, typer.Option("--watch", help="Redraw until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two drawings.")] = 2.0,
    limit: Annotated[
        int, typer.Option(min=1, max=100, help="Most entries of each table, the waiting and new first.")
    ] = 20,
    json_: Json = False,
) -> None:
    """Show token rows, jobs, executions and functions."""
    import asyncio

    from rich.console import Console
    from rich.live import Live

    from scheduler.aws.clients import admin_clients
    from scheduler.commands.running import run_to_end
    from scheduler.monitor import as_data, as_tables, survey

    settings = read_settings()
    console = Console()

    def draw(sections: "list[Section]") -> None:
        if json_:
            show(as_data(sections))
        else:
            console.print(as_tables(sections))

    async def work() -> bool:
        async with admin_clients(brief=True) as clients:
            sections = await survey(clients, settings, limit)
            if json_ or not watch or not console.is_terminal:
                draw(sections)
                while watch:
                    await asyncio.sleep(every)
                    draw(await survey(clients, settings, limit))
                return not any(section.problem for section in sections)
            with Live(as_tables(sections), console=console, auto_refresh=False, vertical_overflow="visible") as live:
                while True:
                    await asyncio.sleep(every)
                    live.update(as_tables(await survey(clients, settings, limit)), refresh=True)

    if not run_to_end(work()):
        message = "not everything could be shown"
        raise SchedulerError(message)


def check(json_: Json = False) -> None:
    """Check the settings and the file of sources, and that tables, functions, state machine and sources are there."""
    from scheduler.aws.clients import admin_clients
    from scheduler.commands.running import run_to_end
    from scheduler.preflight import checks

    settings = read_settings()

    async def work() -> list[dict[str, Any]]:
        async with admin_clients(once=True) as clients:
            return [asdict(result) async for result in checks(clients, settings)]

    results = run_to_end(work())
    if json_:
        show(results)
    else:
        for result in results:
            show(f"{'ok' if result['ok'] else 'FAILED':<7} {result['what']}: {result['detail']}")
    if any(result["what"] == "sources" and not result["ok"] for result in results):
        message = "the file of sources has faults"
        raise SettingsError(message)
    if not all(result["ok"] for result in results):
        message = "not all can be used"
        raise SchedulerError(message)
