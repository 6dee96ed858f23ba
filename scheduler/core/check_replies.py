"""Reports: what a job's source says of it, read from the reply of a status check."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from scheduler.core.service_calls import Refusal

UNKNOWN_JOB = "JobNotFound"
"""What a source's {"error"} begins with where it knows no such job; a status of NOT_FOUND says the same."""
_SHOWN = 200  # characters of a reply that are shown where it cannot be understood


@dataclass(frozen=True, slots=True)
class InProgress:
    """The job goes on."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The job has ended well; `result` is the source's whole reply."""

    result: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The job has failed, for its own `reason`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The source was asked and did not answer, or not so that it can be understood: an attempt is spent.

    `unknown_job` says that it answered, and knows no such job.
    """

    error: str
    unknown_job: bool = False


@dataclass(frozen=True, slots=True)
class Unasked:
    """The check never reached the source, and so says nothing of the job and spends nothing.

    `refusal` says why; None where nobody asked it, which says nothing of the source either. `again_seconds` is for how
    long the source wants not to be asked, where it says so.
    """

    error: str
    refusal: Refusal | None
    again_seconds: float | None = None


Report = InProgress | Completed | Failed | Unanswered | Unasked


@dataclass(frozen=True, slots=True)
class NotTogether:
    """The source was asked for several jobs at once and its reply tells nothing of any: ask for them one by one."""

    error: str


def read_reply(payload: bytes) -> Report:
    """Read the reply to CHECK_STATUS. Whatever is no clear status is Unanswered: never a success, never an end."""
    try:
        reply = _parsed(payload)
    except (ValueError, RecursionError):
        return Unanswered(f"the source's reply is not JSON: {payload[:_SHOWN]!r}")
    return _report(reply)


def read_results(payload: bytes, count: int) -> list[Report] | NotTogether:
    """Read the reply to CHECK_STATUS for so many jobs: each result as `read_reply` reads the reply for one job."""
    try:
        try:
            return [_report(result) for result in _results(_parsed(payload), count)]
        except ValueError:
            # Where it is one job's number that is not JSON, that concerns this job alone.
            return [read_reply(json.dumps(result).encode()) for result in _results(json.loads(payload), count)]
    except _ShapeError as error:
        return NotTogether(str(error))
    except (ValueError, RecursionError):
        return NotTogether(f"the source's reply is not JSON: {payload[:_SHOWN]!r}")


class _ShapeError(Exception):
    """A reply for several jobs that does not hold one result for each."""


def _results(reply: Any, count: int) -> list[Any]:
    results = reply.get("results") if isinstance(reply, dict) else None
    if not isinstance(results, list):
        message = f'the source\'s reply has no list of "results": {reply!r:.{_SHOWN}}'
        raise _ShapeError(message)
    if len(results) != count:
        message = f"the source's reply has {len(results)} results for {count} jobs"
        raise _ShapeError(message)
    return results


def _parsed(payload: bytes) -> Any:
    return json.loads(payload, parse_constant=_refuse_constant, parse_float=_finite)


def _report(reply: Any) -> Report:
    match reply:
        case {"status": "IN_PROGRESS"}:
            return InProgress()
        case {"status": "COMPLETED"}:
            return Completed(reply)
        case {"status": "FAILED"}:
            return Failed(_reason(reply))
        case {"status": "NOT_FOUND"}:
            return Unanswered("the source knows no such job", unknown_job=True)
        case {"status": status}:
            return Unanswered(f"the source's reply has an unknown status: {status!r:.{_SHOWN}}")
        case {"error": error}:
            text = f"the source replied with an error: {error!s:.{_SHOWN}}"
            return Unanswered(text, unknown_job=str(error).startswith(UNKNOWN_JOB))
    return Unanswered(f"the source's reply has no status: {reply!r:.{_SHOWN}}")


def read_function_error(payload: bytes, who: str = "the source") -> Unanswered:
    """Read the payload of a Lambda invocation that ended in FunctionError."""
    try:
        error = json.loads(payload)
        text = f"{error['errorType']}: {error['errorMessage']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        text = repr(payload[:_SHOWN])
    return Unanswered(f"{who} raised {text:.{_SHOWN}}")


def _reason(reply: Mapping[str, Any]) -> str:
    """Find the job's own reason under the names that job systems use for it."""
    for name in ("reason", "cause", "error", "message"):
        if value := reply.get(name):
            return value if isinstance(value, str) else json.dumps(value)
    return "the job failed and gave no reason"


def _finite(text: str) -> float:
    """Read a number; one too large to be one, such as 1e999, could not be written as JSON again."""
    number = float(text)
    return number if math.isfinite(number) else _refuse_constant(text)


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)
