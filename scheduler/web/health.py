"""Health: alive while the loop turns, ready while ticks end."""

import time
from collections.abc import Callable
from typing import Any

from aiohttp import web


class Health:
    """What the daemon says of itself. It starts unready; only a tick that ended well makes it ready, and for a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a monotonic clock, in seconds."""
        self._clock = clock
        self._ticked_at: float | None = None
        self._good_until = 0.0
        self._reason: str | None = "no tick has ended yet"

    def ticked(self, good_for: float) -> None:
        """Note that a tick ended well, and for how many seconds that is good."""
        self._ticked_at = self._clock()
        self._good_until = self._ticked_at + good_for
        self._reason = None

    def troubled(self, reason: str) -> None:
        """Note why the daemon cannot do its work; the next good tick clears it."""
        self._reason = reason

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether a tick ended lately, and what a person wants to know beside it."""
        reason = self._reason
        if reason is None and self._clock() > self._good_until:
            reason = "the last tick ended too long ago"
        shown: dict[str, Any] = {"status": "unready" if reason else "ready"}
        if reason:
            shown["reason"] = reason
        if self._ticked_at is not None:
            shown["lastTickSecondsAgo"] = round(self._clock() - self._ticked_at, 1)
        return reason is None, shown


def routes(health: Health) -> list[web.RouteDef]:
    """Give `/livez` and `/readyz`."""

    async def livez(_request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_request: web.Request) -> web.Response:
        ready, shown = health.readiness()
        return web.json_response(shown, status=200 if ready else 503)

    return [web.get("/livez", livez), web.get("/readyz", readyz)]
