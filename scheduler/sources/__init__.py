"""Sources: where a job's status is asked."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from scheduler.checks.spec import Limits
from scheduler.core.check_replies import NotTogether, Report
from scheduler.core.token_row import TokenRow


class Source(Protocol):
    """Asks for the status of jobs. The caller sets the deadline, and takes a cancelled check for an unanswered one."""

    def check(self, row: TokenRow) -> Awaitable[Report]:
        """Ask for one job's status; what goes wrong is a report too, `Unanswered`."""
        ...

    async def probe(self) -> None:
        """Ask whether the source is there. Raises MissingError or CloudError where it is not."""
        ...


class BatchSource(Source, Protocol):
    """A source that can be asked for several jobs at once."""

    async def check_together(self, rows: Sequence[TokenRow]) -> list[Report] | NotTogether:
        """Ask for the status of several jobs; one report for each, in their order."""
        ...


@dataclass(frozen=True, slots=True)
class NamedSource:
    """One source as it is polled: "" is the default one, for rows that name none.

    It is wrapped already where it takes batches. `aws` says that it is asked with our own AWS credentials, so that they
    are read anew where it refuses them.
    """

    name: str
    source: Source
    limits: Limits
    aws: bool = True
