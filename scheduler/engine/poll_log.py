"""What the log says of each poll."""

from typing import Any

from scheduler.core.outcome import Kind, Outcome
from scheduler.core.states import EndState

_WAITING = {
    Kind.IN_PROGRESS: ("info", "poll.in_progress"),
    Kind.CHECK_FAILED: ("warning", "poll.check_failed"),
    Kind.UNASKED: ("debug", "poll.unasked"),
    Kind.DEFERRED: ("warning", "answer.deferred"),
    Kind.LOST: ("debug", "poll.lost"),
    Kind.LEFT_ALONE: ("debug", "row.left_alone"),
    Kind.UNREACHED: ("error", "poll.unreached"),
    Kind.REFUSED: ("error", "row.refused"),
}
_COUNTED = frozenset({Kind.IN_PROGRESS, Kind.CHECK_FAILED})


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
    if outcome.end_state is EndState.QUARANTINED:
        log.warning("row.quarantined")
    elif outcome.kind is Kind.ENDED:
        _log_end(log.bind(end_state=outcome.end_state), outcome)
    else:
        level, event = _WAITING[outcome.kind]
        attempts = {"max_attempts": outcome.max_attempts} if outcome.kind in _COUNTED else {}
        getattr(log, level)(event, **attempts, **_unmarked(outcome))


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
