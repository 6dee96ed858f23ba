"""Renewals: the write by which a row stays held, and by which it is given free."""

import asyncio
import heapq
from collections.abc import Iterable

from scheduler.core.effects import Failure, Renew
from scheduler.core.instant import Instant
from scheduler.core.token_row import TokenRow
from scheduler.engine.held_row import Held, HeldRow, Stage
from scheduler.engine.memory_polls import MemoryPolls
from scheduler.engine.taking_up import ManyWrites

_AGAIN_SECONDS = 1.0
_IDLE_SECONDS = 3_600.0
_AT_ONCE = 500
"""Writes that are under way at once: more would wait for a connection, and their time would run out."""


class Renewals:
    """Renews holds before they run out; what is lost is dropped in silence."""

    def __init__(self, held: Held, table: ManyWrites, polls: MemoryPolls) -> None:
        self._held = held
        self._table = table
        self._polls = polls
        self._clocks = polls.clocks
        self._timers: list[tuple[float, HeldRow]] = []
        self._earlier = asyncio.Event()
        polls.renew = self.ask

    def ask(self, held: HeldRow) -> None:
        """Renew a row's hold at its time."""
        heapq.heappush(self._timers, (held.renew_at, held))
        if self._timers[0][1] is held:
            self._earlier.set()

    async def run(self) -> None:
        """Renew what runs out, for ever."""
        while True:
            self._earlier.clear()
            now = self._clocks.boot()
            due: dict[str, HeldRow] = {}
            while self._timers and self._timers[0][0] <= now:
                at, held = heapq.heappop(self._timers)
                if not held.dropped and at == held.renew_at:
                    due[held.row.job_id] = held
            rows = list(due.values())
            for first in range(0, len(rows), _AT_ONCE):
                await self._renew(rows[first : first + _AT_ONCE])
            delay = self._timers[0][0] - self._clocks.boot() if self._timers else _IDLE_SECONDS
            try:
                async with asyncio.timeout(max(0.0, delay)):
                    await self._earlier.wait()
            except TimeoutError:
                continue

    async def _renew(self, rows: list[HeldRow]) -> None:
        if self._held.giving_away:
            await self.give_free(rows)
        now, started = self._clocks.now(), self._clocks.boot()
        renewed: list[HeldRow] = []
        seconds: list[float] = []
        renewals: list[Renew] = []
        outgrown: list[HeldRow] = []
        for held in rows:
            if held.dropped:
                continue
            saved = held.saved()
            length = self._polls.policy.of(saved).hold_seconds(saved)
            if length is None:
                outgrown.append(held)
                continue
            renewed.append(held)
            seconds.append(length)
            renewals.append(Renew(saved, now + round(length * 1000), self._held.name, held.polled_at or now))
        if outgrown:
            await self._let_go(outgrown)
        for held, renewal, length, done in zip(
            renewed, renewals, seconds, await self._table.write_many(renewals), strict=True
        ):
            if not held.dropped:
                self._renewed(held, renewal.row, started + length, done)

    async def _let_go(self, rows: list[HeldRow]) -> None:
        """Give rows free whose interval has grown beyond what a hold may last: from now on each poll is a claim."""
        await self.give_free(rows)
        for held in rows:
            if held.stage is Stage.POLLING:
                held.renew_at = self._clocks.boot() + _AGAIN_SECONDS
                self.ask(held)

    def _renewed(self, held: HeldRow, saved: TokenRow, ends: float, done: object) -> None:
        if isinstance(done, Failure) and not done.refused and self._clocks.boot() < held.ends:
            held.renew_at = self._clocks.boot() + _AGAIN_SECONDS
            self.ask(held)
            return
        if done is not None:
            self._held.drop(held)
            return
        held.ends = ends
        held.renew_at = self._polls.policy.of(saved).renew_at(saved, ends)
        self.ask(held)
        if held.stage is Stage.RENEWING:
            self._polls.start(held)

    async def give_free(self, rows: Iterable[HeldRow]) -> bool:
        """Give rows free that are not being polled, due when they really are; tells whether the table took any."""
        free = [held for held in rows if held.stage not in {Stage.POLLING, Stage.DROPPED}]
        now, boot = self._clocks.now(), self._clocks.boot()
        for held in free:
            self._held.drop(held)
        writes = [Renew(held.saved(), self._due(held, now, boot), None, held.polled_at or now) for held in free]
        failed = [
            held
            for held, done in zip(free, await self._table.write_many(writes), strict=True)
            if isinstance(done, Failure) and not done.refused
        ]
        for held in failed:
            self._polls.resume(held)
            # The write may have been applied for all that: only a renewal tells whether the row is still ours.
            held.renew_at = boot + _AGAIN_SECONDS
            self.ask(held)
        return not free or len(failed) < len(free)

    async def free_all(self) -> bool:
        """Give free all that is not being polled, as long as the table takes it; tells whether it does."""
        rows = list(self._held.rows.values())
        for first in range(0, len(rows), _AT_ONCE):
            some = rows[first : first + _AT_ONCE]
            if not await self.give_free(some):
                return False
        return True

    @staticmethod
    def _due(held: HeldRow, now: Instant, boot: float) -> Instant:
        return now + round((held.due - boot) * 1000)
