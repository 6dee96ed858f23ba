"""Invocations: asking a Lambda function for a job's status, and what its reply means."""

import json
from dataclasses import dataclass

from scheduler.core.check_replies import Report, Unanswered, read_function_error, read_reply
from scheduler.core.service_calls import MISSING_CODES, CallError, missing_line


@dataclass(frozen=True, slots=True)
class Invocation:
    """A function's reply: JSON, or its error where it `failed`."""

    payload: bytes
    failed: bool = False


@dataclass(frozen=True, slots=True)
class NoInvocation:
    """No reply; `unusable` says that the function cannot be invoked for any other job either."""

    error: str
    unusable: bool = False


def not_invoked(name: str, failure: CallError) -> NoInvocation:
    """Give what an invocation that failed says of the function."""
    if failure.code in MISSING_CODES:
        return NoInvocation(missing_line("function", name), unusable=True)
    error = f"function {name} could not be invoked: {failure.code}: {failure.message}"
    return NoInvocation(error, unusable=failure.unusable)


def check_payload(job_id: str) -> bytes:
    """Give the request for a job's status."""
    return json.dumps({"action": "CHECK_STATUS", "jobId": job_id}).encode()


def read_check(reply: Invocation | NoInvocation) -> Report:
    """Give what the reply to such a request says of the job."""
    match reply:
        case NoInvocation(error, unusable):
            return Unanswered(error, unusable=unusable)
        case Invocation(payload, failed=True):
            return read_function_error(payload)
        case Invocation(payload):
            return read_reply(payload)
