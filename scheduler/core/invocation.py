"""Invocations: asking a Lambda function for a job's status, and what its reply means."""

import json
from dataclasses import dataclass

from scheduler.core.check_replies import Report, Unanswered, Unasked, read_function_error, read_reply
from scheduler.core.service_calls import CallError, Refusal, missing_line

_OF_THE_REQUEST = frozenset(
    {
        "InvalidRequestContentException",
        "RequestTooLargeException",
        "SerializedRequestEntityTooLargeException",
        "UnsupportedMediaTypeException",
    }
)
"""What Lambda says of one request alone: a job whose id makes it so pays for it, and slows down nobody."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """A function's reply: JSON, or its error where it `failed`."""

    payload: bytes
    failed: bool = False


@dataclass(frozen=True, slots=True)
class NoInvocation:
    """No reply; `refusal` says why the function surely never ran, None that it may have."""

    error: str
    refusal: Refusal | None = None


def not_invoked(name: str, failure: CallError) -> NoInvocation:
    """Give what an invocation that failed says of the function.

    Whatever Lambda's own reply says in place of the function's, the function did not run: too many invocations at once,
    a key, a network interface or a file system that Lambda cannot use, a function that is not ready.
    """
    if failure.refusal is Refusal.MISSING:
        return NoInvocation(missing_line("function", name), failure.refusal)
    error = f"function {name} could not be invoked: {failure.code}: {failure.message}"
    if failure.refusal or not failure.answered or failure.code in _OF_THE_REQUEST:
        return NoInvocation(error, failure.refusal)
    return NoInvocation(error, Refusal.UNAVAILABLE)


def check_payload(job_id: str) -> bytes:
    """Give the request for a job's status."""
    return json.dumps({"action": "CHECK_STATUS", "jobId": job_id}).encode()


def read_check(reply: Invocation | NoInvocation) -> Report:
    """Give what the reply to such a request says of the job."""
    match reply:
        case NoInvocation(error, refusal):
            return Unasked(error, refusal) if refusal else Unanswered(error)
        case Invocation(payload, failed=True):
            return read_function_error(payload)
        case Invocation(payload):
            return read_reply(payload)
