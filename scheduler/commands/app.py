"""The commands, each with its example, and how the process ends."""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from scheduler import __version__
from scheduler.commands.daemon import healthcheck, run
from scheduler.commands.demo import demo
from scheduler.commands.exits import BAD_USAGE, FAILED
from scheduler.commands.looking import check, monitor
from scheduler.commands.output import say, show
from scheduler.commands.polling import poll, tick
from scheduler.commands.sources import sources_app
from scheduler.commands.workflow import deploy, start
from scheduler.errors import SchedulerError, SettingsError

EXAMPLES: dict[Callable[..., None], str] = {
    run: "SCHEDULER_INTERVAL_SECONDS=1 callback-scheduler run",
    tick: "callback-scheduler tick --json",
    deploy: "AWS_ENDPOINT_URL=http://localhost:4566 callback-scheduler deploy",
    start: 'echo \'{"pollingConfig": {"intervalSeconds": 5}}\' | callback-scheduler start --input - --wait',
    poll: "callback-scheduler poll job-5f0c",
    monitor: "callback-scheduler monitor --watch",
    check: "callback-scheduler check && callback-scheduler run",
    healthcheck: "callback-scheduler healthcheck --live",
    demo: "callback-scheduler demo",
}
"""Every command, in the order in which --help shows them."""

app = typer.Typer(
    name="callback-scheduler",
    help="Polls the slow jobs that Step Functions workflows wait for, and answers the waiting tasks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command, example in EXAMPLES.items():
    app.command(epilog=f"Example: {example}")(command)
app.add_typer(sources_app, name="sources")


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        show(__version__)
        raise typer.Exit


def main() -> NoReturn:
    """Run the command line; ends the process with 0 done, 1 failed, 2 bad usage or settings."""
    code: str | int | None = 0
    try:
        app()
    except SettingsError as error:
        for line in str(error).splitlines():
            say(line)
        code = BAD_USAGE
    except SchedulerError as error:
        say(str(error))
        code = FAILED
    except SystemExit as end:
        code = end.code
    if isinstance(code, int) and threading.active_count() > 1:
        # A thread that still looks up a name would hold the process until it has an answer.
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
