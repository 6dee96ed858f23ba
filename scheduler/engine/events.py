"""Waiting for the first of several events."""

import asyncio
from collections.abc import Iterable


async def any_set(events: Iterable[asyncio.Event], seconds: float | None = None) -> None:
    """Wait until one of some events is set, for so many seconds at most."""
    waits = {asyncio.ensure_future(event.wait()) for event in events}
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
