"""The demo: an embedded local cloud, the daemon and some workflows, watched until each has ended as it should."""

import asyncio
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scheduler import log
from scheduler.aws.admin import read_item, read_rows
from scheduler.aws.clients import LOCAL_REGION, AdminClients, admin_clients
from scheduler.aws.deploy import deploy, deploy_without_lambda
from scheduler.aws.workflows import RUNNING, Execution, Workflows
from scheduler.daemon import Daemon
from scheduler.emulator import emulator
from scheduler.job_service import job_service, source
from scheduler.monitor import attempts, styled
from scheduler.settings import Settings
from scheduler.source_file import read_sources
from scheduler.sources.file import Sources

_LONGEST_SECONDS = 300.0
"""A demo that has not ended by then has failed."""
_REDRAW_SECONDS = 0.5


@dataclass(slots=True)
class Workflow:
    """One workflow of the demo: how it should end, and how it stands."""

    name: str
    given: dict[str, Any]
    outcome: str
    reason: str | None = None
    without_lambda: bool = False
    started_at: float = 0.0
    waited_seconds: float = 0.0
    attempts: str = ""
    execution: Execution | None = None

    @property
    def ended(self) -> bool:
        """Whether its execution has ended."""
        return self.execution is not None and self.execution.ended

    @property
    def as_expected(self) -> bool:
        """Whether it ended as it should, for the reason it should."""
        if self.execution is None or self.execution.outcome != self.outcome:
            return False
        return self.reason is None or self.reason in (self.execution.reason or "")


def workflows(succeeding: int, interval: float) -> list[Workflow]:
    """Give the workflows of the demo: some that succeed, one whose job fails, one that runs out of attempts.

    One more needs no function: its job is that of a service with an HTTP API.
    """
    config = {"intervalSeconds": interval, "maxAttempts": 10}

    def given(name: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"record": {"id": name, "data": data}, "pollingConfig": config | more}

    good = [f"report-{number}" for number in range(1, succeeding + 1)]
    reason = "the disk of the job's machine is full"
    return [
        *(Workflow(name, given(name, {}), "SUCCESS") for name in good),
        Workflow("broken-job", given("broken-job", {"failWith": reason}), "FAILED", f"JobFailed: {reason}"),
        Workflow(
            "endless-job",
            given("endless-job", {"completionPolls": 1_000}, maxAttempts=3),
            "FAILED",
            "MaxAttemptsExceeded",
        ),
        Workflow("without-lambda", {"record": {"id": "without-lambda"}}, "SUCCESS", without_lambda=True),
    ]


async def run_demo(succeeding: int, interval: float, mode: str, *, keep: bool) -> bool:
    """Run the demo; tells whether each workflow ended as it should. Raises SettingsError or SchedulerError."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "SCHEDULER_"))]:
        # The demo is a world of its own: nothing of the user's AWS account or settings may reach into it.
        del os.environ[name]
    load = partial(
        Settings.load, interval_seconds=interval, mode=mode, http_port=0, log_level="error", log_format="console"
    )
    settings = load()
    log.configure(settings.log_level, settings.log_format, sys.stderr)
    console = Console()
    say = Console(stderr=True, highlight=False).print
    say("starting the embedded cloud ...")
    async with emulator() as endpoint:
        os.environ |= {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": LOCAL_REGION,
        }
        async with (
            admin_clients() as clients,
            job_service(lambda job_id: read_item(clients, settings.jobs_table, job_id)) as url,
        ):
            settings = load(sources=json.dumps({"reports": source(url, interval)}))
            sources = read_sources(settings.sources)
            for deployed in (deploy(clients, settings, sources.entries), deploy_without_lambda(clients, settings)):
                async for done in deployed:
                    say(f"{done.action} {done.kind} {done.name}", style="dim")
            async with _daemon(settings, sources) as running:
                watching = asyncio.create_task(
                    _watch(clients, settings, workflows(succeeding, interval), console), name="watch"
                )
                try:
                    await asyncio.wait({watching, running}, return_when=asyncio.FIRST_COMPLETED)
                    if running.done():
                        running.result()
                    good = await watching
                finally:
                    watching.cancel()
                if keep:
                    stopped = _stopped_by_signal()
                    say(f"the cloud and the daemon go on until Ctrl-C; to look around: AWS_ENDPOINT_URL={endpoint}")
                    await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
                return good


def _stopped_by_signal() -> "asyncio.Future[None]":
    """Take Ctrl-C for the regular end, as it is once everything has been shown."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        if not stopped.done():
            stopped.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return stopped


@asynccontextmanager
async def _daemon(settings: Settings, sources: Sources) -> AsyncIterator["asyncio.Task[None]"]:
    daemon = Daemon(settings, sources=sources)
    running = asyncio.create_task(daemon.run(), name="daemon")
    try:
        yield running
    finally:
        daemon.stop()
        await asyncio.wait({running})


async def _watch(clients: AdminClients, settings: Settings, shown: list[Workflow], console: Console) -> bool:
    executions = Workflows(clients, settings.state_machine)
    without_lambda = Workflows(clients, settings.state_machine_without_lambda)
    deadline = time.monotonic() + _LONGEST_SECONDS
    arns: dict[str, Workflow] = {}
    for workflow in shown:
        machine = without_lambda if workflow.without_lambda else executions
        arns[await machine.start(workflow.given, f"{workflow.name}-{uuid.uuid4().hex}")] = workflow
        workflow.started_at = time.monotonic()
    with Live(_table(shown), console=console, auto_refresh=False) as live:
        while not all(workflow.ended for workflow in shown) and time.monotonic() < deadline:
            await asyncio.sleep(_REDRAW_SECONDS)
            rows = {row.get("executionId"): row for row in await read_rows(clients, settings.token_table)}
            for arn, workflow in arns.items():
                if not workflow.ended:
                    workflow.execution = await executions.describe(arn)
                    workflow.waited_seconds = time.monotonic() - workflow.started_at
                if row := rows.get(arn):
                    workflow.attempts = attempts(row)
            live.update(_table(shown), refresh=True)
    good = sum(workflow.as_expected for workflow in shown)
    console.print(f"\n{good} of {len(shown)} workflows ended as they should")
    return good == len(shown)


def _table(shown: list[Workflow]) -> Table:
    table = Table(title="workflows that wait for a slow job", title_justify="left", title_style="bold")
    for name in ("workflow", "attempts", "status", "waited", "reason", "as it should"):
        table.add_column(name)
    for workflow in shown:
        execution = workflow.execution
        status = (execution.outcome if execution and execution.ended else None) or RUNNING
        verdict = ("yes" if workflow.as_expected else "NO") if workflow.ended else ""
        table.add_row(
            Text(workflow.name),
            workflow.attempts,
            styled(status),
            f"{workflow.waited_seconds:.1f} s",
            Text((execution and execution.reason) or ""),
            Text(verdict, "green" if verdict == "yes" else "red"),
        )
    return table
