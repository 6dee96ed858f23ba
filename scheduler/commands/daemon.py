"""The daemon itself, and asking it how it is: `run` and `healthcheck`."""

import os
import signal
import sys
from contextlib import suppress
from typing import Annotated

import typer

from scheduler.commands.exits import FAILED
from scheduler.commands.output import show
from scheduler.errors import SchedulerError, SettingsError

_ANSWER_SECONDS = 3.0
"""Longest that a healthy daemon takes to answer; the image's health check gives the command 5 s for all it does."""


def run() -> None:
    """Run the daemon: tick on schedule until SIGTERM or SIGINT. Logs go to standard output."""
    import asyncio

    from scheduler import log
    from scheduler.commands.running import run_to_end
    from scheduler.daemon import run_daemon
    from scheduler.settings import Settings, unknown_variables
    from scheduler.source_file import read_sources

    settings = Settings.load()
    sources = read_sources(settings.sources)
    unread = False

    def drain() -> None:
        """End as on SIGTERM, once the log has no reader any more."""
        nonlocal unread
        unread = True
        with suppress(RuntimeError):
            asyncio.get_running_loop()  # before it runs there is nothing to be drained
            signal.raise_signal(signal.SIGTERM)

    log.configure(settings.log_level, settings.log_format, unread=drain)
    for line in unknown_variables(os.environ):
        log.logger().warning("settings.unknown", message=line)
    for line in sources.warnings:
        log.logger().warning("sources.warning", message=line)
    try:
        if not unread:
            run_to_end(run_daemon(settings, sources))
    except SchedulerError as error:
        log.logger().error("scheduler.failed", error=str(error))
        raise
    except Exception:  # noqa: BLE001  whatever it is, it is logged as one line like everything else
        log.logger().critical("scheduler.crashed", exc_info=True)
        sys.exit(FAILED)
    if unread:
        sys.exit(FAILED)


def healthcheck(
    live: Annotated[
        bool, typer.Option("--live", help="Ask only whether it is alive: restarting it would mend nothing else.")
    ] = False,
) -> None:
    """Ask the daemon on this machine whether it is ready; for the container's health check."""
    import http.client
    import urllib.error
    import urllib.request

    from scheduler.settings import Settings

    settings = Settings.load()
    if settings.http_port == 0:
        message = "SCHEDULER_HTTP_PORT=0 lets the daemon pick a port that this command cannot know"
        raise SettingsError(message)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.http_host, settings.http_host)  # noqa: S104
    place = f"[{host}]:{settings.http_port}" if ":" in host else f"{host}:{settings.http_port}"
    # The daemon is next door: a proxy that the environment names must not be asked for it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{place}/{'livez' if live else 'readyz'}", timeout=_ANSWER_SECONDS) as response:
            show(response.read().decode())
    except urllib.error.HTTPError as error:
        raise SchedulerError(error.read().decode("utf-8", "replace")) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        message = f"the daemon does not answer on {place}: {' '.join(reason.split())}"
        raise SchedulerError(message) from error
