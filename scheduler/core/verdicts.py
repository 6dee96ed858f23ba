"""Verdicts: when a job is given up, and what its task is told."""

from scheduler.core.answers import Answer, fail, succeed
from scheduler.core.check_replies import Completed, Failed, Report, Unanswered
from scheduler.core.instant import Instant, format_iso
from scheduler.core.states import EndState
from scheduler.core.token_row import TokenRow

UNKNOWN_CHECKS = 3
"""So many checks in a row that find the job unknown fail it: one alone may have met a source still catching up."""


def due(row: TokenRow, now: Instant) -> bool:
    """Tell whether the row's time has come; a row without one is due at once."""
    return row.next_poll_at is None or row.next_poll_at <= now


def give_up(row: TokenRow, now: Instant) -> Answer | None:
    """Give the failure for a job whose time or attempts are used up; None while there are some left."""
    if now > row.expires_at:
        cause = f"job {row.job_id} had not ended by {format_iso(row.expires_at)}"
        return fail("PollingExpired", _with_last_error(cause, row), EndState.EXPIRED)
    if row.attempt_count > row.max_attempts:
        cause = f"job {row.job_id} had not ended after {row.max_attempts} status checks"
        return fail("MaxAttemptsExceeded", _with_last_error(cause, row), EndState.MAX_ATTEMPTS)
    return None


def answer_for(row: TokenRow, report: Report, now: Instant) -> Answer | None:
    """Give the answer that a report calls for; None while the job is in progress or too little is known of it."""
    match report:
        case Completed(result):
            return succeed(
                {
                    "jobId": row.job_id,
                    "status": "COMPLETED",
                    "completedAt": format_iso(now),
                    "attempts": row.attempt_count,
                    "result": result,
                }
            )
        case Failed(reason):
            return fail("JobFailed", reason)
        case Unanswered(error, unknown_job=True) if row.unknown_checks + 1 >= UNKNOWN_CHECKS:
            return fail("JobUnknown", f"{UNKNOWN_CHECKS} checks in a row found no such job; {error}")
    return None


def _with_last_error(cause: str, row: TokenRow) -> str:
    return f"{cause}; the last check that failed: {row.last_error}" if row.last_error else cause
