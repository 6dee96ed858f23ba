"""The poll protocol: claim, give up or check, answer, mark, in this order.

A poll is a generator: it yields effects and is sent what became of them. Whoever drives it performs the effects, with
`await` in the daemon and without in the poller Lambda, and a test by hand. It does no I/O and reads no clock.
"""

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from scheduler.core.answers import Answer, PendingAnswer, Succeed, fail
from scheduler.core.effects import (
    Check,
    Claim,
    Delivered,
    Delivery,
    Effect,
    Failure,
    Heartbeat,
    Keep,
    Lost,
    Mark,
    Pause,
    Quarantine,
    Release,
    Send,
)
from scheduler.core.instant import Instant
from scheduler.core.model import MalformedRowError, TokenRow
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.policy import Policy, answer, give_up
from scheduler.core.reports import Report, Unanswered
from scheduler.core.states import EndState

Poll = Generator[Effect, Any, Outcome]


def poll(row: TokenRow, policy: Policy, now: Instant, tick: Instant) -> Poll:
    """Poll one row: `now` is the poll's own start, `tick` that of the tick that found the row due."""
    if row.has_source:
        return Outcome(Kind.LEFT_ALONE, row.job_id, row.execution_id, error="the row names a source unknown here")
    due_again = policy.next_poll(row, tick)
    until = max(due_again, policy.lease_end(now))
    claimed = yield Claim(row, policy.new_claim_id(), now, until, policy.shard(row))
    match claimed:
        case MalformedRowError():
            return (yield from quarantine(row.job_id, claimed, now))
        case Lost():
            return _outcome(Kind.LOST, row)
        case Failure(error):
            return _outcome(Kind.UNREACHED, row, error=error)
    row = claimed
    pending = row.pending
    if pending is None:
        decided = give_up(row, now)
        if decided is None:
            report = yield Check(row)
            decided = answer(row, report, now)
            if decided is None:
                return (yield from _wait(row, report, now, due_again, until))
        pending = PendingAnswer(decided)
    return (yield from _deliver(row, pending, policy, now))


def quarantine(job_id: str, fault: MalformedRowError, now: Instant) -> Poll:
    """Set aside a row that cannot be understood; its task is left waiting, for a person to mend the row."""
    done = yield Quarantine(job_id, fault, now)
    match done:
        case Lost():
            return Outcome(Kind.LOST, job_id)
        case Failure(error):
            return Outcome(Kind.UNREACHED, job_id, error=error)
    return Outcome(Kind.ENDED, job_id, end_state=EndState.QUARANTINED, error=str(fault))


def _wait(row: TokenRow, report: Report, now: Instant, due_again: Instant, until: Instant) -> Poll:
    error = report.error if isinstance(report, Unanswered) else None
    if error is None and row.heartbeat:
        beat: Delivery = yield Heartbeat(row.token)
        if beat.kind is Delivered.CLOSED:
            return (yield from _mark(row, EndState.CLOSED, now, error=beat.error))
    # An interval shorter than the lease would otherwise be stretched to it.
    if due_again < until or error:
        yield Release(row, due_again, error)
    if isinstance(report, Unanswered):
        return _outcome(Kind.CHECK_FAILED, row, claimed=True, error=error, source_missing=report.missing)
    return _outcome(Kind.IN_PROGRESS, row, claimed=True)


def _deliver(row: TokenRow, pending: PendingAnswer, policy: Policy, now: Instant) -> Poll:
    decided, unsure = pending.answer, pending.unsure
    pauses = policy.pauses()
    while True:
        delivery: Delivery = yield Send(row.token, decided)
        match delivery.kind:
            case Delivered.DELIVERED:
                return (yield from _mark(row, decided.end_state, now, decided))
            case Delivered.CLOSED:
                # Closed by an earlier try of this very answer, or by somebody else: only then nothing is known.
                end_state = decided.end_state if unsure else EndState.CLOSED
                return (yield from _mark(row, end_state, now, error=delivery.error))
            case Delivered.REFUSED if isinstance(decided, Succeed):
                decided = fail("InvalidOutput", f"the job completed, but its output was refused: {delivery.error}")
                continue
            case Delivered.REFUSED:
                return (yield from _mark(row, EndState.QUARANTINED, now, error=delivery.error))
        unsure = unsure or delivery.unsure
        pause = next(pauses, None)
        if pause is None:
            break
        yield Pause(pause)
    kept = replace(pending, answer=decided, tries=pending.tries + 1, unsure=unsure)
    yield Keep(row, kept, policy.retry_deferred(pending.tries, now), delivery.error)
    return _outcome(Kind.DEFERRED, row, claimed=True, answer=decided, error=delivery.error)


def _mark(
    row: TokenRow, end_state: EndState, now: Instant, delivered: Answer | None = None, error: str | None = None
) -> Poll:
    done = yield Mark(row, end_state, now, error)
    unmarked = done.error if isinstance(done, Failure) else None
    return _outcome(
        Kind.ENDED, row, claimed=True, end_state=end_state, answer=delivered, error=error, unmarked=unmarked
    )


def _outcome(kind: Kind, row: TokenRow, **more: Any) -> Outcome:
    return Outcome(kind, row.job_id, row.execution_id, attempt=row.attempt_count, max_attempts=row.max_attempts, **more)
