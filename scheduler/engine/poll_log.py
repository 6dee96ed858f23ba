"""What the log says of each poll."""

import logging
import time
from collections.abc import Callable
from typing import Any

from scheduler.core.outcome import Kind, Outcome
from scheduler.core.states import EndState
from scheduler.engine.spells import Spells
from scheduler.log import ROOT, logger

_WAITING = {
    Kind.IN_PROGRESS: ("info", "poll.in_progress"),
    Kind.CHECK_FAILED: ("warning", "poll.check_failed"),
    Kind.UNASKED: ("debug", "poll.unasked"),
    Kind.DEFERRED: ("warning", "answer.deferred"),
    Kind.HANDED_OVER: ("debug", "poll.handed_over"),
    Kind.LOST: ("debug", "poll.lost"),
    Kind.LEFT_ALONE: ("debug", "row.left_alone"),
    Kind.UNREACHED: ("error", "poll.unreached"),
    Kind.REFUSED: ("error", "row.refused"),
}
_COUNTED = frozenset({Kind.IN_PROGRESS, Kind.CHECK_FAILED})
_LINES_A_SECOND = 10.0
"""Jobs in progress that the log tells of, each by its own line: more is for nobody to read."""


class PollLog:
    """Logs how polls end.

    Jobs in progress beyond so many a second are sampled: a line then says how many it stands for, and those that have
    none of their own are told at level debug.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a monotonic clock, in seconds."""
        self._clock = clock
        self._lines = _LINES_A_SECOND
        self._counted_at = clock()
        self._untold = 0
        self._left_alone = Spells(clock)
        self._log = logger()
        self._plain = logging.getLogger(ROOT)

    def note(self, outcome: Outcome, duration_ms: int, tick_id: str | None = None) -> None:
        """Note how a poll ended."""
        stands_for = 1
        if outcome.kind is Kind.IN_PROGRESS:
            stands_for = self._stands_for()
            if not stands_for and not self._plain.isEnabledFor(logging.DEBUG):
                return
        log = self._log.bind(tick_id=tick_id) if tick_id else self._log
        if outcome.kind is Kind.LEFT_ALONE and self._left_alone.begins(outcome.error or ""):
            log.warning("row.left_alone", job_id=outcome.job_id, error=outcome.error)
        else:
            log_outcome(log, outcome, duration_ms, stands_for)

    def _stands_for(self) -> int:
        """Give for how many polls the line of this one stands; 0 where another one's will stand for it."""
        now = self._clock()
        self._lines = min(_LINES_A_SECOND, self._lines + (now - self._counted_at) * _LINES_A_SECOND)
        self._counted_at = now
        self._untold += 1
        if self._lines < 1:
            return 0
        self._lines -= 1
        stands_for, self._untold = self._untold, 0
        return stands_for


def log_outcome(log: Any, outcome: Outcome, duration_ms: int, stands_for: int = 1) -> None:
    """Log how a poll ended; a line that stands for none but another's is for level debug."""
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
        more: dict[str, Any] = {}
        if outcome.kind in _COUNTED and outcome.max_attempts is not None:
            more["max_attempts"] = outcome.max_attempts
        if stands_for > 1:
            more["stands_for"] = stands_for
        getattr(log, level if stands_for else "debug")(event, **more, **_unmarked(outcome))


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
