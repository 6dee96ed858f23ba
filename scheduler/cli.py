"""The command line. Data goes to standard output, messages for people to standard error."""

import asyncio
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from scheduler import __version__
from scheduler.errors import SchedulerError, SettingsError
from scheduler.settings import Settings, unknown_variables

FAILED, BAD_USAGE = 1, 2

app = typer.Typer(
    name="callback-scheduler",
    help="Polls the slow jobs that Step Functions workflows wait for, and answers the waiting tasks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def main() -> NoReturn:
    """Run the command line; ends the process with 0 done, 1 failed, 2 bad usage or settings."""
    try:
        app()
    except SettingsError as error:
        _say(str(error))
        sys.exit(BAD_USAGE)
    except SchedulerError as error:
        _say(str(error))
        sys.exit(FAILED)
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def _say(text: str) -> None:
    print(f"callback-scheduler: {text}", file=sys.stderr)  # noqa: T201


def _print(data: object) -> None:
    print(json.dumps(data, default=str) if not isinstance(data, str) else data, flush=True)  # noqa: T201


def _settings(**given: Any) -> Settings:
    settings = Settings.load(**given)
    for line in unknown_variables(os.environ):
        _say(f"warning: {line}")
    return settings


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        _print(__version__)
        raise typer.Exit


@app.command(epilog="Example: SCHEDULER_INTERVAL_SECONDS=1 callback-scheduler run")
def run() -> None:
    """Run the daemon: tick on schedule until SIGTERM or SIGINT. Logs go to standard output."""
    from scheduler import log
    from scheduler.daemon import run_daemon

    settings = Settings.load()
    log.configure(settings.log_level, settings.log_format)
    for line in unknown_variables(os.environ):
        log.logger().warning("settings.unknown", message=line)
    try:
        asyncio.run(run_daemon(settings))
    except SchedulerError as error:
        log.logger().error("scheduler.failed", error=str(error))
        raise
    except Exception:  # noqa: BLE001  whatever it is, it is logged as one line like everything else
        log.logger().critical("scheduler.crashed", exc_info=True)
        sys.exit(FAILED)


@app.command(epilog="Example: callback-scheduler tick --json")
def tick(json_: Json = False) -> None:
    """Run one tick, for an outside cron. Prints what it did; logs go to standard error."""
    from scheduler import clock, log
    from scheduler.assembly import assembled
    from scheduler.engine.report import TickReport
    from scheduler.engine.sweep import sweep_once

    settings = _settings()
    log.configure(settings.log_level, settings.log_format, sys.stderr)

    async def work() -> TickReport:
        async with assembled(settings) as parts:
            await parts.probe()
            await parts.poller.probe()
            await sweep_once(parts.finder, clock.now())
            return await parts.ticker.run_alone(os.urandom(4).hex())

    report = asyncio.run(work())
    shown = report.shown()
    _print(shown if json_ else " ".join(f"{name}={value}" for name, value in shown.items() if name != "trouble"))
    if report.trouble:
        raise SchedulerError(report.trouble)


@app.command(epilog="Example: AWS_ENDPOINT_URL=http://localhost:4566 callback-scheduler deploy")
def deploy(json_: Json = False) -> None:
    """Create or update tables, roles, functions and the state machine; run twice, it changes nothing."""
    from scheduler.aws import deploy as deploying
    from scheduler.aws.clients import admin_clients

    settings = _settings()

    async def work() -> None:
        done = []
        async with admin_clients() as clients:
            async for resource in deploying.deploy(clients, settings):
                done.append(asdict(resource))
                if not json_:
                    _print(resource.line)
        if json_:
            _print(done)

    asyncio.run(work())


@app.command(
    epilog='Example: echo \'{"pollingConfig": {"intervalSeconds": 5}}\' | callback-scheduler start --input - --wait'
)
def start(
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many executions.")] = 1,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until all have ended; fail unless each succeeded.")
    ] = False,
    timeout: Annotated[float | None, typer.Option(min=1, help="Seconds to wait at most; without it, for ever.")] = None,
    input_: Annotated[str, typer.Option("--input", metavar="FILE|-", help="The input, a JSON object.")] = "",
    json_: Json = False,
) -> None:
    """Start executions of the workflow; prints the ARN of each."""
    from scheduler.aws.clients import admin_clients
    from scheduler.aws.workflows import Execution, Workflows, started, waited_for

    settings = _settings()
    given = _read_input(input_) if input_ else {}

    async def work() -> list[Execution]:
        async with admin_clients() as clients:
            workflows = Workflows(clients, settings.state_machine)
            arns = await started(workflows, given, count)
            if not wait:
                _print([{"executionArn": arn} for arn in arns] if json_ else "\n".join(arns))
                return []
            try:
                async with asyncio.timeout(timeout):
                    return await waited_for(workflows, arns)
            except TimeoutError:
                message = f"not all executions have ended within {timeout:g} s; they go on"
                raise SchedulerError(message) from None

    executions = asyncio.run(work())
    if executions and json_:
        _print([execution.shown() for execution in executions])
    elif executions:
        for each in executions:
            _print("  ".join(filter(None, [each.arn, each.status, each.outcome, each.reason])))
    bad = [execution for execution in executions if not execution.succeeded]
    if bad:
        message = f"{len(bad)} of {len(executions)} executions did not succeed"
        raise SchedulerError(message)


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


@app.command(epilog="Example: callback-scheduler poll job-5f0c")
def poll(job_id: str, json_: Json = False) -> None:
    """Poll one job at once, due or not. Prints what the poller Lambda would reply."""
    from scheduler import clock, log
    from scheduler.assembly import assembled
    from scheduler.core.row_reader import read_found
    from scheduler.core.states import POLLING
    from scheduler.engine.poll_log import log_outcome

    settings = _settings(mode="direct")
    log.configure(settings.log_level, settings.log_format, sys.stderr)

    async def work() -> dict[str, Any]:
        async with assembled(settings) as parts:
            item = await parts.table.get(job_id)
            if item is None:
                message = f"job {job_id!r} is not in table {settings.token_table}"
                raise SchedulerError(message)
            status = item.get("status", {}).get("S")
            if status != POLLING:
                return {"status": status}
            (outcome,) = await parts.poller.poll([read_found(item)], clock.now())
            log_outcome(log.logger(), outcome, 0)
            return outcome.reply()

    reply = asyncio.run(work())
    _print(reply if json_ else "  ".join(f"{name}={log.printable(str(value))}" for name, value in reply.items()))


@app.command(epilog="Example: callback-scheduler monitor --watch")
def monitor(
    watch: Annotated[bool, typer.Option("--watch", help="Redraw until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two drawings.")] = 2.0,
    limit: Annotated[
        int, typer.Option(min=1, max=100, help="Most entries of each table, the waiting and new first.")
    ] = 20,
    json_: Json = False,
) -> None:
    """Show token rows, jobs, executions and functions."""
    from rich.console import Console
    from rich.live import Live

    from scheduler.aws.clients import admin_clients
    from scheduler.monitor import as_data, as_tables, survey

    settings = _settings()

    async def work() -> bool:
        async with admin_clients() as clients:
            sections = await survey(clients, settings, limit)
            if not watch:
                if json_:
                    _print(as_data(sections))
                else:
                    Console().print(as_tables(sections))
                return not any(section.problem for section in sections)
            with Live(as_tables(sections), console=Console(), auto_refresh=False, vertical_overflow="visible") as live:
                while True:
                    await asyncio.sleep(every)
                    live.update(as_tables(await survey(clients, settings, limit)), refresh=True)

    if not asyncio.run(work()):
        message = "not everything could be shown"
        raise SchedulerError(message)


@app.command(epilog="Example: callback-scheduler check && callback-scheduler run")
def check(json_: Json = False) -> None:
    """Check the settings, and that the tables, functions and the state machine can be reached."""
    from scheduler.aws.clients import admin_clients
    from scheduler.preflight import checks

    settings = _settings()

    async def work() -> list[dict[str, Any]]:
        async with admin_clients() as clients:
            return [asdict(result) async for result in checks(clients, settings)]

    results = asyncio.run(work())
    if json_:
        _print(results)
    else:
        for result in results:
            _print(f"{'ok' if result['ok'] else 'FAILED':<7} {result['what']}: {result['detail']}")
    if not all(result["ok"] for result in results):
        message = "not all can be used"
        raise SchedulerError(message)


@app.command(epilog="Example: callback-scheduler healthcheck")
def healthcheck() -> None:
    """Ask the daemon on this machine whether it is ready; for the container's health check."""
    import urllib.error
    import urllib.request

    settings = Settings.load()
    if settings.http_port == 0:
        message = "SCHEDULER_HTTP_PORT=0 lets the daemon pick a port that this command cannot know"
        raise SettingsError(message)
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.http_host, settings.http_host)  # noqa: S104
    # The daemon is next door: a proxy that the environment names must not be asked for it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{host}:{settings.http_port}/readyz", timeout=3) as response:
            _print(response.read().decode())
    except urllib.error.HTTPError as error:
        raise SchedulerError(error.read().decode("utf-8", "replace")) from error
    except OSError as error:
        message = f"the daemon does not answer on {host}:{settings.http_port}: {error}"
        raise SchedulerError(message) from error


@app.command(epilog="Example: callback-scheduler demo")
def demo(
    succeeding: Annotated[int, typer.Option(min=0, max=200, help="Workflows whose job succeeds.")] = 5,
    interval: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds between two polls of a job.")] = 1.0,
    mode: Annotated[str, typer.Option(help="direct or lambda.")] = "direct",
    keep: Annotated[bool, typer.Option("--keep", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Show everything on an embedded local cloud: workflows wait, are polled and end. No Docker, no account."""
    from scheduler.demo import run_demo

    if not asyncio.run(run_demo(succeeding, interval, mode, keep=keep)):
        message = "not every workflow ended as it should"
        raise SchedulerError(message)
