"""What the log says of each poll."""

from typing import Any

from scheduler.core.outcome import Kind, Outcome
from scheduler.core.states import EndState


def log_outcome(log: Any, outcome: Outcome, duration_ms: int) -> None:
    """Log how a poll ended."""
    facts: dict[str, Any] = {
        "job_id": outcome.job_id,
        "execution_id": outcome.execution_id,
        "attempt": outcome.attempt,
        "error": outcome.error,
        "duration_ms": duration_ms,
    }
    log = log.bind(**{name: value for name, value in facts.items() if value is not None})
    match outcome:
        case Outcome(kind=Kind.IN_PROGRESS):
            log.info("poll.in_progress", max_attempts=outcome.max_attempts)
        case Outcome(kind=Kind.CHECK_FAILED):
            log.warning("poll.check_failed", max_attempts=outcome.max_attempts)
        case Outcome(kind=Kind.DEFERRED):
            log.warning("answer.deferred", **_unmarked(outcome))
        case Outcome(kind=Kind.LOST):
            log.debug("poll.lost")
        case Outcome(kind=Kind.LEFT_ALONE):
            log.debug("row.left_alone")
        case Outcome(kind=Kind.UNREACHED):
            log.error("poll.unreached")
        case Outcome(kind=Kind.REFUSED):
            log.error("row.refused")
        case Outcome(end_state=EndState.QUARANTINED):
            log.warning("row.quarantined")
        case Outcome(end_state=end_state):
            _log_end(log.bind(end_state=end_state), outcome)


def _log_end(log: Any, outcome: Outcome) -> None:
    if outcome.answer is not None:
        log.info("answer.delivered")
    elif outcome.error or outcome.end_state is EndState.CLOSED:
        log.warning("answer.closed")
    if outcome.end_state is EndState.COMPLETED:
        log.info("poll.completed")
    elif outcome.end_state is not EndState.CLOSED:
        log.info("poll.failed")
    if outcome.unmarked:
        log.warning("row.unmarked", **_unmarked(outcome))


def _unmarked(outcome: Outcome) -> dict[str, str]:
    return {"reason": outcome.unmarked} if outcome.unmarked else {}
