"""Answers and heartbeats as requests to Step Functions, and what its replies mean: which codes close a token."""

from typing import Any

from scheduler.core.answers import Fail, Succeed
from scheduler.core.effects import Delivered, Delivery, Heartbeat, Send
from scheduler.core.service_calls import NOT_FROM_AWS, REFUSED_CODES, Call, CallError, from_aws

UNKNOWN_TOKEN = "InvalidToken"  # noqa: S105  an error code
CLOSED_CODES = frozenset({"TaskTimedOut", "TaskDoesNotExist", UNKNOWN_TOKEN})


def send_call(effect: Send | Heartbeat) -> Call:
    """Give the request that an answer or a heartbeat stands for."""
    token = effect.token.reveal()
    if isinstance(effect, Heartbeat):
        return Call("stepfunctions", "send_task_heartbeat", {"taskToken": token})
    match effect.answer:
        case Succeed(output):
            return Call("stepfunctions", "send_task_success", {"taskToken": token, "output": output})
        case Fail(error, cause):
            return Call("stepfunctions", "send_task_failure", {"taskToken": token, "error": error, "cause": cause})


def send_result(effect: Send | Heartbeat, reply: dict[str, Any] | CallError) -> Delivery:
    """Give what the protocol is told of an answer or a heartbeat."""
    if not isinstance(reply, CallError):
        return Delivery(Delivered.DELIVERED) if from_aws(reply) else Delivery(Delivered.DEFERRED, NOT_FROM_AWS)
    error = effect.token.scrub(f"{reply.code}: {reply.message}")
    # LocalStack says InvalidToken to a heartbeat wherever the state has no HeartbeatSeconds.
    unknown = reply.code == UNKNOWN_TOKEN
    if reply.code in CLOSED_CODES and not (isinstance(effect, Heartbeat) and unknown):
        return Delivery(Delivered.CLOSED, error, unknown=unknown)
    if reply.code in REFUSED_CODES:
        return Delivery(Delivered.REFUSED, error)
    return Delivery(Delivered.DEFERRED, error, reply.refusal, unknown)
