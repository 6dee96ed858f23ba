"""Sources: where a job's status is asked."""

from typing import Protocol

from scheduler.core.check_replies import Report
from scheduler.core.token_row import TokenRow


class Source(Protocol):
    """Asks for the status of jobs. The caller sets the deadline, and takes a cancelled check for an unanswered one."""

    async def check(self, row: TokenRow) -> Report:
        """Ask for one job's status; what goes wrong is a report too, `Unanswered`."""
        ...

    async def probe(self) -> None:
        """Ask whether the source is there. Raises MissingError or CloudError where it is not."""
        ...
