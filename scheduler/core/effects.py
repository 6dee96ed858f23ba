"""Effects: what the protocol asks its driver to do, and what it is told in return."""

from dataclasses import dataclass
from enum import Enum

from scheduler.core.answers import Answer, PendingAnswer
from scheduler.core.instant import Instant
from scheduler.core.row_reader import MalformedRowError
from scheduler.core.service_calls import Refusal
from scheduler.core.states import EndState
from scheduler.core.token import TaskToken
from scheduler.core.token_row import TokenRow


@dataclass(frozen=True, slots=True)
class Claim:
    """Win the row for this attempt. Told: the row as claimed, why it cannot be understood, Lost or Failure."""

    row: TokenRow
    claim_id: str
    now: Instant
    until: Instant
    shard: int
    held_by: str | None = None
    """The replica that holds the row for several polls; None for this poll alone."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Save what memory knows of a held row, and hold it on until then; with no `held_by`, give it free. Told: as Keep.

    The row carries its attempts, its unknown checks and its last error as memory has them.
    """

    row: TokenRow
    until: Instant
    held_by: str | None
    polled_at: Instant


@dataclass(frozen=True, slots=True)
class Check:
    """Ask the job's source for its status, under a deadline. Told: a Report."""

    row: TokenRow


@dataclass(frozen=True, slots=True)
class Reread:
    """Read a held row as it is now, for its token. Told: the row, Lost where it is held no more, or Failure."""

    row: TokenRow


@dataclass(frozen=True, slots=True)
class Send:
    """Answer the waiting task, once and without retries. Told: a Delivery."""

    token: TaskToken
    answer: Answer


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Tell Step Functions that the job goes on. Told: a Delivery."""

    token: TaskToken


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the next try. Told: None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Keep:
    """Store an answer that could not be delivered, to be sent by a later poll. Told: None, Lost or Failure."""

    row: TokenRow
    pending: PendingAnswer
    until: Instant
    error: str


@dataclass(frozen=True, slots=True)
class Release:
    """Give the row free before its lease has run out, and note what the check said. Told: as Keep.

    `unknown_checks` counts the checks in a row that found the job unknown at its source; `unspent` gives the attempt
    back.
    """

    row: TokenRow
    until: Instant
    error: str | None
    unknown_checks: int = 0
    unspent: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Write the end of the job into its row, and from when (epoch seconds) DynamoDB may delete it. Told: as Keep."""

    row: TokenRow
    end_state: EndState
    now: Instant
    error: str | None = None
    purge_at: int | None = None
    attempts: int | None = None
    """The checks that were made, where memory knows more of them than the row does."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Set a row aside that cannot be understood, `counted` and `with_reason` where it lets us. Told: as Mark."""

    job_id: str
    fault: MalformedRowError
    now: Instant
    counted: bool = True
    with_reason: bool = True


Write = Claim | Renew | Keep | Release | Mark | Quarantine
Effect = Write | Check | Reread | Send | Heartbeat | Pause


@dataclass(frozen=True, slots=True)
class Lost:
    """The write's condition did not hold: somebody else has the row. Not an error."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The table could not be asked, `refusal` says why. `refused`: it can be, but takes no such write for this row."""

    error: str
    refused: bool = False
    refusal: Refusal | None = None


class Delivered(Enum):
    """What became of an answer."""

    DELIVERED = "delivered"
    CLOSED = "closed"
    """The token is used, timed out or unknown; no answer will ever be taken."""
    DEFERRED = "deferred"
    """It did not get through this time."""
    REFUSED = "refused"
    """It will not get through in this form."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of an answer or a heartbeat.

    `refusal` says why Step Functions could not be asked; `unknown` that it has never heard of the token.
    """

    kind: Delivered
    error: str = ""
    refusal: Refusal | None = None
    unknown: bool = False
