"""Verdicts: when a job is given up, and what its task is told."""

from scheduler.core.answers import Answer, fail, succeed
from scheduler.core.check_replies import Completed, Failed, Report, Unanswered, Unasked
from scheduler.core.instant import Instant, format_iso
from scheduler.core.states import EndState
from scheduler.core.token_row import TokenRow

UNASKED_GRACE_MS = 600_000
"""How long after its expiry a job goes on waiting where its source cannot be asked: ten minutes."""
UNKNOWN_CHECKS = 3
"""So many checks in a row that find the job unknown fail it: one alone may have met a source still catching up."""


def due(row: TokenRow, now: Instant) -> bool:
    """Tell whether the row's time has come; a row without one is due at once."""
    return row.next_poll_at is None or row.next_poll_at <= now


def give_up(row: TokenRow, most: int | None = None) -> Answer | None:
    """Give the failure for a job whose attempts are used up; None while there are some left.

    `most` is for a row that does not say how many it gets; None leaves it any number.
    """
    most = most if row.max_attempts is None else row.max_attempts
    if most is None or row.attempt_count <= most:
        return None
    cause = f"job {row.job_id} had not ended after {most} status checks"
    return fail("MaxAttemptsExceeded", _with_error(cause, row.last_error), EndState.MAX_ATTEMPTS)


def expired(row: TokenRow, report: Report, now: Instant) -> Answer | None:
    """Give the failure for a job that has just been asked for the last time; None while there is time left.

    A check that never reached the source was none, so that the job is asked again, but not for ever.
    """
    if row.expires_at is None or now < row.expires_at + (UNASKED_GRACE_MS if isinstance(report, Unasked) else 0):
        return None
    cause = f"job {row.job_id} had not ended by {format_iso(row.expires_at)}"
    error = row.token.scrub(report.error) if isinstance(report, Unanswered | Unasked) else row.last_error
    return fail("PollingExpired", _with_error(cause, error), EndState.EXPIRED)


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


def _with_error(cause: str, error: str | None) -> str:
    return f"{cause}; the last check that failed: {error}" if error else cause
