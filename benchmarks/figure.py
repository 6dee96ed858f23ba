"""A figure of the bench: what was measured, what it was to reach, and what it was before."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the results. `before` is of the version before held rows, where the same measurement makes sense."""

    name: str
    value: float
    bar: float
    unit: str = ""
    before: float | None = None
    better: Literal["less", "more"] = "less"
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether it reaches its bar."""
        return self.value <= self.bar if self.better == "less" else self.value >= self.bar
