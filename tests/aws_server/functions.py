"""Lambda: invoking the functions that are there, and their configuration."""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from tests.aws_server.jobs import Jobs, function_error
from tests.aws_server.wire import Call, Dropped, RefusedError, Reply, refuse, reply

SOURCE = "poc-simulated-api"
Handler = Callable[[Any], Any] | Callable[[Any], Awaitable[Any]]


class Functions:
    """The functions that are there: the simulated source, and whatever a test adds.

    An event (InvocationType=Event) is taken at once, and its function runs beside.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._handlers: dict[str, Handler | None] = {SOURCE: None}
        self._events: set[asyncio.Task[None]] = set()
        self._deliveries = 1

    def add_source(self, name: str) -> None:
        """Let the simulated source go by one more name."""
        self._handlers[name] = None

    def add(self, name: str, handler: Handler) -> None:
        """Add a function: a callable that takes the event and gives the reply.

        A plain callable runs in a thread, so that it may call this server; a coroutine function in the server's loop.
        """
        self._handlers[name] = handler

    def remove(self, name: str) -> None:
        """Take a function away."""
        del self._handlers[name]

    def deliver(self, times: int) -> None:
        """Deliver each event so often from now on, one after the other: AWS says once or more, and may lose one."""
        self._deliveries = times

    async def settled(self) -> None:
        """Wait until every event that was taken has been delivered and run."""
        while self._events:
            await asyncio.wait(self._events)

    def close(self) -> None:
        """Give up the events that still run."""
        for event in self._events:
            event.cancel()

    async def apply(self, call: Call) -> Reply:
        """Apply one call. Raises RefusedError and Dropped."""
        name = function_name(call.target)
        if name not in self._handlers:
            arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
            refuse("ResourceNotFoundException", f"Function not found: {arn}")
        if call.operation == "GetFunctionConfiguration":
            return reply(call, {"FunctionName": name, "State": "Active", "LastUpdateStatus": "Successful"})
        if call.headers.get("X-Amz-Invocation-Type") == "Event":
            event = asyncio.create_task(self._deliver(name, call))
            self._events.add(event)
            event.add_done_callback(self._events.discard)
            return Reply(202, b"")
        return await self._run(name, call)

    async def _deliver(self, name: str, call: Call) -> None:
        for _ in range(self._deliveries):
            with suppress(RefusedError, Dropped):
                await self._run(name, call)

    async def _run(self, name: str, call: Call) -> Reply:
        handler = self._handlers[name]
        if handler is None:
            return await self._jobs.invoke(call)
        try:
            if inspect.iscoroutinefunction(handler):
                given = await handler(call.json)
            else:
                given = await asyncio.to_thread(handler, call.json)
            json.dumps(given)
        except Exception as error:  # noqa: BLE001 - whatever a function raises is FunctionError
            return function_error(call, type(error).__name__, str(error))
        return reply(call, given)


def function_name(target: str) -> str:
    """Give the name in what may be a name, an ARN or a partial ARN, each with a qualifier."""
    parts = unquote(target).split(":")
    return parts[parts.index("function") + 1] if "function" in parts else parts[0]
