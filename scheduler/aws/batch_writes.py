"""Writing many rows of the token table: 25 a call where the cloud knows how, one by one where it does not."""

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from scheduler.aws.clients import WithDynamoDB
from scheduler.aws.sdk_errors import SDK_ERRORS
from scheduler.core.effects import Failure, Write
from scheduler.core.row_batches import (
    BATCH,
    BATCHED,
    RIGHT,
    Alone,
    again,
    batch_call,
    batch_results,
    job_of,
    to_write_alone,
)
from scheduler.core.row_writes import Written
from scheduler.core.service_calls import CallError, call_error
from scheduler.core.timing import SEND_PAUSES_SECONDS, SEND_TIMEOUT_SECONDS
from scheduler.log import logger

CALLS_AT_ONCE = 8
"""Batches under way at the same time."""
SINGLES_AT_ONCE = 16
"""The same of single writes."""
DENIED_SECONDS = 300.0
"""How long the right to write in batches is taken to be missing, before one batch is tried again."""
_NO_REPLY = CallError("TimeoutError", "no reply in time")


class BatchWrites:
    """Writes the effects of many polls, and remembers whether the cloud takes them in batches."""

    def __init__(
        self,
        clients: WithDynamoDB,
        table: str,
        write: Callable[[Write], Awaitable[Written]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the clients, the table's name, the single write, and a clock for when to try batches again."""
        self._clients = clients
        self._table = table
        self._write = write
        self._monotonic = monotonic
        self._alone_until = -math.inf
        self._told: Alone | None = None

    async def write(self, effects: Sequence[Write]) -> list[Written]:
        """Perform writes and give what came of each, in their order; never raises an error of the SDK.

        Of several effects of one job each begins when the one before it has ended.
        """
        results: dict[int, Written] = {}
        for turn in _turns(effects):
            alone = await self._write_batches(effects, turn, results)
            denied = {position: results[position] for position, why in alone.items() if why is Alone.DENIED}
            await self._write_singles(effects, alone, results)
            self._learn_of_denials(denied, results)
        return [results[position] for position in range(len(effects))]

    async def _write_batches(
        self, effects: Sequence[Write], positions: Sequence[int], results: dict[int, Written]
    ) -> dict[int, Alone | None]:
        """Write what can be written in batches; give what is left to be written alone, and why a batch refused it."""
        batched = [position for position in positions if isinstance(effects[position], BATCHED)]
        alone: dict[int, Alone | None] = dict.fromkeys(
            position for position in positions if position not in set(batched)
        )

        async def write(part: Sequence[int]) -> None:
            if self._monotonic() < self._alone_until:
                alone.update(dict.fromkeys(part))
                return
            written, refused = await self._write_batch([effects[position] for position in part])
            results.update(zip(part, written, strict=True))
            alone.update({part[place]: why for place, why in refused.items()})

        await _all(CALLS_AT_ONCE, [partial(write, batched[at : at + BATCH]) for at in range(0, len(batched), BATCH)])
        return alone

    async def _write_singles(
        self, effects: Sequence[Write], positions: Iterable[int], results: dict[int, Written]
    ) -> None:
        async def write(position: int) -> None:
            results[position] = await self._write(effects[position])

        await _all(SINGLES_AT_ONCE, [partial(write, position) for position in positions])

    async def _write_batch(self, effects: Sequence[Write]) -> tuple[list[Written], dict[int, Alone]]:
        """Make one call, and make it again for the statements that were refused for the moment.

        All of it ends in the time that one write may take: the lease counts on it.
        """
        results: dict[int, Written] = {}
        alone: dict[int, Alone] = {}
        left = list(range(len(effects)))
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                for pause in (*SEND_PAUSES_SECONDS, None):
                    sent = [effects[position] for position in left]
                    reply = await self._reply(sent)
                    results.update(zip(left, batch_results(sent, reply), strict=True))
                    alone.update({left[place]: why for place, why in to_write_alone(sent, reply).items()})
                    left = [position for position in left if again(results[position])]
                    # A call that was refused as a whole has been tried again by the SDK.
                    if not left or isinstance(reply, CallError) or pause is None:
                        break
                    await asyncio.sleep(pause * random.random())
        except TimeoutError:
            # What was refused keeps its refusal.
            results = dict(enumerate(batch_results(effects, _NO_REPLY))) | results
        self._learn_what_is_known(results, alone)
        return [results[position] for position in range(len(effects))], alone

    async def _reply(self, effects: Sequence[Write]) -> Any:
        call = batch_call(effects, self._table)
        try:
            return await self._clients.dynamodb.batch_execute_statement(**call.parameters)
        except SDK_ERRORS as error:
            return call_error(error)

    def _learn_what_is_known(self, results: Mapping[int, Written], alone: Mapping[int, Alone]) -> None:
        """Remember that batches are not known here; where they are, a denial is over."""
        unknown = [results[position] for position, why in alone.items() if why is Alone.UNKNOWN]
        if unknown:
            self._alone_until = math.inf
            if self._told is not Alone.UNKNOWN:
                self._told = Alone.UNKNOWN
                logger().info("table.no_batches", table=self._table, error=_error(unknown[0]))
        elif not alone and self._told is Alone.DENIED:
            self._told = None

    def _learn_of_denials(self, denied: Mapping[int, Written], results: Mapping[int, Written]) -> None:
        """Remember that batches are denied, where single writes got through: what is denied alike says nothing."""
        through = [refusal for position, refusal in denied.items() if not isinstance(results[position], Failure)]
        if through:
            self._alone_until = max(self._alone_until, self._monotonic() + DENIED_SECONDS)
            if self._told is None:
                self._told = Alone.DENIED
                logger().warning("table.no_batches", table=self._table, error=_error(through[0]), needed=RIGHT)


def _turns(effects: Sequence[Write]) -> list[list[int]]:
    """Give the positions of the effects in turns, none of which has two of the same job."""
    turns: list[list[int]] = []
    seen: Counter[str] = Counter()
    for position, effect in enumerate(effects):
        job_id = job_of(effect)
        if seen[job_id] == len(turns):
            turns.append([])
        turns[seen[job_id]].append(position)
        seen[job_id] += 1
    return turns


def _error(result: Written) -> str:
    return result.error if isinstance(result, Failure) else ""


async def _all(at_once: int, work: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Do all of it, so much at once."""
    waiting = iter(work)

    async def slot() -> None:
        for one in waiting:
            await one()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(work))):
            group.create_task(slot())
