"""The poll protocol: claim, give up or check, answer, mark, in this order.

A poll is a generator: it yields effects and is sent what became of them. Whoever drives it performs the effects, with
`await` in the daemon and without in the poller Lambda, and a test by hand. It does no I/O and reads no clock.
"""

from dataclasses import replace

from scheduler.core.answering import beat, deliver, insist, mark
from scheduler.core.answers import PendingAnswer
from scheduler.core.check_replies import Report, Unanswered, Unasked
from scheduler.core.effects import (
    Check,
    Claim,
    Failure,
    Lost,
    Quarantine,
    Release,
    Reread,
)
from scheduler.core.instant import Instant
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.poll_turn import Poll, Turn, outcome_of
from scheduler.core.row_reader import MalformedRowError
from scheduler.core.states import EndState
from scheduler.core.timing import Policy
from scheduler.core.token_row import TokenRow
from scheduler.core.trouble import Part, Trouble
from scheduler.core.verdicts import answer_for, due, expired, give_up

_SHOWN = 100  # characters of a source's name


def poll(row: TokenRow, policy: Policy, now: Instant, tick: Instant) -> Poll:
    """Poll one row: `now` is the poll's own start, `tick` that of the tick that found the row due."""
    if reason := not_ours(row, policy):
        return outcome_of(Kind.LEFT_ALONE, row, policy, error=reason)
    policy = policy.of(row)
    if not due(row, now) and _last_check_under_way(row, policy, now):
        return outcome_of(Kind.LOST, row, policy, error="its last check may still be under way")
    due_again = policy.next_poll(row, now, tick)
    was_due = now if row.next_poll_at is None else row.next_poll_at
    turn = Turn(policy, now, was_due, due_again, until=max(due_again, policy.lease_end(now)))
    claimed = yield Claim(row, policy.new_claim_id(), now, turn.until, policy.shard(row))
    match claimed:
        case MalformedRowError():
            return (yield from quarantine(row.job_id, claimed, now))
        case Lost():
            return outcome_of(Kind.LOST, row, policy)
        case Failure(error, refused=True):
            fault = MalformedRowError(None, None, f"cannot be claimed: {row.token.scrub(error)}")
            return (yield from quarantine(row.job_id, fault, now))
        case Failure():
            return turn.outcome(Kind.UNREACHED, row, error=turn.wrote(row, claimed))
    turn.worked.add(Part.TABLE)
    return (yield from _decide(claimed, turn))


def poll_held(row: TokenRow, policy: Policy, now: Instant) -> Poll:
    """Poll a row that this replica holds, from memory: the claim was made, and `row` counts the attempt that begins."""
    turn = Turn(policy.of(row), now, was_due=now, due_again=now, until=now, held=True)
    return (yield from _decide(row, turn))


def not_ours(row: TokenRow, policy: Policy) -> str | None:
    """Say why a row is to be left alone; None where it is ours to poll."""
    return policy.home.excludes(row.execution_id) if policy.knows(row) else unknown_source(row)


def unknown_source(row: TokenRow) -> str:
    """Say that the row's source is not known here."""
    return f"the row names source {str(row.source)[:_SHOWN]!r}, which is not known here"


def _last_check_under_way(row: TokenRow, policy: Policy, now: Instant) -> bool:
    """Tell of a row that is polled out of turn, its attempts used up: its last check may yet find the job ended."""
    most = policy.most_attempts(row)
    used_up = most is not None and row.attempt_count >= most and not row.pending
    return used_up and (row.expires_at is None or now < row.expires_at)


def _decide(row: TokenRow, turn: Turn) -> Poll:
    """Go on with what the row calls for: its task may have its answer already, and only the mark be missing."""
    given = turn.policy.given.to(row)
    if given is None:
        return (yield from _ask(row, turn))
    answered = replace(row, attempt_count=given.attempts)
    return (yield from mark(answered, given.answer.end_state, turn, answer=given.answer))


def _ask(row: TokenRow, turn: Turn) -> Poll:
    """Give up or check, and go on with what that calls for."""
    pending = row.pending
    if pending is None:
        decided = give_up(row, turn.policy.max_attempts)
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
    return (yield from deliver(row, pending, turn))


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


def _wait(row: TokenRow, report: Report, turn: Turn) -> Poll:
    """Let the job wait for its next poll: it is in progress, or nothing is known of it."""
    kind, error, unknown, due_again = Kind.IN_PROGRESS, None, 0, turn.due_again
    again_seconds = None
    match report:
        case Unanswered(text, unknown_job):
            kind, error = Kind.CHECK_FAILED, row.token.scrub(text)
            unknown = row.unknown_checks + 1 if unknown_job else 0
        case Unasked(text, refusal, not_before):
            kind, error, unknown = Kind.UNASKED, row.token.scrub(text), row.unknown_checks
            if refusal:
                turn.troubles.append(Trouble.refused(Part.SOURCE, error, refusal, not_before))
                again_seconds = None if turn.held else 0.0
            due_again = min(due_again, turn.was_due)  # it keeps its place: it is the source's lane that slows down
    if closed := (yield from beat(row, turn)):
        return (yield from mark(row, EndState.CLOSED, turn, error=closed))
    # The claim holds the row for as long as a poll may take; a shorter interval would be stretched to that.
    if not turn.held and (due_again < turn.until or error or unknown != row.unknown_checks):
        release = Release(row, due_again, error, unknown, unspent=kind is Kind.UNASKED)
        # A check that was not made must not be paid for; any other release is only a matter of being early.
        done = (yield from insist(release, turn)) if release.unspent else (yield release)
        turn.wrote(row, done)
    return turn.outcome(
        kind, row, claimed=not turn.held, error=error, unknown_checks=unknown, again_seconds=again_seconds
    )
