"""Timing: the lease, when a row is polled next, and the backoff of a kept answer."""

import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from scheduler.core.given_answers import GivenAnswers
from scheduler.core.home import Home
from scheduler.core.instant import Instant
from scheduler.core.retry_budget import RetryBudget
from scheduler.core.token_doubt import TokenDoubt
from scheduler.core.token_row import TokenRow, due_shard

SEND_TIMEOUT_SECONDS = 4.0
"""Longest that one call to Step Functions or DynamoDB may take. Both usually take under 0.1 s."""
READ_TIMEOUT_SECONDS = 12.0
"""Longest that reading from the table may take, three tries and the look-up of names included."""
SEND_PAUSES_SECONDS = (0.2, 0.8)
"""Longest pauses between one poll's tries to deliver an answer: three tries, then the answer is kept in the row."""
_TRIES = 1 + len(SEND_PAUSES_SECONDS)
DEFERRED_SECONDS = (1.0, 60.0)
"""First and longest backoff of an answer that is kept in its row."""
JITTER = 0.1
"""A poll comes up to this part of its interval early: rows spread out, and the tick an interval on finds them due."""


POLLER_THREADS = 8
"""Jobs of one batch that the poller Lambda polls at once; its time-out is reckoned from that."""
HOLD_INTERVALS = 30
"""A hold lasts so many of a row's intervals, and a lease on top, so that as many polls fit into it."""
RENEW_EARLY = 0.1
"""A hold is renewed up to this part of the time in which polls start before it must be."""
LONGEST_INTERVAL_SECONDS = 31_536_000.0
"""A year, which is as long as a task may wait."""
LATE = 0.5
"""A poll that starts later in its tick than this part of its interval counts the next interval from itself."""


def lease_seconds(check_timeout: float) -> float:
    """Give the time a poll may take: a claim, the check, three tries to answer with their pauses, and the mark."""
    return check_timeout + (2 + _TRIES) * SEND_TIMEOUT_SECONDS + sum(SEND_PAUSES_SECONDS)


def _new_claim_id() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that a poll depends on; randomness comes in from outside so that tests can decide it.

    It is that of the default source; `sources` has those of the sources that rows name.
    """

    interval_seconds: float
    lease_seconds: float
    shards: int
    retention_seconds: float = 7 * 86_400
    chance: Callable[[], float] = random.random
    new_claim_id: Callable[[], str] = _new_claim_id
    retries: RetryBudget = field(default_factory=RetryBudget)
    doubt: TokenDoubt = field(default_factory=TokenDoubt)
    given: GivenAnswers = field(default_factory=GivenAnswers)
    longest_hold_seconds: float = 0.0
    home: Home = field(default_factory=Home)
    backoff: float = 1.0
    """By what factor the interval of a row that has none of its own grows with each check."""
    longest_interval_seconds: float = LONGEST_INTERVAL_SECONDS
    max_attempts: int | None = None
    """How many checks a job gets whose row does not say it; None for any number."""
    sources: Mapping[str, "Policy"] = field(default_factory=dict)

    def knows(self, row: TokenRow) -> bool:
        """Tell whether the row's source is known here."""
        return row.source is None or row.source in self.sources

    def of(self, row: TokenRow) -> "Policy":
        """Give the policy of the row's source. Raises KeyError where that is not known here."""
        return self if row.source is None else self.sources[row.source]

    def most_attempts(self, row: TokenRow) -> int | None:
        """Give how many checks the job gets; None for any number."""
        return self.max_attempts if row.max_attempts is None else row.max_attempts

    def hold_seconds(self, row: TokenRow) -> float | None:
        """Give for how long a claim of the row holds it; None where no second poll would fit in."""
        interval = self.interval(row)
        longest = min(self.longest_hold_seconds, HOLD_INTERVALS * interval + self.lease_seconds)
        return longest if longest >= interval + self.lease_seconds else None

    def renew_at(self, row: TokenRow, ends: float) -> float:
        """Give when a hold that ends then is to be renewed: so long before a poll no longer fits into it.

        Rows that were taken up together are not renewed together, and polls go on though a renewal takes its time.
        """
        polled = (self.hold_seconds(row) or self.lease_seconds) - self.lease_seconds
        lead = max(self.interval(row) / 2, min(SEND_TIMEOUT_SECONDS, polled * RENEW_EARLY))
        return ends - self.lease_seconds - lead - polled * RENEW_EARLY * self.chance()

    def interval(self, row: TokenRow) -> float:
        """Give the seconds between the next poll of the row and the one that follows it."""
        return self.interval_after(row, row.attempt_count)

    def interval_after(self, row: TokenRow, checks: int) -> float:
        """Give the seconds between a poll and the one that follows it, where so many checks were made before them."""
        if row.interval_seconds:
            return row.interval_seconds
        if self.backoff == 1 or not checks:
            return self.interval_seconds
        try:
            return min(self.longest_interval_seconds, self.interval_seconds * self.backoff**checks)
        except OverflowError:
            return self.longest_interval_seconds

    def lease_end(self, now: Instant) -> Instant:
        """Give the instant until which nobody else polls a row that is claimed now."""
        return now + round(self.lease_seconds * 1000)

    def next_poll(self, row: TokenRow, now: Instant, tick: Instant) -> Instant:
        """Give the instant of the row's next poll.

        It is reckoned from the tick that found the row due, so that the tick an interval on finds it again; where that
        tick began long ago, from now. It is never later than the job's expiry.
        """
        interval = 1000 * self.interval(row)
        since = tick if now - tick < interval * LATE else now
        following = since + round(interval * (1 - JITTER * self.chance()))
        if row.expires_at is None or row.expires_at <= now:
            return following
        return min(following, row.expires_at)

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
