"""The source that is not asked: polls against it deliver answers and send heartbeats, and spend nothing."""

from scheduler.core.check_replies import Report, Unasked
from scheduler.core.token_row import TokenRow


class UnaskedSource:
    """Stands in for a source that cannot be asked now."""

    async def check(self, row: TokenRow) -> Report:
        """Say that the source was not asked."""
        del row
        return Unasked("the source takes no more checks for now", None)

    async def probe(self) -> None:
        """Ask whether the source is there: this one always is."""
