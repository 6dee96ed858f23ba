"""A process that holds many rows, to be weighed: the engine's own parts, with rows as DynamoDB's replies bring them.

    python -m benchmarks.holding 100000

Each row is read from JSON of its own, claimed, polled once and put on its timers. Prints the megabytes that it grew by.
"""

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.world import item
from scheduler import clock, log
from scheduler.core.check_replies import InProgress, Report
from scheduler.core.effects import Claim
from scheduler.core.row_reader import read_row
from scheduler.core.timing import Policy, lease_seconds
from scheduler.core.token_row import TokenRow
from scheduler.engine.attention import Attention
from scheduler.engine.direct_polling import DirectPoller
from scheduler.engine.held_row import Held
from scheduler.engine.lanes import Lane
from scheduler.engine.memory_polls import Clocks, MemoryPolls
from scheduler.engine.renewals import Renewals
from scheduler.engine.taking_up import TakingUp
from scheduler.web.health import Health

_INTERVAL = 3_600.0
_PAGE = 100
_MEGABYTE = 1_000_000


class _Table:
    """Gives claimed rows as a reply of DynamoDB brings them: each with texts of its own."""

    async def write_many(self, effects: Sequence[Any]) -> list[Any]:
        """Perform claims."""
        return [self._claimed(effect) for effect in effects if isinstance(effect, Claim)]

    def _claimed(self, claim: Claim) -> TokenRow:
        won = claim.row.claimed(claim.claim_id)
        return replace(won, next_poll_at=claim.until, held_by=claim.held_by)


class _Source:
    async def check(self, row: TokenRow) -> Report:
        del row
        return InProgress()

    async def probe(self) -> None:
        pass


async def _grown(rows: int) -> float:
    source: Any = _Source()
    table: Any = _Table()
    policy = Policy(_INTERVAL, lease_seconds(10), 4, longest_hold_seconds=7_200)
    attention = Attention(Health())
    poller = DirectPoller(table, table, source, policy, 10, clock.now)
    lane, desk = Lane("source", poller, 64, attention), Lane("desk", poller, 64, attention)
    held = Held("bench", rows)
    polls = MemoryPolls(held, policy, Clocks(clock.now, clock.boot), lane, desk)
    attention.on_freed = polls.on_room
    renewals = Renewals(held, table, polls)
    taking_up = TakingUp(held, table, polls, desk, attention)
    running = [asyncio.create_task(polls.run()), asyncio.create_task(renewals.run())]
    before = _memory()
    now = round(time.time() * 1000)
    for first in range(0, rows, _PAGE):
        page = [
            read_row(json.loads(json.dumps(item(number, now, _INTERVAL)))) for number in range(first, first + _PAGE)
        ]
        while taking_up.room() < _PAGE:  # noqa: ASYNC110  nobody tells of it
            await asyncio.sleep(0)
        taking_up.take_up(page)
        await taking_up.ended()
    while not lane.idle or polls.waits:  # noqa: ASYNC110  likewise
        await asyncio.sleep(0.01)
    after = _memory()
    if len(held) != rows:
        sys.exit(f"{len(held)} rows are held, not {rows}")
    for task in running:
        task.cancel()
    return (after - before) / _MEGABYTE


def _memory() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Print the growth as JSON."""
    log.configure("warning", "json", sys.stderr)
    print(json.dumps({"megabytes": round(asyncio.run(_grown(int(sys.argv[1]))), 1)}))


if __name__ == "__main__":
    main()
