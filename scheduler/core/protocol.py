"""The poll protocol: claim, give up or check, answer, mark, in this order.

A poll is a generator: it yields effects and is sent what became of them. Whoever drives it performs the effects, with
`await` in the daemon and without in the poller Lambda, and a test by hand. It does no I/O and reads no clock.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from scheduler.core.answers import Answer, PendingAnswer, Succeed, fail
from scheduler.core.check_replies import Report, Unanswered
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
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import MalformedRowError
from scheduler.core.states import EndState
from scheduler.core.timing import Policy
from scheduler.core.token_row import TokenRow
from scheduler.core.verdicts import answer_for, due, give_up

Poll = Generator[Effect, Any, Outcome]


@dataclass(frozen=True, slots=True)
class _Turn:
    """One turn at a row: when it started, when the row is due again, and until when nobody else may have it."""

    policy: Policy
    now: Instant
    due_again: Instant
    until: Instant


def poll(row: TokenRow, policy: Policy, now: Instant, tick: Instant) -> Poll:
    """Poll one row: `now` is the poll's own start, `tick` that of the tick that found the row due."""
    if row.has_source:
        return _outcome(Kind.LEFT_ALONE, row, error="the row names a source that this version does not know")
    if not due(row, now) and row.attempt_count >= row.max_attempts and not row.pending and now <= row.expires_at:
        # Polled out of turn, its attempts used up: the last check may be under way, and may yet find the job ended.
        return _outcome(Kind.LOST, row, error="its last check may still be under way")
    due_again = policy.next_poll(row, now, tick)
    turn = _Turn(policy, now, due_again, until=max(due_again, policy.lease_end(now)))
    claimed = yield Claim(row, policy.new_claim_id(), now, turn.until, policy.shard(row))
    match claimed:
        case MalformedRowError():
            return (yield from quarantine(row.job_id, claimed, now))
        case Lost():
            return _outcome(Kind.LOST, row)
        case Failure(error, refused=True):
            fault = MalformedRowError(None, None, f"cannot be claimed: {row.token.scrub(error)}")
            return (yield from quarantine(row.job_id, fault, now))
        case Failure(error):
            return _outcome(Kind.UNREACHED, row, error=row.token.scrub(error))
    row = claimed
    pending = row.pending
    if pending is None:
        decided = give_up(row, now)
        if decided is None:
            report = yield Check(row)
            decided = answer_for(row, report, now)
            if decided is None:
                return (yield from _wait(row, report, turn))
        pending = PendingAnswer(decided)
    return (yield from _deliver(row, pending, turn))


def quarantine(job_id: str, fault: MalformedRowError, now: Instant) -> Poll:
    """Set aside a row that cannot be understood; its task is left waiting, for a person to mend the row."""
    # What else is wrong with the row may stand in the way: a version that cannot be counted, no room for a reason.
    for counted, with_reason in ((True, True), (False, True), (False, False)):
        done = yield Quarantine(job_id, fault, now, counted, with_reason)
        if not (isinstance(done, Failure) and done.refused):
            break
    match done:
        case Lost():
            return Outcome(Kind.LOST, job_id)
        case Failure(error, refused):
            return Outcome(Kind.REFUSED if refused else Kind.UNREACHED, job_id, error=error)
    return Outcome(Kind.ENDED, job_id, end_state=EndState.QUARANTINED, error=str(fault))


def _wait(row: TokenRow, report: Report, turn: _Turn) -> Poll:
    """Let the job wait for its next poll: it is in progress, or nothing is known of it."""
    error = row.token.scrub(report.error) if isinstance(report, Unanswered) else None
    if error is None and row.heartbeat:
        beat: Delivery = yield Heartbeat(row.token)
        if beat.kind is Delivered.CLOSED:
            return (yield from _mark(row, EndState.CLOSED, turn, error=beat.error))
    # The claim holds the row for as long as a poll may take; a shorter interval would be stretched to that.
    unknown = row.unknown_checks + 1 if isinstance(report, Unanswered) and report.unknown_job else 0
    if turn.due_again < turn.until or error or unknown != row.unknown_checks:
        # Where the source is missing, denied or out of reach, no check was made: the attempt is not spent.
        unspent = isinstance(report, Unanswered) and report.unusable
        yield Release(row, turn.due_again, error, unknown, unspent)
    if isinstance(report, Unanswered):
        return _outcome(Kind.CHECK_FAILED, row, claimed=True, error=error, halt=report.unusable)
    return _outcome(Kind.IN_PROGRESS, row, claimed=True)


def _deliver(row: TokenRow, pending: PendingAnswer, turn: _Turn) -> Poll:
    """Answer, then mark; keep what cannot be delivered now."""
    decided = pending.answer
    pauses = turn.policy.pauses()
    while True:
        delivery: Delivery = yield Send(row.token, decided)
        match delivery.kind:
            case Delivered.DELIVERED:
                turn.policy.retries.earn()
                return (yield from _mark(row, decided.end_state, turn, answer=decided))
            case Delivered.CLOSED:
                # By an earlier try of this very answer whose reply was lost, or by the task's own time-out: nobody can
                # tell, and the row must not say that Step Functions was told what it may never have heard.
                return (yield from _mark(row, EndState.CLOSED, turn, error=delivery.error))
            case Delivered.REFUSED if isinstance(decided, Succeed):
                decided = fail("InvalidOutput", f"the job completed, but its output was refused: {delivery.error}")
                continue
            case Delivered.REFUSED:
                return (yield from _mark(row, EndState.QUARANTINED, turn, error=delivery.error))
        pause = next(pauses, None)
        if pause is None or not turn.policy.retries.take():
            break
        yield Pause(pause)
    kept = PendingAnswer(decided, pending.tries + 1)
    done = yield Keep(row, kept, turn.policy.retry_deferred(pending.tries, turn.now), delivery.error)
    return _outcome(
        Kind.DEFERRED,
        row,
        claimed=True,
        answer=decided,
        error=delivery.error,
        halt=delivery.unusable,
        unmarked=row.token.scrub(done.error) if isinstance(done, Failure) else None,
    )


def _mark(
    row: TokenRow, end_state: EndState, turn: _Turn, *, answer: Answer | None = None, error: str | None = None
) -> Poll:
    # The task of a row that is set aside still waits, so that nothing may delete its token.
    purge_at = None if end_state is EndState.QUARANTINED else turn.policy.purge_at(turn.now)
    mark = Mark(row, end_state, turn.now, error, purge_at)
    done = yield mark
    for pause in turn.policy.pauses():
        if not isinstance(done, Failure) or not turn.policy.retries.take():
            break
        # The task may have its answer: without the mark its job would be checked again, and the row end as closed.
        yield Pause(pause)
        done = yield mark
    unmarked = row.token.scrub(done.error) if isinstance(done, Failure) else None
    return _outcome(Kind.ENDED, row, claimed=True, end_state=end_state, answer=answer, error=error, unmarked=unmarked)


def _outcome(kind: Kind, row: TokenRow, **more: Any) -> Outcome:
    return Outcome(kind, row.job_id, row.execution_id, attempt=row.attempt_count, max_attempts=row.max_attempts, **more)
