"""Invocations: asking a Lambda function for a job's status, and what its reply means."""

import json
from dataclasses import dataclass

from scheduler.core.reports import Report, Unanswered, read_function_error, read_reply


@dataclass(frozen=True, slots=True)
class Invocation:
    """A function's reply: JSON, or its error where it `failed`."""

    payload: bytes
    failed: bool = False


@dataclass(frozen=True, slots=True)
class NoInvocation:
    """No reply: the function could not be invoked, perhaps because it is `missing`."""

    error: str
    missing: bool = False


def check_payload(job_id: str) -> bytes:
    """Give the request for a job's status."""
    return json.dumps({"action": "CHECK_STATUS", "jobId": job_id}).encode()


def read_check(reply: Invocation | NoInvocation) -> Report:
    """Give what the reply to such a request says of the job."""
    match reply:
        case NoInvocation(error, missing):
            return Unanswered(error, missing=missing)
        case Invocation(payload, failed=True):
            return read_function_error(payload)
        case Invocation(payload):
            return read_reply(payload)
