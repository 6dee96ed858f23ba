"""Direct mode: the daemon drives the protocol itself."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from scheduler.core.check_replies import Report, Unanswered
from scheduler.core.effects import Check, Claim, Effect, Heartbeat, Lost, Pause, Reread, Send
from scheduler.core.failpoints import with_failpoint
from scheduler.core.instant import Instant
from scheduler.core.outcome import Outcome
from scheduler.core.poll_turn import Poll
from scheduler.core.protocol import poll, poll_held, quarantine
from scheduler.core.row_reader import Found, Malformed
from scheduler.core.timing import Policy
from scheduler.core.token_row import TokenRow
from scheduler.engine.crashes import without_tokens
from scheduler.engine.poller import Claimed, Rows, Sender
from scheduler.sources import Source


@dataclass(frozen=True, slots=True)
class DirectPoller:
    """Polls by itself: drives the protocol and performs its effects."""

    claims: ClassVar[bool] = True
    batch: ClassVar[int] = 1
    rows: Rows
    sender: Sender
    source: Source
    policy: Policy
    check_timeout: float
    clock: Callable[[], Instant]

    async def poll(self, rows: Sequence[Found], tick: Instant, claimed: Claimed | None = None) -> list[Outcome]:
        """Poll rows one after another."""
        outcomes = []
        for row in rows:
            with without_tokens([row]):
                outcomes.append(await self._drive(self._start(row, tick), claimed))
        return outcomes

    async def poll_held(self, row: TokenRow) -> list[Outcome]:
        """Poll a row that is held, from memory."""
        with without_tokens([row]):
            return [await self._drive(with_failpoint(poll_held(row, self.policy, self.clock())), None)]

    async def probe(self) -> None:
        """Ask whether the source is there. Raises MissingError or CloudError where it is not."""
        await self.source.probe()

    def _start(self, row: Found, tick: Instant) -> Poll:
        now = self.clock()
        if isinstance(row, Malformed):
            return quarantine(row.job_id, row.fault, now)
        return with_failpoint(poll(row, self.policy, now, tick))

    async def _drive(self, polling: Poll, claimed: Claimed | None) -> Outcome:
        result: Any = None
        try:
            while True:
                effect = polling.send(result)
                if isinstance(effect, Send):
                    break
                result = await self._perform(effect)
                if claimed and isinstance(effect, Claim):
                    claimed(won=not isinstance(result, Lost))
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        # From the answer on nothing stops the poll: an answer without its mark would leave the row waiting.
        answering = asyncio.ensure_future(self._answer(polling, effect))
        try:
            return await asyncio.shield(answering)
        except asyncio.CancelledError:
            await asyncio.wait({answering})
            return answering.result()

    async def _answer(self, polling: Poll, effect: Effect) -> Outcome:
        try:
            while True:
                effect = polling.send(await self._perform(effect))
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome

    async def _perform(self, effect: Effect) -> object:
        match effect:
            case Check(row):
                return await self._check(row)
            case Send() | Heartbeat():
                return await self.sender.send(effect)
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Reread():
                return await self.rows.reread(effect)
        return await self.rows.write(effect)

    async def _check(self, row: TokenRow) -> Report:
        try:
            async with asyncio.timeout(self.check_timeout):
                return await self.source.check(row)
        except TimeoutError:
            return Unanswered(f"the source gave no reply within {self.check_timeout:g} s")
