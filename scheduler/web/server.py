"""Serving the routes of `web` for as long as the daemon runs."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiohttp import web

from scheduler.errors import SchedulerError


@asynccontextmanager
async def serving(host: str, port: int, routes: Iterable[web.RouteDef]) -> AsyncIterator[int]:
    """Serve the routes and give the port, which the system picks where 0 is asked. Raises SchedulerError."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            message = f"cannot listen on {host}:{port}: {error.strerror} (SCHEDULER_HTTP_HOST, SCHEDULER_HTTP_PORT)"
            raise SchedulerError(message) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
