"""Looking up the names of endpoints, with the time-out that the SDK does not have."""

import asyncio
import socket

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver

LOOKUP_SECONDS = 1.0


class TimedResolver(ThreadedResolver):
    """Looks names up in threads, each name in one at a time: a name that hangs takes no more threads from others.

    Without it a check would use up its time waiting for a name server, and be spent though its source was never asked.
    """

    def __init__(self) -> None:
        super().__init__()
        self._looking: dict[tuple[str, int, socket.AddressFamily], asyncio.Task[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Look a name up. Raises socket.gaierror, also where it takes too long."""
        name = (host, port, family)
        looking = self._looking.get(name)
        if looking is None:
            looking = self._looking[name] = asyncio.create_task(super().resolve(host, port, family))
            looking.add_done_callback(lambda done: self._done(name, done))
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await asyncio.shield(looking)
        except TimeoutError as error:
            raise socket.gaierror(socket.EAI_AGAIN, f"no name server tells the address of {host} in time") from error

    def _done(self, name: tuple[str, int, socket.AddressFamily], looking: "asyncio.Task[list[ResolveResult]]") -> None:
        del self._looking[name]
        if not looking.cancelled():
            looking.exception()  # whoever asked may have gone
