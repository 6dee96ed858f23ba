"""Polling without the daemon: `tick` and `poll`."""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scheduler.commands.output import Json, read_settings, show
from scheduler.errors import SchedulerError

if TYPE_CHECKING:
    from scheduler.engine.report import TickReport


def tick(json_: Json = False) -> None:
    """Run one tick, for an outside cron. Prints what it did; logs go to standard error."""
    from scheduler import clock, log
    from scheduler.assembly import assembled
    from scheduler.aws.brief_calls import answering
    from scheduler.commands.running import run_to_end
    from scheduler.engine.sweep import sweep_once
    from scheduler.source_file import read_sources

    settings = read_settings()
    log.configure(settings.log_level, settings.log_format, sys.stderr)

    async def work() -> "TickReport":
        async with assembled(settings, read_sources(settings.sources)) as parts:
            async with answering(parts.clients.dynamodb):
                await parts.probe()
            if len(parts.dispatch.sources) == 1:  # else what is wrong with one of them is told when all is polled
                await parts.poller.probe()
            await sweep_once(parts.finder, clock.now())
            return await parts.ticker.run_alone(os.urandom(4).hex())

    report = run_to_end(work())
    shown = report.shown()
    show(shown if json_ else " ".join(f"{name}={value}" for name, value in shown.items() if name != "trouble"))
    if report.trouble:
        raise SchedulerError(report.trouble)


def poll(job_id: str, json_: Json = False) -> None:
    """Poll one job at once, due or not. Prints what the poller Lambda would reply."""
    from scheduler import clock, log
    from scheduler.assembly import assembled
    from scheduler.aws.brief_calls import answering
    from scheduler.aws.whereabouts import whereabouts
    from scheduler.commands.running import run_to_end
    from scheduler.core.attributes import from_item
    from scheduler.core.row_reader import read_found
    from scheduler.core.states import POLLING
    from scheduler.engine.poll_log import log_outcome
    from scheduler.source_file import read_sources

    settings = read_settings(mode="direct")
    log.configure(settings.log_level, settings.log_format, sys.stderr)

    async def work() -> tuple[dict[str, Any], str]:
        async with assembled(settings, read_sources(settings.sources)) as parts:
            async with answering(parts.clients.dynamodb):
                item = await parts.table.get(job_id)
            if item is None:
                place = whereabouts(parts.clients.dynamodb)
                message = f"job {job_id!r} is not in table {settings.token_table} ({place})"
                raise SchedulerError(message)
            row = from_item(item)
            if row.get("status") != POLLING:
                return {"status": row.get("status")}, _why_not_polled(row)
            found = read_found(item)
            (outcome,) = await parts.poller_of(found).poll([found], clock.now())
            log_outcome(log.logger(), outcome, 0)
            return outcome.reply(), ""

    reply, why = run_to_end(work())
    parts = [*(f"{name}={value}" for name, value in reply.items()), *filter(None, [why])]
    show(reply if json_ else "  ".join(map(log.printable, parts)))


def _why_not_polled(row: Mapping[str, Any]) -> str:
    from scheduler.core.states import EndState

    if row.get("status") in set(EndState):
        return f"ended at {row.get('completedAt', 'a time that the row does not tell')}, not polled"
    return "no state that this version knows, not polled"
