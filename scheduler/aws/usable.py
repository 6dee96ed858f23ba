"""Waiting for AWS: until a resource can be used, and until a role that was just made may be taken."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from botocore.exceptions import ClientError

from scheduler.core.service_calls import call_error
from scheduler.errors import CloudError

_USABLE_SECONDS = 300.0
"""Longest wait for one resource to become usable: LocalStack may have to pull an image for a function's first start."""
_LOOK_EVERY_SECONDS = 0.25
_ROLE_SECONDS = 60.0
"""Longest wait until a new role may be used; on AWS that takes about ten seconds."""
_ASK_AGAIN_SECONDS = 2.0
_NOT_ASSUMED = frozenset({"InvalidParameterValueException", "AccessDeniedException"})

Sleep = Callable[[float], Awaitable[None]]
Monotonic = Callable[[], float]


async def until_usable(
    usable: Callable[[], Awaitable[bool]],
    what: str,
    *,
    sleep: Sleep = asyncio.sleep,
    monotonic: Monotonic = time.monotonic,
) -> None:
    """Look again and again until a resource can be used. Raises CloudError where that takes too long."""
    deadline = monotonic() + _USABLE_SECONDS
    while not await usable():
        if monotonic() > deadline:
            message = f"{what} is not usable after {_USABLE_SECONDS:g} s"
            raise CloudError(message)
        await sleep(_LOOK_EVERY_SECONDS)


async def with_new_role(
    request: Callable[[], Awaitable[Any]],
    *,
    sleep: Sleep = asyncio.sleep,
    monotonic: Monotonic = time.monotonic,
) -> None:
    """Make a request that names a role; a role that was just made is refused until AWS has spread it.

    Raises the SDK's errors: any other one at once, that one once it has lasted too long.
    """
    deadline = monotonic() + _ROLE_SECONDS
    while True:
        try:
            await request()
        except ClientError as error:
            unknown_yet = "assume" in str(error) and call_error(error).code in _NOT_ASSUMED
            if not unknown_yet or monotonic() > deadline:
                raise
            await sleep(_ASK_AGAIN_SECONDS)
        else:
            return
