"""The policy: when a row is polled next, when a job is given up, what its task is told."""

import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from scheduler.core.answers import Answer, fail, succeed
from scheduler.core.instant import Instant, format_iso
from scheduler.core.model import TokenRow, due_shard
from scheduler.core.reports import Completed, Failed, Report, Unanswered
from scheduler.core.retries import RetryBudget
from scheduler.core.states import EndState

SEND_TIMEOUT_SECONDS = 4.0
"""Longest that one call to Step Functions or DynamoDB may take. Both usually take under 0.1 s."""
SEND_PAUSES_SECONDS = (0.2, 0.8)
"""Longest pauses between one poll's tries to deliver an answer: three tries, then the answer is kept in the row."""
_TRIES = 1 + len(SEND_PAUSES_SECONDS)
DEFERRED_SECONDS = (1.0, 60.0)
"""First and longest backoff of an answer that is kept in its row."""
JITTER = 0.1
"""A poll comes up to this part of its interval early: rows spread out, and the tick an interval on finds them due."""


POLLER_THREADS = 8
"""Jobs of one batch that the poller Lambda polls at once; its time-out is reckoned from that."""
UNKNOWN_CHECKS = 3
"""So many checks in a row that find the job unknown fail it: one alone may have met a source still catching up."""
LATE = 0.5
"""A poll that starts later in its tick than this part of its interval counts the next interval from itself."""


def lease_seconds(check_timeout: float) -> float:
    """Give the time a poll may take: a claim, the check, three tries to answer with their pauses, and the mark."""
    return check_timeout + (2 + _TRIES) * SEND_TIMEOUT_SECONDS + sum(SEND_PAUSES_SECONDS)


def _new_claim_id() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that a poll depends on; randomness comes in from outside so that tests can decide it."""

    interval_seconds: float
    lease_seconds: float
    shards: int
    retention_seconds: float = 7 * 86_400
    chance: Callable[[], float] = random.random
    new_claim_id: Callable[[], str] = _new_claim_id
    retries: RetryBudget = field(default_factory=RetryBudget)

    def lease_end(self, now: Instant) -> Instant:
        """Give the instant until which nobody else polls a row that is claimed now."""
        return now + round(self.lease_seconds * 1000)

    def next_poll(self, row: TokenRow, now: Instant, tick: Instant) -> Instant:
        """Give the instant of the row's next poll.

        It is reckoned from the tick that found the row due, so that the tick an interval on finds it again; where that
        tick began long ago, from now.
        """
        interval = 1000 * (row.interval_seconds or self.interval_seconds)
        since = tick if now - tick < interval * LATE else now
        return since + round(interval * (1 - JITTER * self.chance()))

    def retry_deferred(self, tries: int, now: Instant) -> Instant:
        """Give the instant of the next try for an answer that was kept: exponential backoff with full jitter."""
        first, longest = DEFERRED_SECONDS
        return now + round(min(longest, first * 2.0 ** min(tries, 16)) * self.chance() * 1000)

    def pauses(self) -> Iterator[float]:
        """Give the pauses between the tries of one poll to deliver an answer, in seconds, with full jitter."""
        return (longest * self.chance() for longest in SEND_PAUSES_SECONDS)

    def purge_at(self, now: Instant) -> int:
        """Give the second since the epoch from which DynamoDB may delete a row that ends now."""
        return round(now / 1000 + self.retention_seconds)

    def shard(self, row: TokenRow) -> int:
        """Give the row's partition of the index `due`."""
        return due_shard(row.job_id, self.shards)


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
