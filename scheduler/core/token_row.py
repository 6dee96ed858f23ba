"""The token row: what of it a poll needs."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from scheduler.core.answers import PendingAnswer
from scheduler.core.instant import Instant
from scheduler.core.token import TaskToken, TokenTrace

NOT_UNDERSTOOD = "?"
"""The source of a row that names one in a way that cannot be understood; no source has this name."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A waiting row. `version` is None where a foreign creator wrote the row and nobody has claimed it yet.

    `expires_at` is None where it never expires, `max_attempts` where it is its source's affair how often it is asked.
    """

    job_id: str
    token: TaskToken
    execution_id: str | None
    expires_at: Instant | None
    attempt_count: int
    max_attempts: int | None
    version: int | None = None
    interval_seconds: float | None = None
    claim_id: str | None = None
    source: str | None = None
    """The source that the row names; None for the default one."""
    source_input: Mapping[str, Any] | None = None
    heartbeat: bool = False
    pending: PendingAnswer | None = None
    last_error: str | None = None
    unknown_checks: int = 0
    next_poll_at: Instant | None = None
    held_by: str | None = None
    """The replica that holds the row across polls, where one does."""
    entry: str | None = None
    """Which attempt at which waiting state the token is of, where its creator says so."""
    counted: bool = True
    """Whether the table has an attemptCount; one that is not there is 0."""

    @property
    def has_secret(self) -> bool:
        """Whether the token itself is here, and not only its trace."""
        return not isinstance(self.token, TokenTrace)

    def claimed(self, claim_id: str) -> Self:
        """Give the row as a successful claim leaves it."""
        attempts = self.attempt_count + (0 if self.pending else 1)
        return replace(self, attempt_count=attempts, version=(self.version or 0) + 1, claim_id=claim_id, counted=True)


def due_shard(job_id: str, shards: int) -> int:
    """Give the partition of the index `due` that a job belongs to: CRC-32 of its id modulo the number of shards."""
    return zlib.crc32(job_id.encode("utf-8", "surrogatepass")) % shards
