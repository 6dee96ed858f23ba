"""Replicas: seeing that each other live, taking over from those that do not, and sharing what is held.

No leader and no leases: each replica beats by a row of its own and watches the others' beats on its own clock. One
whose beat has not moved for GONE_SECONDS is gone, and what it held is taken over by the usual claims. One that could
not beat for STALE_SECONDS stops polling from memory before anybody calls it gone.
"""

import asyncio
import json
import secrets
import socket
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from scheduler.core.instant import Instant
from scheduler.core.protocol import not_ours
from scheduler.core.replica_rows import Beat
from scheduler.core.row_reader import Found
from scheduler.core.token_row import TokenRow
from scheduler.engine.held_row import Held, HeldRow, Stage
from scheduler.engine.memory_polls import MemoryPolls
from scheduler.engine.renewals import Renewals
from scheduler.engine.taking_up import TakingUp
from scheduler.errors import CloudError
from scheduler.log import logger

BEAT_SECONDS = 10.0
LOOK_SECONDS = 5.0
GONE_SECONDS = 30.0
STALE_SECONDS = 20.0
_LAGGING_SECONDS = 1.0
"""A replica whose polls start so late gives rows away."""
_SHARE = 1.1
_SLACK = 10
"""A replica that holds more than its share by this part and this many rows gives some away."""
_GIVEN_AT_ONCE = 0.1
"""The part of its surplus that it gives away with each look: most of it within a minute or two."""
_AGAIN_SECONDS = 1.0
_OTHERS_SECONDS = 30.0
"""What lies so long after its replica is gone is anybody's: whoever was to take it over may not know its source."""
_ROOM_SECONDS, _ROOM_LOOKS = 0.05, 100


class Roll(Protocol):
    """Where replicas beat; see `scheduler.aws.replica_table.ReplicaTable`."""

    async def beat(self, beat: Beat) -> None:
        """Write a beat. Raises CloudError."""
        ...

    async def beats(self) -> list[Beat]:
        """Read the last beat of every replica. Raises CloudError."""
        ...

    async def forget(self, name: str, at: Instant) -> None:
        """Forget a replica, unless it has beaten again since."""
        ...

    def held_by(self, names: set[str], now: Instant, mine: Callable[[str], bool]) -> AsyncIterator[list[Found]]:
        """Find the rows that replicas hold, of those that are mine to take over. Raises CloudError."""
        ...


def new_name() -> str:
    """Give a name that no replica had before: the host's, and some digits."""
    return f"{socket.gethostname()[:100]}-{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Holding:
    """All that holding rows is made of."""

    held: Held
    polls: MemoryPolls
    taking_up: TakingUp
    renewals: Renewals


class Replicas:
    """One replica among the others."""

    def __init__(self, roll: Roll, holding: Holding, indexed: Callable[[], bool], program: str) -> None:
        """Take where replicas beat, what is held, whether the table has its index, and this program's version."""
        self._roll = roll
        self._held = holding.held
        self._polls = holding.polls
        self._taking_up = holding.taking_up
        self._renewals = holding.renewals
        self._indexed = indexed
        self._program = program
        self._clocks = self._polls.clocks
        names = sorted(name for name in self._polls.lines if name is not None)
        self._knows = f"{zlib.crc32(json.dumps(names).encode()):08x}" if names else ""
        self._beaten_at = float("-inf")
        self._seen: dict[str, tuple[Instant, float]] = {}
        """Each other replica's last beat, and when on our own clock it was first seen."""
        self._own: set[str] = set()
        """The names under which this process has held rows before it had to drop them."""
        self._told: set[str] = set()
        self._log = logger()
        self._held.fresh = self.fresh

    def fresh(self) -> bool:
        """Whether the others can still believe that this replica lives."""
        return self._clocks.boot() - self._beaten_at < STALE_SECONDS

    async def run_beats(self) -> None:
        """Beat, for ever."""
        while True:
            beaten = await self.beat()
            await asyncio.sleep(BEAT_SECONDS if beaten else _AGAIN_SECONDS)

    async def run_looks(self) -> None:
        """Look at the others, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._indexed() or not self.fresh():
                continue
            try:
                await self._look()
            except CloudError as error:
                self._log.debug("replicas.out_of_sight", error=str(error))

    async def beat(self) -> bool:
        """Beat once; tells whether the table took it."""
        started = self._clocks.boot()
        if not self.fresh():
            self._drop_all()
        if not self._indexed():
            return False
        held = len(self._held.rows)
        beat = Beat(self._held.name, self._clocks.now(), held, self._lags, self._program, self._knows)
        try:
            await self._roll.beat(beat)
        except CloudError as error:
            self._log.debug("replica.beat_failed", error=str(error))
            return False
        self._beaten_at = started
        return True

    @property
    def _lags(self) -> bool:
        return self._polls.lateness() > _LAGGING_SECONDS

    def _drop_all(self) -> None:
        """Hold nothing any more: asleep or cut off, this replica may be gone to the others. It goes on as a new one."""
        if self._beaten_at == float("-inf"):
            return
        self._log.warning("replica.dropped_all", replica=self._held.name, held=len(self._held.rows))
        self._held.drop_all()
        self._held.giving_away = False
        self._own.add(self._held.name)
        self._held.name = new_name()
        self._beaten_at = float("-inf")

    async def _look(self) -> None:
        beats = await self._roll.beats()
        now = self._clocks.boot()
        others = [beat for beat in beats if beat.name != self._held.name]
        for beat in others:
            at, _ = self._seen.get(beat.name, (None, now))
            if at != beat.at:
                self._seen[beat.name] = beat.at, now
        names = {beat.name for beat in others}
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        gone = {name for name, (_, seen) in self._seen.items() if now - seen >= GONE_SECONDS} | (self._own & names)
        alive = [beat for beat in others if beat.name not in gone]
        able = [beat for beat in alive if not beat.lagging]
        if gone and not (able and self._lags):  # one that lags would leave its share lying
            await self._take_over(gone, sorted([self._held.name, *(beat.name for beat in able)]))
        # What is given away is for replicas that know its source.
        await self._share([beat for beat in able if beat.knows == self._knows])

    async def _take_over(self, gone: set[str], alive: list[str]) -> None:
        """Claim what replicas that are gone have held; the work is shared among those who are left.

        The first of them reads it all, and forgets the gone ones once nothing is left of what they held.
        """
        place, own = alive.index(self._held.name), gone <= self._own
        patience = self._clocks.boot() - GONE_SECONDS - _OTHERS_SECONDS
        anybody_s = own or all(self._seen[name][1] <= patience for name in gone)

        def mine(job_id: str) -> bool:
            return anybody_s or zlib.crc32(job_id.encode("utf-8", "surrogatepass")) // 251 % len(alive) == place

        found = taken = 0
        async for rows in self._roll.held_by(gone, self._clocks.now(), lambda job_id: place == 0 or mine(job_id)):
            found += len(rows)
            waiting = [
                row for row in rows if isinstance(row, TokenRow) and row.job_id not in self._held and mine(row.job_id)
            ]
            taken += await self._take_up(waiting)
        if found and (taken or not gone <= self._told):
            self._log.warning("replica.gone", replicas=sorted(gone), held=found, taken_over=taken)
        self._told = self._told & self._seen.keys() | gone
        if found:
            return
        if place == 0 or own:
            for name in gone:
                await self._roll.forget(name, self._seen[name][0])
                self._own.discard(name)

    async def _take_up(self, rows: list[TokenRow]) -> int:
        """Take up what can be held here, and give free what cannot; tells how many that are."""
        to_hold: defaultdict[str | None, list[TokenRow]] = defaultdict(list)
        others: list[TokenRow] = []
        for row in rows:
            if self._taking_up.takes(row):
                to_hold[row.source].append(row)
            else:
                others.append(row)
        taken = 0
        for source, some in to_hold.items():
            await self._has_room(source, len(some))
            if room := self._taking_up.room(source, orphans=True):
                self._taking_up.take_up(some[:room], at_a_fire=True)
                taken += len(some[:room])
        policy = self._polls.policy
        return taken + sum(self._taking_up.poll_alone(row) for row in others if not not_ours(row, policy))

    async def _has_room(self, source: str | None, rows: int) -> None:
        """Wait until so many rows of a source can be taken up, as long as that may be soon."""
        for _ in range(_ROOM_LOOKS):
            # One whose lane takes nothing, as that of a source that hangs, must not hold up what others have left.
            if not self._polls.keeps_up(source) or self._taking_up.room(source, orphans=True) >= rows:
                return
            await asyncio.sleep(_ROOM_SECONDS)

    async def _share(self, others: list[Beat]) -> None:
        """Give away some of what is beyond this replica's share, or what it cannot poll in time."""
        held = list(self._held.rows.values())
        fair = (len(held) + sum(beat.held for beat in others)) / (1 + len(others))
        surplus = len(held) - fair * _SHARE - _SLACK
        self._held.giving_away = bool(others) and (surplus > 0 or self._lags)
        if self._held.giving_away and surplus > 0:
            await self._renewals.give_free(_resting(held)[: max(1, round(surplus * _GIVEN_AT_ONCE))])

    async def leave(self) -> None:
        """Forget this replica: it holds nothing any more."""
        for beat in await self._roll.beats():
            if beat.name == self._held.name:
                await self._roll.forget(beat.name, beat.at)


def _resting(rows: list[HeldRow]) -> list[HeldRow]:
    return [held for held in rows if held.stage is Stage.TIMED]
