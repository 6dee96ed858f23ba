"""What polls: the interface of both modes, and what polling needs of the clouds."""

from collections.abc import Sequence
from typing import Protocol

from scheduler.core.effects import Delivery, Failure, Heartbeat, Lost, Reread, Send, Write
from scheduler.core.instant import Instant
from scheduler.core.outcome import Outcome
from scheduler.core.row_reader import Found, MalformedRowError
from scheduler.core.token_row import TokenRow


class Rows(Protocol):
    """The token table, for writing."""

    async def write(self, effect: Write) -> TokenRow | MalformedRowError | Lost | Failure | None:
        """Perform one write of the protocol."""
        ...

    async def reread(self, effect: Reread) -> TokenRow | MalformedRowError | Lost | Failure:
        """Read a held row as it is now."""
        ...


class Sender(Protocol):
    """Step Functions, for answering."""

    async def send(self, effect: Send | Heartbeat) -> Delivery:
        """Send one answer or heartbeat."""
        ...


class Claimed(Protocol):
    """Who is told how a claim went."""

    def __call__(self, *, won: bool) -> None:
        """Hear that a claim was won or lost."""


class Poller(Protocol):
    """Polls due rows, up to `batch` of them at once."""

    @property
    def claims(self) -> bool:
        """Whether it claims rows itself, and tells how that went."""
        ...

    @property
    def batch(self) -> int:
        """The most rows that one call of `poll` takes."""
        ...

    async def poll(self, rows: Sequence[Found], tick: Instant, claimed: Claimed | None = None) -> list[Outcome]:
        """Poll some due rows that the tick of this instant found; one outcome for each, in the same order."""
        ...

    async def probe(self) -> None:
        """Ask whether what polling needs is there. Raises MissingError or CloudError where it is not."""
        ...
