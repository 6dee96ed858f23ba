"""Answers over Step Functions."""

import asyncio
from typing import Any

from scheduler.aws.clients import WithAnswers
from scheduler.aws.sdk_errors import SDK_ERRORS
from scheduler.core.answer_delivery import send_call, send_result
from scheduler.core.effects import Delivery, Heartbeat, Send
from scheduler.core.service_calls import call_error
from scheduler.core.timing import SEND_TIMEOUT_SECONDS


class Answers:
    """Sends answers and heartbeats, each once: the protocol decides what is tried again."""

    def __init__(self, clients: WithAnswers) -> None:
        self._clients = clients

    async def send(self, effect: Send | Heartbeat) -> Delivery:
        """Perform one send; never raises an error of the SDK."""
        call = send_call(effect)
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                reply: Any = await getattr(self._clients.answers, call.operation)(**call.parameters)
        except SDK_ERRORS as error:
            reply = call_error(error)
        return send_result(effect, reply)
