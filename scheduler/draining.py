"""The drain: running polls end, no others begin, and what is held is given free."""

import asyncio
from contextlib import suppress

from scheduler.assembly import Parts
from scheduler.errors import CloudError
from scheduler.log import logger

_ABORT_SECONDS = 2.0
"""What is left for polls to end when the drain's time is up and they are cancelled."""


async def drain(parts: Parts, seconds: float) -> None:
    """End what is polled within so many seconds, and give free what is held."""
    for lane in parts.dispatch.lanes:
        lane.close()
    logger().info("scheduler.draining", grace_seconds=seconds)
    if parts.dispatch.holding:
        parts.dispatch.holding.held.closed = True
    freeing = asyncio.create_task(_free(parts), name="free")
    await _end_polls(parts, seconds)
    try:
        async with asyncio.timeout(seconds + _ABORT_SECONDS):
            await freeing
    except TimeoutError:
        logger().warning("scheduler.rows_not_freed")


async def _free(parts: Parts) -> None:
    """Give free what is held, while polls still end; what they held last follows."""
    if not parts.dispatch.holding or not parts.replicas:
        return
    await parts.dispatch.holding.taking_up.ended()
    await parts.dispatch.holding.renewals.free_all()
    for lane in parts.dispatch.lanes:
        await lane.ended()
    await parts.dispatch.holding.renewals.free_all()
    if not parts.dispatch.holding.held.rows:  # else the others are to see that it is gone, and take over
        with suppress(CloudError):
            await parts.replicas.leave()


async def _end_polls(parts: Parts, seconds: float) -> None:
    for grace, otherwise in ((seconds, "scheduler.drain_cut_short"), (_ABORT_SECONDS, "scheduler.polls_abandoned")):
        try:
            async with asyncio.timeout(grace):
                for lane in parts.dispatch.lanes:
                    await lane.ended()
        except TimeoutError:
            logger().warning(otherwise)
            for lane in parts.dispatch.lanes:
                lane.abort()
