"""Health: alive while the loop turns, ready while finding goes on and nothing keeps polls from being made."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from scheduler.log import logger

QUIET_SECONDS = 3.0
"""A part is out of trouble once it has worked and refused nothing for so long: one that refuses every other call is in
one spell, and not in a new one with each."""


@dataclass(slots=True)
class _Spell:
    reason: str
    began: float
    unready: bool
    until: float


class Health:
    """What the daemon says of itself.

    It starts unready; only a tick that has found what is due makes it ready, and for a time. Each part that is in
    trouble is one spell: told once in the log when it begins, shown by a short reason that anybody may read, and over
    when its cause is.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a monotonic clock, in seconds."""
        self._clock = clock
        self._ticked_at: float | None = None
        self._good_until = 0.0
        self._spells: dict[str, _Spell] = {}
        self._log = logger()

    def ticked(self, good_for: float) -> None:
        """Note that a tick has found what is due, and for how many seconds that is good."""
        self._ticked_at = self._clock()
        self._good_until = self._ticked_at + good_for

    def troubled(
        self, part: str, reason: str, error: str, *, unready: bool = True, lasts: float = float("inf")
    ) -> None:
        """Note that a part is in trouble, until it is `over`, or for so many seconds.

        `reason` is short and for anybody; `error` is the whole, for the log.
        """
        spell = self._spells.get(part)
        now = self._clock()
        if spell is None:
            spell = self._spells[part] = _Spell(reason, now, unready, now + lasts)
            self._log.warning("trouble.began", part=part, reason=reason, error=error, unready=unready)
        elif unready and not spell.unready:
            self._log.warning("trouble.grew", part=part, reason=reason, error=error)
        spell.reason, spell.unready, spell.until = reason, unready, now + lasts

    def over(self, part: str) -> None:
        """Note that a part is in no trouble."""
        spell = self._spells.pop(part, None)
        if spell is not None:
            seconds = round(self._clock() - spell.began, 1)
            self._log.info("trouble.over", part=part, reason=spell.reason, lasted_seconds=seconds)

    def worked(self, part: str) -> None:
        """Note that a part did as it was asked: its trouble is over where no more comes within QUIET_SECONDS."""
        spell = self._spells.get(part)
        if spell is not None:
            spell.until = min(spell.until, self._clock() + QUIET_SECONDS)

    def refresh(self) -> None:
        """Notice what time alone has ended."""
        for part in [part for part, spell in self._spells.items() if self._clock() > spell.until]:
            self.over(part)

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether finding goes on and nothing is in the way, and what a person wants to know beside it."""
        spells = sorted(self._spells.items())
        reasons = [f"{part}: {spell.reason}" for part, spell in spells if spell.unready]
        if not reasons and self._ticked_at is None:
            reasons = ["no tick has ended yet"]
        elif not reasons and self._clock() > self._good_until:
            reasons = ["the last tick ended too long ago"]
        shown: dict[str, Any] = {"status": "unready" if reasons else "ready"}
        if reasons:
            shown["reason"] = "; ".join(reasons)
        if warnings := [f"{part}: {spell.reason}" for part, spell in spells if not spell.unready]:
            shown["warnings"] = warnings
        if self._ticked_at is not None:
            shown["lastTickSecondsAgo"] = round(self._clock() - self._ticked_at, 1)
        return not reasons, shown


def routes(health: Health) -> list[web.RouteDef]:
    """Give `/livez` and `/readyz`."""

    async def livez(_request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_request: web.Request) -> web.Response:
        ready, shown = health.readiness()
        return web.json_response(shown, status=200 if ready else 503)

    return [web.get("/livez", livez), web.get("/readyz", readyz)]
