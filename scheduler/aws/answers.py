"""Answers over Step Functions."""

import asyncio
from typing import TYPE_CHECKING, Any

from scheduler.aws.failures import SDK_ERRORS
from scheduler.core.effects import Delivery, Heartbeat, Send
from scheduler.core.policy import SEND_TIMEOUT_SECONDS
from scheduler.core.wire import call_error, send_call, send_result

if TYPE_CHECKING:
    from types_aiobotocore_stepfunctions import SFNClient


class Answers:
    """Sends answers and heartbeats, each once: the protocol decides what is tried again."""

    def __init__(self, client: "SFNClient") -> None:
        self._client = client

    async def send(self, effect: Send | Heartbeat) -> Delivery:
        """Perform one send; never raises an error of the SDK."""
        call = send_call(effect)
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                reply: Any = await getattr(self._client, call.operation)(**call.parameters)
        except SDK_ERRORS as error:
            reply = call_error(error)
        return send_result(effect, reply)
