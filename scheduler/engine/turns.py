"""Turns: how fast the rows of one page are claimed, so that replicas which found the same page do not fight for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

_FIRST = 1
"""Rows of a page that are claimed at once, until a claim has been won; it doubles with each that is."""

_UNLIMITED = 1_000_000


def _nothing() -> None:
    """Tell nobody."""


@dataclass(slots=True)
class Turn:
    """The claims of the rows of one page; a single lost one tells that another replica is at it."""

    window: int = _FIRST
    over: bool = False
    on_lost: Callable[[], None] = _nothing
    _claiming: int = 0

    @classmethod
    def unlimited(cls) -> Self:
        """Give the turn of rows that nobody else is after, or whose claims are not ours to see."""
        return cls(window=_UNLIMITED)

    def take(self) -> bool:
        """Tell whether one more row of the page may be claimed now, and note it."""
        if self._claiming >= self.window:
            return False
        self._claiming += 1
        return True

    def won(self) -> None:
        """Note a claim that was won."""
        self.window *= 2

    def lost(self) -> None:
        """Note a claim that was lost: the rest of the page is left to whoever won it."""
        if not self.over:
            self.over = True
            self.on_lost()

    def end(self) -> None:
        """Note that a poll of the page has ended."""
        self._claiming -= 1
