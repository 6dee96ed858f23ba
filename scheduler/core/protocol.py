"""The poll protocol: claim, give up or check, answer, mark, in this order.

A poll is a generator: it yields effects and is sent what became of them. Whoever drives it performs the effects, with
`await` in the daemon and without in the poller Lambda, and a test by hand. It does no I/O and reads no clock.
"""

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any

from scheduler.core.answers import Answer, PendingAnswer, Succeed, fail
from scheduler.core.check_replies import Report, Unanswered, Unasked
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
    Reread,
    Send,
)
from scheduler.core.home import Home
from scheduler.core.instant import Instant
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import MalformedRowError
from scheduler.core.states import EndState
from scheduler.core.timing import Policy
from scheduler.core.token_row import TokenRow
from scheduler.core.trouble import Part, Trouble
from scheduler.core.verdicts import answer_for, due, expired, give_up

_DOUBTED = "no answer is sent while Step Functions seems to know none of our task tokens"

Poll = Generator[Effect, Any, Outcome]


@dataclass(frozen=True, slots=True)
class _Turn:
    """One turn at a row: when it started, since when the row was due and when it is again, until when it is leased.

    `troubles` gathers what of the surroundings goes wrong on the way, `worked` what does not.
    """

    policy: Policy
    now: Instant
    was_due: Instant
    due_again: Instant
    until: Instant
    held: bool = False
    """Whether the row is held across polls: one that leaves the job waiting writes nothing then."""
    troubles: list[Trouble] = field(default_factory=list)
    worked: set[Part] = field(default_factory=set)

    def outcome(self, kind: Kind, row: TokenRow, **more: Any) -> Outcome:
        """Give how the turn ended."""
        return _outcome(kind, row, troubles=tuple(self.troubles), worked=frozenset(self.worked), **more)

    def wrote(self, row: TokenRow, done: object) -> str | None:
        """Note how a write went; gives the error where it failed."""
        if not isinstance(done, Failure):
            self.worked.add(Part.TABLE)
            return None
        error = row.token.scrub(done.error)
        if not done.refused:
            self.troubles.append(Trouble.refused(Part.TABLE, error, done.refusal))
        return error


def poll(row: TokenRow, policy: Policy, now: Instant, tick: Instant) -> Poll:
    """Poll one row: `now` is the poll's own start, `tick` that of the tick that found the row due."""
    if reason := not_ours(row, policy.home):
        return _outcome(Kind.LEFT_ALONE, row, error=reason)
    if not due(row, now) and row.attempt_count >= row.max_attempts and not row.pending and now < row.expires_at:
        # Polled out of turn, its attempts used up: the last check may be under way, and may yet find the job ended.
        return _outcome(Kind.LOST, row, error="its last check may still be under way")
    due_again = policy.next_poll(row, now, tick)
    was_due = now if row.next_poll_at is None else row.next_poll_at
    turn = _Turn(policy, now, was_due, due_again, until=max(due_again, policy.lease_end(now)))
    claimed = yield Claim(row, policy.new_claim_id(), now, turn.until, policy.shard(row))
    match claimed:
        case MalformedRowError():
            return (yield from quarantine(row.job_id, claimed, now))
        case Lost():
            return _outcome(Kind.LOST, row)
        case Failure(error, refused=True):
            fault = MalformedRowError(None, None, f"cannot be claimed: {row.token.scrub(error)}")
            return (yield from quarantine(row.job_id, fault, now))
        case Failure():
            return turn.outcome(Kind.UNREACHED, row, error=turn.wrote(row, claimed))
    turn.worked.add(Part.TABLE)
    return (yield from _decide(claimed, turn))


def poll_held(row: TokenRow, policy: Policy, now: Instant) -> Poll:
    """Poll a row that this replica holds, from memory: the claim was made, and `row` counts the attempt that begins."""
    turn = _Turn(policy, now, was_due=now, due_again=now, until=now, held=True)
    return (yield from _decide(row, turn))


def not_ours(row: TokenRow, home: Home) -> str | None:
    """Say why a row is to be left alone; None where it is ours to poll."""
    return (
        "the row names a source that is not known here" if row.source is not None else home.excludes(row.execution_id)
    )


def _decide(row: TokenRow, turn: _Turn) -> Poll:
    """Go on with what the row calls for: its task may have its answer already, and only the mark be missing."""
    given = turn.policy.given.to(row)
    if given is None:
        return (yield from _ask(row, turn))
    answered = replace(row, attempt_count=given.attempts)
    return (yield from _mark(answered, given.answer.end_state, turn, answer=given.answer))


def _ask(row: TokenRow, turn: _Turn) -> Poll:
    """Give up or check, and go on with what that calls for."""
    pending = row.pending
    if pending is None:
        decided = give_up(row)
        if decided is None:
            report = yield Check(row)
            if not isinstance(report, Unasked):
                turn.worked.add(Part.SOURCE)
            decided = answer_for(row, report, turn.now) or expired(row, report, turn.now)
            if decided is None:
                return (yield from _wait(row, report, turn))
        pending = PendingAnswer(decided)
    if not row.has_secret:
        match (yield Reread(row)):
            case Lost():
                return turn.outcome(Kind.LOST, row)
            case MalformedRowError() as fault:
                return (yield from quarantine(row.job_id, fault, turn.now))
            case Failure() as failure:
                return turn.outcome(Kind.UNREACHED, row, error=turn.wrote(row, failure))
            case TokenRow(token=token, entry=entry):
                row = replace(row, token=token, entry=entry)
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
        case Failure(error, refused=True):
            return Outcome(Kind.REFUSED, job_id, error=error)
        case Failure(error, refusal=refusal):
            trouble = Trouble.refused(Part.TABLE, error, refusal)
            return Outcome(Kind.UNREACHED, job_id, error=error, troubles=(trouble,))
    return Outcome(Kind.ENDED, job_id, end_state=EndState.QUARANTINED, error=str(fault))


def _wait(row: TokenRow, report: Report, turn: _Turn) -> Poll:
    """Let the job wait for its next poll: it is in progress, or nothing is known of it."""
    kind, error, unknown, due_again = Kind.IN_PROGRESS, None, 0, turn.due_again
    again_seconds = None
    match report:
        case Unanswered(text, unknown_job):
            kind, error = Kind.CHECK_FAILED, row.token.scrub(text)
            unknown = row.unknown_checks + 1 if unknown_job else 0
        case Unasked(text, refusal):
            kind, error, unknown = Kind.UNASKED, row.token.scrub(text), row.unknown_checks
            if refusal:
                turn.troubles.append(Trouble.refused(Part.SOURCE, error, refusal))
                again_seconds = None if turn.held else 0.0
            due_again = min(due_again, turn.was_due)  # it keeps its place: it is the source's lane that slows down
    if closed := (yield from _beat(row, turn)):
        return (yield from _mark(row, EndState.CLOSED, turn, error=closed))
    # The claim holds the row for as long as a poll may take; a shorter interval would be stretched to that.
    if not turn.held and (due_again < turn.until or error or unknown != row.unknown_checks):
        release = Release(row, due_again, error, unknown, unspent=kind is Kind.UNASKED)
        # A check that was not made must not be paid for; any other release is only a matter of being early.
        done = (yield from _insist(release, turn)) if release.unspent else (yield release)
        turn.wrote(row, done)
    return turn.outcome(
        kind, row, claimed=not turn.held, error=error, unknown_checks=unknown, again_seconds=again_seconds
    )


def _beat(row: TokenRow, turn: _Turn) -> Generator[Effect, Any, str | None]:
    """Send the heartbeat that a task wants while it waits, whatever its source says; gives why the token is closed."""
    if not row.heartbeat:
        return None
    beat: Delivery = yield Heartbeat(row.token)
    if beat.kind is Delivered.CLOSED:
        return beat.error
    if beat.kind is Delivered.DELIVERED:
        turn.worked.add(Part.HEARTBEATS)
    else:
        turn.troubles.append(Trouble.refused(Part.HEARTBEATS, beat.error, beat.refusal))
    return None


def _deliver(row: TokenRow, pending: PendingAnswer, turn: _Turn) -> Poll:
    """Answer, then mark; keep what cannot be delivered now."""
    decided, doubt = pending.answer, turn.policy.doubt
    pauses = turn.policy.pauses()
    delivery = Delivery(Delivered.DEFERRED, _DOUBTED, unknown=True)
    # One that was never sent is tried whatever became of others, which may be of tasks that are long gone.
    untried = pending.tries == 0
    while untried or doubt.may_try(turn.now):
        untried = False
        delivery = yield Send(row.token, decided)
        match delivery.kind:
            case Delivered.DELIVERED:
                turn.policy.retries.earn()
                doubt.taken()
                turn.worked.add(Part.ANSWERS)
                return (yield from _mark(row, decided.end_state, turn, answer=decided))
            case Delivered.CLOSED if delivery.unknown and not doubt.closes():
                break
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
    turn.troubles.append(_answer_trouble(delivery))
    kept = PendingAnswer(decided, pending.tries + 1)
    # An answer that is not kept is lost: its job would be asked again, or given up where that was its last check.
    keep = Keep(row, kept, turn.policy.retry_deferred(pending.tries, turn.now), delivery.error)
    done = yield from _insist(keep, turn)
    unmarked = turn.wrote(row, done)
    if closed := (yield from _beat(row, turn)):
        return (yield from _mark(row, EndState.CLOSED, turn, error=closed))
    return turn.outcome(
        Kind.DEFERRED,
        row,
        claimed=not turn.held,
        answer=decided,
        error=delivery.error,
        unmarked=unmarked,
        again_seconds=(keep.until - turn.now) / 1000,
    )


def _mark(
    row: TokenRow, end_state: EndState, turn: _Turn, *, answer: Answer | None = None, error: str | None = None
) -> Poll:
    # The task of a row that is set aside still waits, so that nothing may delete its token.
    purge_at = None if end_state is EndState.QUARANTINED else turn.policy.purge_at(turn.now)
    # The task may have its answer: without the mark its job would be checked again, and the row end as closed.
    attempts = row.attempt_count if turn.held or turn.policy.given.to(row) else None
    done = yield from _insist(Mark(row, end_state, turn.now, error, purge_at, attempts), turn)
    unmarked = turn.wrote(row, done)
    if answer and unmarked:
        turn.policy.given.note(row, answer)
    elif answer:
        turn.policy.given.marked(row)
    return turn.outcome(
        Kind.ENDED, row, claimed=not turn.held, end_state=end_state, answer=answer, error=error, unmarked=unmarked
    )


def _insist(write: Keep | Mark | Release, turn: _Turn) -> Generator[Effect, Any, Any]:
    """Perform a write that matters, again where the table could not be asked; gives what it was told last."""
    done = yield write
    for pause in turn.policy.pauses():
        if not isinstance(done, Failure) or not turn.policy.retries.take():
            break
        yield Pause(pause)
        done = yield write
    return done


def _answer_trouble(delivery: Delivery) -> Trouble:
    if delivery.unknown:
        reason = "Step Functions knows none of our task tokens: is it of another region or account?"
        return Trouble(Part.ANSWERS, reason, delivery.error)
    return Trouble.refused(Part.ANSWERS, delivery.error, delivery.refusal)


def _outcome(kind: Kind, row: TokenRow, **more: Any) -> Outcome:
    return Outcome(kind, row.job_id, row.execution_id, attempt=row.attempt_count, max_attempts=row.max_attempts, **more)
