"""The second half of a poll: answer, then mark, never the other way round; and the heartbeats of tasks that wait."""

from collections.abc import Generator
from typing import Any

from scheduler.core.answers import Answer, PendingAnswer, Succeed, fail
from scheduler.core.effects import Delivered, Delivery, Effect, Failure, Heartbeat, Keep, Mark, Pause, Release, Send
from scheduler.core.outcome import Kind
from scheduler.core.poll_turn import Poll, Turn
from scheduler.core.states import EndState
from scheduler.core.token_row import TokenRow
from scheduler.core.trouble import Part, Trouble

_DOUBTED = "no answer is sent while Step Functions seems to know none of our task tokens"


def deliver(row: TokenRow, pending: PendingAnswer, turn: Turn) -> Poll:
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
                return (yield from mark(row, decided.end_state, turn, answer=decided))
            case Delivered.CLOSED if delivery.unknown and not doubt.closes():
                break
            case Delivered.CLOSED:
                # By an earlier try of this very answer whose reply was lost, or by the task's own time-out: nobody can
                # tell, and the row must not say that Step Functions was told what it may never have heard.
                return (yield from mark(row, EndState.CLOSED, turn, error=delivery.error))
            case Delivered.REFUSED if isinstance(decided, Succeed):
                decided = fail("InvalidOutput", f"the job completed, but its output was refused: {delivery.error}")
                continue
            case Delivered.REFUSED:
                return (yield from mark(row, EndState.QUARANTINED, turn, error=delivery.error))
        pause = next(pauses, None)
        if pause is None or not turn.policy.retries.take():
            break
        yield Pause(pause)
    turn.troubles.append(_answer_trouble(delivery))
    kept = PendingAnswer(decided, pending.tries + 1)
    # An answer that is not kept is lost: its job would be asked again, or given up where that was its last check.
    keep = Keep(row, kept, turn.policy.retry_deferred(pending.tries, turn.now), delivery.error)
    done = yield from insist(keep, turn)
    unmarked = turn.wrote(row, done)
    if closed := (yield from beat(row, turn)):
        return (yield from mark(row, EndState.CLOSED, turn, error=closed))
    return turn.outcome(
        Kind.DEFERRED,
        row,
        claimed=not turn.held,
        answer=decided,
        error=delivery.error,
        unmarked=unmarked,
        again_seconds=(keep.until - turn.now) / 1000,
    )


def mark(
    row: TokenRow, end_state: EndState, turn: Turn, *, answer: Answer | None = None, error: str | None = None
) -> Poll:
    """Write the end into the row; what Step Functions took and no row says is remembered."""
    # The task of a row that is set aside still waits, so that nothing may delete its token.
    purge_at = None if end_state is EndState.QUARANTINED else turn.policy.purge_at(turn.now)
    # The task may have its answer: without the mark its job would be checked again, and the row end as closed.
    attempts = row.attempt_count if turn.held or turn.policy.given.to(row) else None
    done = yield from insist(Mark(row, end_state, turn.now, error, purge_at, attempts), turn)
    unmarked = turn.wrote(row, done)
    if answer and unmarked:
        turn.policy.given.note(row, answer)
    elif answer:
        turn.policy.given.marked(row)
    return turn.outcome(
        Kind.ENDED, row, claimed=not turn.held, end_state=end_state, answer=answer, error=error, unmarked=unmarked
    )


def insist(write: Keep | Mark | Release, turn: Turn) -> Generator[Effect, Any, Any]:
    """Perform a write that matters, again where the table could not be asked; gives what it was told last."""
    done = yield write
    for pause in turn.policy.pauses():
        if not isinstance(done, Failure) or not turn.policy.retries.take():
            break
        yield Pause(pause)
        done = yield write
    return done


def beat(row: TokenRow, turn: Turn) -> Generator[Effect, Any, str | None]:
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


def _answer_trouble(delivery: Delivery) -> Trouble:
    if delivery.unknown:
        reason = "Step Functions knows none of our task tokens: is it of another region or account?"
        return Trouble(Part.ANSWERS, reason, delivery.error)
    return Trouble.refused(Part.ANSWERS, delivery.error, delivery.refusal)
