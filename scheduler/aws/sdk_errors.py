"""The SDK's errors, told to people in one line; core/service_calls.py tells them to the protocol."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from scheduler.core.service_calls import Refusal, call_error
from scheduler.core.timing import READ_TIMEOUT_SECONDS
from scheduler.errors import CloudError, MissingError

SDK_ERRORS = (
    ClientError,
    BotoCoreError,
    ResponseParserError,  # of a reply that should be XML; it is no BotoCoreError
    aiohttp.ClientError,
    TimeoutError,
    OSError,
    UnicodeDecodeError,
)
"""All that a call of the SDK raises: refusals, its own faults, time-outs, broken connections, replies of no text."""

_LONGEST = 500  # of a service's own message, in characters; a page of HTML that stands there for one is longer


def is_missing(error: BaseException) -> bool:
    """Tell whether the resource asked for does not exist."""
    return call_error(error).refusal is Refusal.MISSING


@asynccontextmanager
async def reading(kind: str, name: str) -> AsyncIterator[None]:
    """Raise as `translated` does, and CloudError where it takes too long: looking up a name has no time-out."""
    with translated(kind, name):
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            yield


@contextmanager
def translated(kind: str, name: str) -> Iterator[None]:
    """Raise the SDK's errors from within as MissingError of this resource or as CloudError, with the cause kept."""
    try:
        yield
    except SDK_ERRORS as error:
        failure = call_error(error)
        where = f" ({failure.where})" if failure.where else ""
        if failure.refusal is Refusal.MISSING:
            raise MissingError(kind, name, failure.where) from error
        said = f"{kind} {name} could not be used: {failure.code}: {failure.message:.{_LONGEST}}{where}"
        message = " ".join(said.split())
        if failure.refusal is Refusal.CREDENTIALS:
            message += " (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role)"
        raise CloudError(message, failure.refusal) from error
