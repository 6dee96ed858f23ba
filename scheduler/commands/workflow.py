"""The workflow: `deploy` makes it, `start` starts executions of it."""

import json
import sys
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scheduler.commands.output import Json, read_settings, say, show
from scheduler.errors import SchedulerError, SettingsError

if TYPE_CHECKING:
    from scheduler.aws.workflows import Execution


class WorkflowKind(StrEnum):
    """The workflows that can be deployed."""

    CALLBACK = "callback"
    WITHOUT_LAMBDA = "without-lambda"


def deploy(
    workflow: Annotated[
        WorkflowKind,
        typer.Option(help="callback, with its functions, or without-lambda: tables, a role and a state machine alone."),
    ] = WorkflowKind.CALLBACK,
    json_: Json = False,
) -> None:
    """Create or update tables, roles, functions and the state machine; run twice, it changes nothing."""
    from scheduler.aws import deploy as deploying
    from scheduler.aws.arns import place_of
    from scheduler.aws.brief_calls import answering
    from scheduler.aws.clients import admin_clients
    from scheduler.commands.running import run_to_end
    from scheduler.source_file import read_sources

    settings = read_settings()
    without_lambda = workflow is WorkflowKind.WITHOUT_LAMBDA
    if not without_lambda and settings.state_machine == settings.state_machine_without_lambda:
        message = (
            f"SCHEDULER_STATE_MACHINE={settings.state_machine!r} is the name of the workflow without a Lambda:"
            " say --workflow without-lambda, or another name"
        )
        raise SettingsError(message)
    entries = read_sources(settings.sources).entries

    async def work() -> None:
        done = []
        async with admin_clients() as clients:
            # Deploying is patient with what it makes, but not with a cloud that says nothing at all.
            async with answering(clients.sts):
                await place_of(clients)
            deployed = (
                deploying.deploy_without_lambda(clients, settings)
                if without_lambda
                else deploying.deploy(clients, settings, entries)
            )
            async for resource in deployed:
                done.append(asdict(resource))
                if not json_:
                    show(resource.line)
        if json_:
            show(done)

    run_to_end(work())


def start(
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many executions.")] = 1,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until all have ended; fail unless each succeeded.")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(min=1, help="Seconds to --wait at most; without it, for ever.")
    ] = None,
    input_: Annotated[str, typer.Option("--input", metavar="FILE|-", help="The input, a JSON object.")] = "",
    json_: Json = False,
) -> None:
    """Start executions of the workflow; prints the ARN of each at once, or with --wait how each ended."""
    import asyncio
    from contextlib import aclosing

    from scheduler.aws.admin import executions_with_rows
    from scheduler.aws.clients import admin_clients
    from scheduler.aws.executions import started, watched
    from scheduler.aws.patience import Patience
    from scheduler.aws.workflows import Workflows
    from scheduler.commands.progress import Progress
    from scheduler.commands.running import run_to_end

    if timeout is not None and not wait:
        message = "it says how long to --wait, which is not asked for"
        raise typer.BadParameter(message, param_hint="--timeout")
    settings = read_settings()
    given = _read_input(input_) if input_ else {}
    output = _Output(json_=json_, wait=wait)

    async def work() -> None:
        patience = Patience(say)
        async with admin_clients(brief=True) as clients:
            workflows = Workflows(clients, settings.state_machine)
            async with aclosing(started(workflows, given, count, patience)) as arns:
                async for arn in arns:
                    output.started(arn)
            if not wait:
                return
            rows = partial(executions_with_rows, clients, settings.token_table)
            progress = Progress(output.arns, rows, settings.create_job_function, say)
            try:
                async with asyncio.timeout(timeout), aclosing(watched(workflows, output.arns, patience)) as looks:
                    async for execution in looks:
                        if execution.ended:
                            output.ended(execution)
                        await progress.looked(execution)
            except TimeoutError:
                message = f"{progress.left} of {count} executions have not ended within {timeout:g} s; they go on"
                raise SchedulerError(message) from None

    try:
        run_to_end(work())
    finally:
        output.close()
    if output.bad:
        message = f"{output.bad} of {count} executions did not succeed"
        raise SchedulerError(message)


class _Output:
    """What `start` prints of each execution: its ARN where it does not wait, and else how it ended, when it has.

    Whatever is known before that, the ARNs of what is waited for or stands in one JSON document at the end, is told to
    people, so that nobody who breaks off has lost it.
    """

    def __init__(self, *, json_: bool, wait: bool) -> None:
        self.bad = 0
        self._json = json_
        self._wait = wait
        self._entries: dict[str, dict[str, Any]] = {}

    @property
    def arns(self) -> list[str]:
        """Give the executions, in the order in which they started."""
        return list(self._entries)

    def started(self, arn: str) -> None:
        """Note an execution that has started."""
        self._entries[arn] = {"executionArn": arn} | ({"status": "RUNNING"} if self._wait else {})
        if self._json or self._wait:
            say(f"started {arn}")
        else:
            show(arn)

    def ended(self, execution: "Execution") -> None:
        """Note an execution that has ended."""
        from scheduler.log import printable

        self.bad += not execution.succeeded
        self._entries[execution.arn] = execution.shown()
        if not self._json:
            parts = [execution.arn, execution.status, execution.outcome, execution.reason]
            show("  ".join(printable(part) for part in parts if part))

    def close(self) -> None:
        """Print what is printed at the end: also where it has failed, for executions go on."""
        if self._json:
            show(list(self._entries.values()))


def _read_input(name: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
        given = json.loads(text)
    except OSError as error:
        message = f"cannot read the input {name}: {error.strerror}"
        raise SchedulerError(message) from error
    except ValueError as error:
        message = f"the input {name} is not JSON: {error}"
        raise SchedulerError(message) from error
    if not isinstance(given, dict):
        message = f"the input {name} is not a JSON object"
        raise SchedulerError(message)
    return given
