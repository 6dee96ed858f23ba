"""The verdict: what must hold of every workflow once all is over."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from scheduler.core.instant import parse_iso
from tests.aws_server import Answer, AwsServer
from tests.soak.plan import Workflow

_ENDS = {"completes": "COMPLETED", "fails": "FAILED", "endless": "MAX_ATTEMPTS", "expires": "EXPIRED"}
_LEFTOVERS = ("dueShard", "nextPollAt", "pendingAnswer")
_CLOCKS_APART_MS = 100  # the server's clock is the monotonic one, started at the wall's time


def faults_of(
    workflow: Workflow, row: Mapping[str, Any] | None, token: str, aws: AwsServer, dropped_checks: int
) -> Iterator[str]:
    """Say what is wrong with a workflow: nothing, where all is well."""
    if row is None:
        yield "its row is gone"
        return
    answers = aws.ledger[token]
    if len(answers) == 1:
        yield from _wrong_answer(workflow, row, answers[0])
    else:
        yield f"{len(answers)} answers had effect: {answers}"
    yield from _wrong_row(workflow, row, [(offer.effect, offer.told) for offer in aws.ledger.offers(token)])
    # The claim counts an attempt before the check, so that a kill can cost a check and never add one. Only the SDK
    # adds some: it makes a check again whose reply was lost.
    checks, most = aws.jobs.checks(workflow.job_id), min(row["attemptCount"], row["maxAttempts"])
    if checks > most + dropped_checks:
        yield f"{checks} checks, of which {dropped_checks} were dropped, for {most} attempts"


def _wrong_answer(workflow: Workflow, row: Mapping[str, Any], answer: Answer) -> Iterator[str]:
    told: Any = (answer.error, answer.cause)
    want: Any = None
    match workflow.fate:
        case "completes":
            output = json.loads(answer.output or "null") or {}
            told = (answer.operation, output.get("jobId"), output.get("status"), output.get("result", {}).get("data"))
            want = ("SendTaskSuccess", workflow.job_id, "COMPLETED", workflow.result)
        case "fails":
            want = ("JobFailed", workflow.reason)
        case "endless":
            told, want = answer.error, "MaxAttemptsExceeded"
        case "expires":
            told, want = answer.error, "PollingExpired"
            if answer.time * 1000 < parse_iso(row["expiresAt"]) - _CLOCKS_APART_MS:
                yield "it was told to have expired before it had"
    if told != want:
        yield f"it should have been answered {want} and was answered {told}"


def _wrong_row(workflow: Workflow, row: Mapping[str, Any], offers: list[tuple[str | None, str]]) -> Iterator[str]:
    status = row["status"]
    if status == "POLLING":
        yield "its row is left POLLING"
        return
    if status == "CLOSED":
        # Somebody must have been told so, after an answer that had effect.
        if ("TaskTimedOut", "TaskTimedOut") not in offers:
            yield f"its row is CLOSED, and nobody was told that its task is: {offers}"
    elif status != _ENDS[workflow.fate]:
        yield f"its row is {status}"
    elif ("applied", "ok") not in offers:
        yield f"its row is {status}, and nobody was told that the answer was taken: {offers}"
    if left := [name for name in _LEFTOVERS if name in row]:
        yield f"its row has ended and still has {left}"
    if "purgeAt" not in row or "completedAt" not in row:
        yield "its row has ended and has no purgeAt or no completedAt"
