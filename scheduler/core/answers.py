"""Answers: what Step Functions is told about a job, within the sizes it accepts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.core.states import EndState

# Quotas of SendTaskSuccess and SendTaskFailure: output in UTF-8 bytes, error and cause in characters.
MAX_OUTPUT_BYTES = 262_144
MAX_ERROR_LENGTH = 256
MAX_CAUSE_LENGTH = 32_768


@dataclass(frozen=True, slots=True)
class Succeed:
    """`SendTaskSuccess`; output is JSON text of at most MAX_OUTPUT_BYTES."""

    output: str
    end_state: EndState = EndState.COMPLETED


@dataclass(frozen=True, slots=True)
class Fail:
    """`SendTaskFailure`, and the state in which it leaves the row."""

    error: str
    cause: str
    end_state: EndState = EndState.FAILED


Answer = Succeed | Fail


@dataclass(frozen=True, slots=True)
class PendingAnswer:
    """An answer that was decided but could not be delivered yet; `tries` counts the polls that failed to."""

    answer: Answer
    tries: int = 0


def succeed(output: Mapping[str, Any]) -> Answer:
    """Build the success, or the failure `OutputTooLarge` where Step Functions would refuse the output.

    `output` holds JSON values only, without NaN or infinity.
    """
    text = json.dumps(output, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 cannot carry but an escape can
        text = json.dumps(output, allow_nan=False, separators=(",", ":"))
        size = len(text)
    if size > MAX_OUTPUT_BYTES:
        cause = f"the job completed, but its output has {size} bytes and Step Functions takes {MAX_OUTPUT_BYTES}"
        return fail("OutputTooLarge", cause)
    return Succeed(text)


def fail(error: str, cause: str, end_state: EndState = EndState.FAILED) -> Fail:
    """Build a failure, cut to the lengths that Step Functions accepts."""
    return Fail(_cut(error, MAX_ERROR_LENGTH), _cut(cause, MAX_CAUSE_LENGTH), end_state)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def write_pending(pending: PendingAnswer) -> dict[str, Any]:
    """Give a pending answer the form of the attribute `pendingAnswer`."""
    kept: dict[str, Any] = {"tries": pending.tries}
    match pending.answer:
        case Succeed(output):
            return kept | {"output": output}
        case Fail(error, cause, end_state):
            return kept | {"error": error, "cause": cause, "endState": end_state.value}


def read_pending(kept: Mapping[str, Any]) -> PendingAnswer:
    """Read the attribute `pendingAnswer`; raises KeyError, TypeError or ValueError where it is none of ours."""
    answer: Answer
    if "output" in kept:
        json.loads(kept["output"])
        answer = Succeed(kept["output"])
    else:
        answer = fail(kept["error"], kept["cause"], EndState(kept["endState"]))
    return PendingAnswer(answer, int(kept["tries"]))
