"""The verdict: what must hold of every workflow once all is over."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from scheduler.core.instant import parse_iso
from scheduler.core.timing import HOLD_INTERVALS
from tests.aws_server import Answer
from tests.soak.plan import Workflow
from tests.soak.witness import WatchedServer, Witness

_ENDS = {"completes": "COMPLETED", "fails": "FAILED", "endless": "MAX_ATTEMPTS", "expires": "EXPIRED"}
_LEFTOVERS = ("dueShard", "nextPollAt", "pendingAnswer")
_CLOCKS_APART_MS = 100  # the server's clock is the monotonic one, started at the wall's time


def faults_of(
    workflow: Workflow, row: Mapping[str, Any] | None, token: str, aws: WatchedServer, found_ended: int
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
    # A heartbeat, too, may be told that its task is closed.
    beats = aws.ledger.heartbeats(token) if row["status"] == "CLOSED" else []
    offers = aws.ledger.offers(token) + beats
    yield from _wrong_row(workflow, row, [(offer.effect, offer.told) for offer in offers])
    yield from _too_many_checks(workflow, row, aws.witness, found_ended)


def _too_many_checks(workflow: Workflow, row: Mapping[str, Any], witness: Witness, found_ended: int) -> Iterator[str]:
    """Say where there were more checks than may be.

    A claim counts its first check, and the writes that follow count the others. So checks are forgotten only where a
    replica that holds the row is killed or falls asleep: those that it made since its last write, which are a hold's
    worth at most, and for the first one none. And whoever polls the row makes no more checks than it has attempts.
    """
    by_life = witness.checks[workflow.job_id]
    checks, attempts = by_life.total(), min(row["attemptCount"], row["maxAttempts"])
    cut_short = [count for life, count in by_life.items() if life in witness.cut_short]
    forgotten = sum(min(count, HOLD_INTERVALS) for count in cut_short)
    # Where a job has ended, and that could be written nowhere, the check that found it so was free.
    if checks > attempts + forgotten + found_ended + witness.late_checks[workflow.job_id]:
        yield f"{checks} checks for {attempts} attempts, of which {forgotten} may have been forgotten: {dict(by_life)}"
    if (most := max(by_life.values(), default=0)) > row["maxAttempts"]:
        yield f"one replica alone made {most} checks, of {row['maxAttempts']} at most"


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
