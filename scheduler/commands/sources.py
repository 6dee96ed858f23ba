"""The sources of the file: `sources` lists them; `sources test`, `presets` and `show` look closer."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from scheduler.commands.output import Json, read_settings, say, show
from scheduler.errors import SchedulerError, SettingsError

NO_FILE = "SCHEDULER_SOURCES is not set: it takes the path of a YAML file, or JSON that begins with {"

sources_app = typer.Typer(
    help="List the sources of the file that SCHEDULER_SOURCES names; test one, or look at the presets.",
    epilog="Example: SCHEDULER_SOURCES=sources.yaml callback-scheduler sources",
    rich_markup_mode=None,
)


@sources_app.callback(invoke_without_command=True)
def sources(context: typer.Context, json_: Json = False) -> None:
    """List the sources of the file, with what the check of botocore's models said."""
    if context.invoked_subcommand is not None:
        return
    from scheduler.source_file import read_sources
    from scheduler.source_listing import listed

    settings = read_settings()
    if not settings.sources:
        raise SettingsError(NO_FILE)
    entries = listed(read_sources(settings.sources))
    if json_:
        show([asdict(entry) for entry in entries])
        return
    for entry in entries:
        show(f"{entry.name}  {entry.asks}  {entry.checked}")
        for warning in entry.warnings:
            show(f"  warning: {warning}")


@sources_app.command(
    "test", epilog="""Example: callback-scheduler sources test reports job-5f0c --input '{"tenant": "acme"}'"""
)
def ask(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    job_id: Annotated[str, typer.Argument(metavar="JOB_ID")],
    input_: Annotated[str, typer.Option("--input", metavar="JSON", help="The row's input, a JSON object.")] = "{}",
    json_: Json = False,
) -> None:
    """Ask a source once: shows the request without its secrets, the reply, the rule that matched and the answer.

    No row is needed, and no workflow is answered. Exit codes: 0 where the reply says clearly how the job stands, 1
    where it does not or nothing could be asked, 2 for bad usage or settings.
    """
    from scheduler import clock, log
    from scheduler.asking import answer_of, ask_once, is_clear
    from scheduler.checks.findings import meant
    from scheduler.commands.running import run_to_end
    from scheduler.source_file import read_sources

    given = _input(input_)
    settings = read_settings()
    if not settings.sources:
        raise SettingsError(NO_FILE)
    specs = read_sources(settings.sources).specs
    if name not in specs:
        message = f"there is no source {name!r} in the file, but {', '.join(specs) or 'none'}{meant(name, specs)}"
        raise SettingsError(message)
    asked = run_to_end(ask_once(settings, specs[name], job_id, given))
    answer = answer_of(asked.report, job_id, clock.now())
    told: dict[str, Any] = {
        "request": dict(asked.request),
        "reply": asked.reply,
        "rule": asked.rule or "none",
        "report": type(asked.report).__name__,
        "answer": answer,
    }
    if json_:
        show({"source": name, "jobId": job_id, **told})
    else:
        for what, value in told.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            show(f"{what:<8} {log.printable(text)}")
    if not is_clear(asked.report):
        message = f"source {name} did not say how job {job_id} stands"
        raise SchedulerError(log.printable(message))


@sources_app.command(epilog="Example: callback-scheduler sources presets")
def presets(json_: Json = False) -> None:
    """List the presets, with what each waits for."""
    from scheduler.sources.presets import presets as all_presets

    found = all_presets().values()
    if json_:
        show([asdict(each) for each in found])
        return
    width = max(len(each.name) for each in found)
    for each in found:
        needed = [name for name, parameter in each.parameters.items() if parameter.needed]
        given = f" (with {', '.join(needed)})" if needed else ""
        show(f"{each.name:<{width}}  {each.about}{given}")


@sources_app.command("show", epilog="Example: callback-scheduler sources show glue-job-run")
def show_preset(name: Annotated[str, typer.Argument(metavar="PRESET")], json_: Json = False) -> None:
    """Show a preset: its parameters, what it counts a partial success as, and the entry that it stands for."""
    from scheduler.checks.findings import meant
    from scheduler.sources.plain_yaml import write_yaml
    from scheduler.sources.presets import preset
    from scheduler.sources.presets import presets as all_presets

    found = preset(name)
    if found is None:
        lists = "`callback-scheduler sources presets` lists them"
        say(f"there is no preset {name!r}; {lists}{meant(name, all_presets())}")
        raise typer.Exit(2)
    if json_:
        show(asdict(found))
        return
    show(f"{found.name}: {found.about}")
    show(f"jobId: {found.job_id}")
    for each, parameter in found.parameters.items():
        default = "needed" if parameter.needed else f"default {json.dumps(parameter.default)}"
        show(f"with {each}: {parameter.about} ({default})")
    if found.partial:
        show(f"partial success: {found.partial}")
    show(write_yaml(found.entry).rstrip())


def _input(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except ValueError as error:
        message = f"it is not JSON: {error}"
        raise typer.BadParameter(message, param_hint="--input") from error
    if not isinstance(given, dict):
        message = "it is not a JSON object"
        raise typer.BadParameter(message, param_hint="--input")
    return given
