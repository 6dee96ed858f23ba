"""A small job service with an HTTP API, for the demo: `GET /jobs/{id}` says how a job stands, as many such services do.

It takes its orders from a table, and a job moves on with each question: QUEUED, RUNNING, then DONE or FAILED.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from scheduler.emulator import HOST

Orders = Callable[[str], Awaitable[Mapping[str, Any] | None]]
"""Gives the order of a job by its id; None where there is none."""
_STATES = ("QUEUED", "RUNNING")


class JobService:
    """The service: what it was ordered to do, and how often it was asked."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._asked: Counter[str] = Counter()

    async def show(self, request: web.Request) -> web.Response:
        """Answer how a job stands."""
        job_id = request.match_info["job_id"]
        order = await self._orders(job_id)
        if order is None:
            return web.json_response({"error": {"message": f"there is no job {job_id}"}}, status=404)
        self._asked[job_id] += 1
        return web.json_response({"id": job_id} | self._standing(job_id, json.loads(order.get("record", "{}"))))

    def _standing(self, job_id: str, record: Mapping[str, Any]) -> dict[str, Any]:
        if self._asked[job_id] <= len(_STATES):
            return {"state": _STATES[self._asked[job_id] - 1]}
        if reason := record.get("failWith"):
            return {"state": "FAILED", "error": {"message": reason}}
        return {"state": "DONE", "links": {"output": f"https://example.com/output/{job_id}"}}


def source(url: str, interval: float) -> dict[str, Any]:
    """Give the entry of this service, as it stands in a file of sources."""
    return {
        "http": {"url": f"{url}/jobs/{{jobId}}"},
        "status": "body.state",
        "in_progress": list(_STATES),
        "completed": ["DONE"],
        "failed": ["FAILED"],
        "result": "body.links",
        "reason": "body.error.message",
        "interval_seconds": interval,
    }


@asynccontextmanager
async def job_service(orders: Orders) -> AsyncIterator[str]:
    """Run the service on a free loopback port, and give its address."""
    app = web.Application()
    app.router.add_get("/jobs/{job_id}", JobService(orders).show)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
