"""What `deploy` has done for one resource, as a person and a program are told of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self

Action = Literal["created", "updated", "unchanged", "left alone"]
"""Left alone: somebody else's, or of an earlier version; `deploy` touches neither."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """What was done for one resource; the note says what was updated, or what a person should know of it."""

    kind: str
    name: str
    action: Action
    note: str | None = None

    @classmethod
    def found(cls, kind: str, name: str, changes: Iterable[str], amiss: str | None = None) -> Self:
        """Tell of a resource that was there: unchanged, or updated in these properties; and what is amiss with it."""
        changed = ", ".join(changes)
        return cls(kind, name, "updated" if changed else "unchanged", "; ".join(filter(None, (changed, amiss))) or None)

    @property
    def line(self) -> str:
        """Give the line for people."""
        return f"{self.action:<10} {self.kind} {self.name}" + (f" ({self.note})" if self.note else "")
