"""The one reader of token rows: how they are read from DynamoDB, and where a malformed one is noticed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from scheduler.core.answers import PendingAnswer, read_pending
from scheduler.core.attributes import Attribute, Item, from_attribute
from scheduler.core.instant import Instant, parse_iso
from scheduler.core.token import MAX_LENGTH, TaskToken
from scheduler.core.token_row import NOT_UNDERSTOOD, TokenRow

_LONGEST_INTERVAL_SECONDS = 31_536_000  # a year, which is as long as a task may wait


class MalformedRowError(ValueError):
    """A waiting row that cannot be understood: the attribute, what it holds (None: nothing) and why that is wrong.

    Without an attribute it is the row as a whole that cannot be worked with. The text shows nothing of what the
    attribute holds, for a token may stand anywhere in a row that somebody filled in wrongly.
    """

    def __init__(self, attribute: str | None, held: Attribute | None, reason: str) -> None:
        self.attribute = attribute
        self.held = held
        super().__init__(f"{attribute or 'the row'} {reason}")


@dataclass(frozen=True, slots=True)
class Malformed:
    """A waiting row that cannot be understood."""

    job_id: str
    fault: MalformedRowError
    next_poll_at: Instant | None = None


Found = TokenRow | Malformed


def read_found(item: Item) -> Found:
    """Read an item that waits to be polled, understood or not."""
    try:
        return read_row(item)
    except MalformedRowError as fault:
        return Malformed(item["jobId"]["S"], fault, _Reader(item).due("nextPollAt"))


def read_row(item: Item) -> TokenRow:
    """Read a waiting row. Raises MalformedRowError, naming the first attribute that cannot be understood."""
    read = _Reader(item)
    source, source_input = read.source("source")
    return TokenRow(
        job_id=read.text("jobId"),
        token=TaskToken(read.text("taskToken", longest=MAX_LENGTH)),
        execution_id=read.note("executionId"),
        expires_at=read.expiry(),
        attempt_count=read.count("attemptCount") if "attemptCount" in item else 0,
        max_attempts=read.count("maxAttempts") if "maxAttempts" in item else None,
        version=read.count("version") if "version" in item else None,
        interval_seconds=read.interval("intervalSeconds"),
        claim_id=read.note("claimId"),
        source=source,
        source_input=source_input,
        heartbeat=read.note("heartbeat") is True,
        pending=read.pending("pendingAnswer"),
        last_error=read.note("lastError"),
        unknown_checks=read.count("unknownChecks") if "unknownChecks" in item else 0,
        next_poll_at=read.due("nextPollAt"),
        held_by=read.note("heldBy"),
        entry=item.get("entry", {}).get("S"),
        counted="attemptCount" in item,
    )


class _Reader:
    def __init__(self, item: Item) -> None:
        self._item = item

    def _held(self, name: str, kind: str, wanted: str) -> Any:
        held = self._item.get(name)
        if held is None:
            raise MalformedRowError(name, None, f"is missing; {wanted} is needed")
        if kind not in held:
            raise self._bad(name, wanted)
        try:
            return from_attribute(held)
        except ArithmeticError as error:
            raise self._bad(name, wanted) from error

    def _bad(self, name: str, wanted: str) -> MalformedRowError:
        held = self._item[name]
        return MalformedRowError(name, held, f"(type {next(iter(held))}) must be {wanted}")

    def text(self, name: str, longest: int | None = None) -> str:
        wanted = "a non-empty string" if longest is None else f"a string of 1 to {longest} characters"
        value: str = self._held(name, "S", wanted)
        if not value or (longest is not None and len(value) > longest):
            raise self._bad(name, wanted)
        return value

    def count(self, name: str) -> int:
        wanted = "a whole number of 0 or more"
        value = self._held(name, "N", wanted)
        if not isinstance(value, int) or value < 0:
            raise self._bad(name, wanted)
        return value

    def source(self, name: str) -> tuple[str | None, Mapping[str, Any] | None]:
        """Give the source that the row names and the input of its checks.

        No name, and an empty one, is the default source. What cannot be understood may be a newer version's.
        """
        if name not in self._item:
            return None, None
        try:
            named = from_attribute(self._item[name])
        except ArithmeticError:
            return NOT_UNDERSTOOD, None
        match named:
            case str():
                return named or None, None
            case {"name": str(source), "input": dict(given)}:
                return source or None, given
            case {"name": str(source)} if "input" not in named:
                return source or None, None
        return NOT_UNDERSTOOD, None

    def expiry(self) -> Instant | None:
        """Give when the row expires: `expiresAt`, else `timeoutSeconds` after `createdAt`, else never."""
        if "expiresAt" in self._item:
            return self.instant("expiresAt")
        seconds = self.interval("timeoutSeconds")
        return None if seconds is None else self.instant("createdAt") + round(seconds * 1000)

    def instant(self, name: str) -> Instant:
        wanted = "an ISO 8601 timestamp"
        try:
            return parse_iso(self._held(name, "S", wanted))
        except (ValueError, OverflowError) as error:
            if isinstance(error, MalformedRowError):
                raise
            raise self._bad(name, wanted) from error

    def interval(self, name: str) -> float | None:
        if name not in self._item:
            return None
        wanted = f"a number above 0, up to {_LONGEST_INTERVAL_SECONDS}"
        value: int | Decimal = self._held(name, "N", wanted)
        if not (math.isfinite(value) and 0 < value <= _LONGEST_INTERVAL_SECONDS):
            raise self._bad(name, wanted)
        return float(value)

    def pending(self, name: str) -> PendingAnswer | None:
        if name not in self._item:
            return None
        wanted = "an answer as this program keeps them"
        try:
            return read_pending(self._held(name, "M", wanted))
        except (KeyError, TypeError, ValueError) as error:
            raise self._bad(name, wanted) from error

    def due(self, name: str) -> Instant | None:
        """Read since when the row is due; one of which that cannot be said is due at once."""
        held = self._item.get(name, {})
        return math.floor(from_attribute(held)) if "N" in held else None

    def note(self, name: str) -> Any:
        """Read what no poll depends on: anything may stand there."""
        held = self._item.get(name)
        return from_attribute(held) if held and ("S" in held or "BOOL" in held) else None
