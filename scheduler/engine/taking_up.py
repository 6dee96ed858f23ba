"""Taking up rows: claiming them in batches, to be held across polls."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from scheduler.core.effects import Claim, Failure, Lost, Write
from scheduler.core.failpoints import reach
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.protocol import not_ours
from scheduler.core.row_reader import Found, Malformed, MalformedRowError
from scheduler.core.timing import Policy
from scheduler.core.token_row import TokenRow
from scheduler.core.trouble import Part, Trouble
from scheduler.engine.attention import Attention
from scheduler.engine.held_row import Held, HeldRow
from scheduler.engine.lanes import Lane, Work
from scheduler.engine.memory_polls import MemoryPolls
from scheduler.engine.turns import Turn

_MOST_CLAIMING = 1_000
"""Rows that are being claimed at once: ten pages."""
_FIRST_CLAIMS = 2
"""Claims of a page that are made first, to learn whether another replica is at it."""
_TOGETHER = 10
"""So many rows of one page are spread over their interval."""
_AGAIN_SECONDS = 1.0


class ManyWrites(Protocol):
    """The token table, for many writes at once."""

    async def write_many(self, effects: Sequence[Write]) -> list[TokenRow | MalformedRowError | Lost | Failure | None]:
        """Perform writes; one result for each, in the same order."""
        ...


class TakingUp:
    """Claims due rows for a hold."""

    def __init__(
        self,
        held: Held,
        table: ManyWrites,
        polls: MemoryPolls,
        desk: Lane,
        attention: Attention,
    ) -> None:
        self._held = held
        self._table = table
        self._polls = polls
        self._desk = desk
        self._attention = attention
        self._policy: Policy = polls.policy
        self._claims: set[asyncio.Task[None]] = set()

    def takes(self, row: Found) -> bool:
        """Tell whether a due row is to be held, and not to be polled claim by claim."""
        if not isinstance(row, TokenRow) or row.pending is not None or not self._held.fresh():
            return False
        if not_ours(row, self._policy) or self._held.free(row.source) < 1:
            return False
        return self._policy.of(row).hold_seconds(row) is not None

    def room(self, source: str | None = None, *, orphans: bool = False) -> int:
        """Give how many more rows of a source are taken up now; `orphans` are those of a replica that is gone."""
        held = self._held
        if held.closed or (held.giving_away and not orphans) or not self._polls.keeps_up(source):
            return 0
        # A source that could not be used lets one poll try, before more rows are bound to it.
        most = 1 if self._polls.lines[source].lane.stopped else _MOST_CLAIMING - len(held.claiming)
        return max(0, min(held.free(source), most))

    def take_up(
        self, rows: Sequence[TokenRow], lost: Callable[[], None] | None = None, *, at_a_fire: bool = False
    ) -> None:
        """Claim rows that were found together, and hold what is won; `lost` is told where another was quicker.

        They are polled as soon as they can be, or, `at_a_fire`, not before the schedule lets polls happen.
        """
        self._held.begin_claiming(rows)
        claiming = asyncio.create_task(
            self._take_up(list(rows), lost, at_a_fire=at_a_fire), name=f"claim {len(rows)} rows"
        )
        self._claims.add(claiming)
        claiming.add_done_callback(self._claims.discard)

    def poll_alone(self, row: Found) -> bool:
        """Let the desk poll a row by itself: it is set aside where it is malformed, else given free, and due soon."""
        poll = partial(self._desk.poller.poll, [row], self._polls.clocks.now())
        return self._desk.offer(Work((row.job_id,), poll, Turn.unlimited()))

    async def ended(self) -> None:
        """Wait until nothing is being claimed."""
        while self._claims:
            await asyncio.wait(self._claims)

    async def _take_up(self, rows: list[TokenRow], lost: Callable[[], None] | None, *, at_a_fire: bool) -> None:
        parts = (rows[:_FIRST_CLAIMS], rows[_FIRST_CLAIMS:]) if lost else (rows,)
        try:
            for part in filter(None, parts):
                claims = _Claims(self._claimed(part), spread=len(rows) >= _TOGETHER, at_a_fire=at_a_fire)
                none_lost = await self._claim(claims)
                if not none_lost and lost:
                    lost()
                if claims.unsure:
                    await self._settle(claims)
                    return  # the table is in trouble: the others stay due
                if not none_lost and lost:
                    return
        finally:
            self._held.end_claiming(rows)
            self._attention.room.set()

    def _claimed(self, rows: list[TokenRow]) -> list[tuple[Claim, float]]:
        """Give the claims of rows, and when on our own clock their holds end."""
        clock, policy = self._polls.clocks, self._policy
        now, started = clock.now(), clock.boot()
        policies = [policy.of(row) for row in rows]
        holds = [own.hold_seconds(row) or own.lease_seconds for own, row in zip(policies, rows, strict=True)]
        return [
            (
                Claim(row, policy.new_claim_id(), now, now + round(hold * 1000), policy.shard(row), self._held.name),
                started + hold,
            )
            for row, hold in zip(rows, holds, strict=True)
        ]

    async def _claim(self, claims: "_Claims") -> bool:
        """Make claims; tells whether none was lost. Those that may or may not have been applied are left `unsure`."""
        made, claims.unsure = claims.unsure, []
        reach("before-claim")
        results = await self._table.write_many([claim for claim, _ in made])
        reach("after-claim")
        lost = 0
        for (claim, ends), result in zip(made, results, strict=True):
            row = claim.row
            match result:
                case TokenRow() if claim.held_by != self._held.name:
                    pass  # asleep or cut off meanwhile, this replica goes on as another one, which takes over from it
                case TokenRow() if not self._policy.knows(result):
                    self.poll_alone(result)  # somebody has just given it another source
                case TokenRow():
                    self._attention.report.claimed += 1
                    self._hold(result, ends, claims)
                case Lost():
                    lost += 1
                    self._attention.note(Outcome(Kind.LOST, row.job_id, row.execution_id))
                case Failure(error, refused=False, refusal=refusal):
                    claims.unsure.append((claim, ends))
                    trouble = Trouble.refused(Part.TABLE, row.token.scrub(error), refusal)
                    unreached = Outcome(Kind.UNREACHED, row.job_id, error=trouble.error, troubles=(trouble,))
                    if not claims.settling:
                        self._attention.note(unreached)
                case MalformedRowError():
                    self.poll_alone(Malformed(row.job_id, result))
                case _:
                    self.poll_alone(row)  # the protocol knows what to do with a row that refuses its claim
        return not lost

    async def _settle(self, claims: "_Claims") -> None:
        """Make claims again of which no reply came, until it is known what became of them.

        One that was applied holds its row for long, and the table takes it for this replica's. So the very same claim
        is made again: it is applied, or known by its id, or lost.
        """
        claims.settling = True
        name, held = self._held.name, self._held
        while claims.unsure and held.name == name:
            last = held.closed
            await asyncio.sleep(_AGAIN_SECONDS)
            await self._claim(claims)
            if last:
                break

    def _hold(self, row: TokenRow, ends: float, claims: "_Claims") -> None:
        policy = self._policy.of(row)
        interval = policy.interval_after(row, max(0, row.attempt_count - 1))  # the claim has counted the next check
        held = HeldRow.of(row, interval, self._polls.clocks.boot(), ends, policy.renew_at(row, ends))
        if claims.spread:
            held.phase = interval * policy.chance()
        self._held.hold(held)
        self._polls.begin(held, at_a_fire=claims.at_a_fire)


@dataclass(slots=True)
class _Claims:
    """Claims that are made together; `unsure` are those of which nobody knows yet whether they were applied."""

    unsure: list[tuple[Claim, float]]
    spread: bool
    at_a_fire: bool
    settling: bool = False
