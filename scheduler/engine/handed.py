"""What became of the rows of a page that were handed on."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from scheduler.core.row_reader import Found


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of the rows of a page: how many lanes took, and the ids of those that they had no room for."""

    rows: Sequence[Found]
    taken: int
    refused: set[str]

    def taken_in_order(self) -> list[Found]:
        """Give the rows before the first that was refused."""
        return list(takewhile(lambda row: row.job_id not in self.refused, self.rows))

    def left(self) -> list[Found]:
        """Give the rows that were refused."""
        return [row for row in self.rows if row.job_id in self.refused]
