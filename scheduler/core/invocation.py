"""Invocations: asking a Lambda function for the status of a job or of many, and what its reply means."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.core.check_replies import (
    NotTogether,
    Report,
    Unanswered,
    Unasked,
    read_function_error,
    read_reply,
    read_results,
)
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
    """No reply; `refusal` says why the function surely never ran, None that it may have.

    `unfit` says that Lambda takes no such request, by what is in it or for its size; there too it never ran.
    """

    error: str
    refusal: Refusal | None = None
    unfit: bool = False


def not_invoked(name: str, failure: CallError) -> NoInvocation:
    """Give what an invocation that failed says of the function.

    Whatever Lambda's own reply says in place of the function's, the function did not run: too many invocations at once,
    a key, a network interface or a file system that Lambda cannot use, a function that is not ready.
    """
    if failure.refusal is Refusal.MISSING:
        return NoInvocation(missing_line("function", name, failure.where), failure.refusal)
    error = f"function {name} could not be invoked: {failure.code}: {failure.message}"
    if failure.refusal or not failure.answered or failure.code in _OF_THE_REQUEST:
        return NoInvocation(error, failure.refusal, unfit=failure.code in _OF_THE_REQUEST)
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


def batch_payload(job_ids: Sequence[str]) -> bytes:
    """Give the request for the status of several jobs."""
    return json.dumps({"action": "CHECK_STATUS", "jobIds": list(job_ids)}).encode()


def read_batch(reply: Invocation | NoInvocation, count: int) -> list[Report] | NotTogether:
    """Give what the reply to such a request says of each of so many jobs, in the order of the request.

    A function that was not invoked is so for each of them. Where one job's id may have made the request or the function
    fail, each is to be asked for by itself, so that no other one pays for it.
    """
    match reply:
        case NoInvocation(error, unfit=True):
            return NotTogether(error)
        case NoInvocation():
            return [read_check(reply)] * count
        case Invocation(payload, failed=True):
            return NotTogether(read_function_error(payload).error)
        case Invocation(payload):
            return read_results(payload, count)
