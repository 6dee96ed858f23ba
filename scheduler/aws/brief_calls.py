"""Brief calls, for commands that a person waits for: a deadline for each, and silence is asked once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.exceptions import HTTPClientError

from scheduler.aws.whereabouts import whereabouts
from scheduler.core.service_calls import Refusal
from scheduler.errors import CloudError

ANSWER_SECONDS = 6.0
"""Longest that a call may take, whatever it waits for; looking up a name has no time-out of its own in the SDK."""
_SILENCE = (NoConnectionError, HTTPClientError, aiohttp.ClientError, TimeoutError, OSError)


@asynccontextmanager
async def answering(client: Any) -> AsyncIterator[None]:
    """Raise CloudError where what is asked of a client within takes longer than a brief call."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield
    except TimeoutError as error:
        message = f"the cloud gives no answer within {ANSWER_SECONDS:g} s ({whereabouts(client)})"
        raise CloudError(message, Refusal.UNREACHABLE) from error


def brief_calls(*, once: bool) -> Callable[..., None]:
    """Give a handler for the SDK's event `creating-client-class`, by which the clients' calls have a deadline.

    Where they ask but `once`, an endpoint that did not answer one call is taken to be silent for all that follow: these
    fail at once, as that one did.
    """
    silent: dict[str, BaseException] = {}

    class Brief:
        """A client whose calls are brief."""

        async def _make_api_call(self, operation: str, parameters: Any) -> Any:
            endpoint = self.meta.endpoint_url  # type: ignore[attr-defined]  # of the SDK's class below
            if endpoint in silent:
                raise silent[endpoint]
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await super()._make_api_call(operation, parameters)  # type: ignore[misc]  # likewise
            except _SILENCE as error:
                if once:
                    silent[endpoint] = error
                raise

    def handle(base_classes: list[type], **_: Any) -> None:
        base_classes.insert(len(base_classes) - 1, Brief)  # next to the SDK's own: what notes errors stands above

    return handle
