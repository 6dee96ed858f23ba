"""Findings: what is wrong with an entry of the file of sources, or worth a warning, each at its key."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

_ALIKE = 0.6


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: the key it is at, and what to know of it, without a secret."""

    key: str
    text: str


@dataclass(slots=True)
class Findings:
    """What was found in one entry: faults stop the start, warnings are told."""

    faults: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)

    def fault(self, key: str, text: str) -> None:
        """Note a fault."""
        self.faults.append(Finding(key, text))

    def warn(self, key: str, text: str) -> None:
        """Note a warning."""
        self.warnings.append(Finding(key, text))


def meant(name: str, known: Iterable[str]) -> str:
    """Give the end of a line about a name that is not known: the one that was meant, where one is like it."""
    lowered = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=_ALIKE)
    return f"; did you mean {lowered[near[0]]!r}?" if near else ""
