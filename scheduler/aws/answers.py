"""Answers over Step Functions."""

from typing import TYPE_CHECKING, Any

from scheduler.aws.failures import SDK_ERRORS, call_error
from scheduler.core.effects import Delivery, Heartbeat, Send
from scheduler.core.wire import send_call, send_result

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
            reply: Any = await getattr(self._client, call.operation)(**call.parameters)
        except SDK_ERRORS as error:
            reply = call_error(error)
        return send_result(effect, reply)
