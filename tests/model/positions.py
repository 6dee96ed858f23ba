"""Where polls stand: a generator cannot be copied, so each position keeps what its poll was told and replays it."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from scheduler.core.answers import Answer, Fail
from scheduler.core.check_replies import Completed, Failed, Report
from scheduler.core.effects import Delivered, Effect, Pause, Send
from scheduler.core.instant import Instant
from scheduler.core.outcome import Outcome
from scheduler.core.poll_turn import Poll
from scheduler.core.timing import Policy
from scheduler.core.token_row import TokenRow

Protocol = Callable[[TokenRow, Policy, Instant, Instant], Poll]
Thing = TypeVar("Thing", bound=Hashable)

IDLE = 0
"""The position of a poller that polls nothing."""
_LEASE_SECONDS = 31


class Broken(Exception):  # noqa: N818  it says which invariant is broken, and that is no error of the program
    """An invariant does not hold."""


class Numbered(Generic[Thing]):
    """Gives equal things the same small number, so that a state of the world is cheap to compare."""

    def __init__(self, *things: Thing) -> None:
        self._things: list[Thing] = []
        self._numbers: dict[Thing, int] = {}
        for thing in things:
            self.number(thing)

    def number(self, thing: Thing) -> int:
        """Give the number of a thing, a new one where it was never seen."""
        number = self._numbers.setdefault(thing, len(self._things))
        if number == len(self._things):
            self._things.append(thing)
        return number

    def __getitem__(self, number: int) -> Thing:
        return self._things[number]


@dataclass(frozen=True, slots=True)
class Names:
    """Smaller numbers for the `versions` in use, in their order, and the `claims` whose names still count."""

    versions: tuple[int, ...]
    claims: frozenset[str | None]

    def version(self, version: int) -> int:
        """Give a version's smaller number."""
        return self.versions.index(version) + 1

    def claim(self, name: str) -> str:
        """Give the name of a claim, or that of all the claims that nobody makes any more."""
        return name if name in self.claims else "over"

    def row(self, row: TokenRow) -> TokenRow:
        """Give a row under its shorter names."""
        version = None if row.version is None else self.version(row.version)
        return replace(row, version=version, claim_id=row.claim_id and self.claim(row.claim_id))


@dataclass(frozen=True, slots=True)
class _Position:
    row: TokenRow
    now: Instant
    claim_id: str
    told: tuple[Any, ...]


class Positions:
    """Every position that any poll has reached, by number; IDLE stands for none."""

    def __init__(self, protocol: Protocol, interval: float) -> None:
        self._protocol = protocol
        self._interval = interval
        self._positions: Numbered[_Position | None] = Numbered(None)
        self._effects: list[Effect | None] = [None]
        self._told: dict[tuple[int, Hashable], int] = {}
        self._renamed: dict[tuple[int, Names], int] = {}

    def begin(self, row: TokenRow, now: Instant, claim_id: str) -> int:
        """Start a poll of a row as it was read."""
        return self._reach(_Position(row, now, claim_id, ()))

    def tell(self, number: int, result: Hashable) -> int:
        """Go on from a position with what became of its effect."""
        known = self._told.get((number, result))
        if known is None:
            position = self._positions[number]
            assert position
            told = (*position.told, result)
            known = self._reach(_Position(position.row, position.now, position.claim_id, told))
            self._told[number, result] = known
        return known

    def effect(self, number: int) -> Effect:
        """Give what the poll at this position asks for."""
        effect = self._effects[number]
        assert effect
        return effect

    def outcome(self, number: int, result: Hashable) -> Outcome:
        """Give how a poll ends at this position that is told this."""
        position = self._positions[number]
        assert position
        _, outcome = self._played(replace(position, told=(*position.told, result)))
        assert outcome
        return outcome

    def claim_id(self, number: int) -> str | None:
        """Give the name of the claim that the poll at this position makes."""
        position = self._positions[number]
        return position.claim_id if position else None

    def rows(self, number: int) -> list[TokenRow]:
        """Give the rows that the poll at this position has seen."""
        position = self._positions[number]
        return [seen for seen in (position.row, *position.told) if isinstance(seen, TokenRow)] if position else []

    def renamed(self, number: int, names: Names) -> int:
        """Give the same position under other names."""
        known = self._renamed.get((number, names))
        if known is None:
            known = self._renamed[number, names] = self._rename(number, names)
        return known

    def _rename(self, number: int, names: Names) -> int:
        position = self._positions[number]
        if position is None:
            return IDLE
        moved = self.begin(names.row(position.row), position.now, position.claim_id)
        for result in position.told:
            moved = self.tell(moved, names.row(result) if isinstance(result, TokenRow) else result)
        return moved

    def _reach(self, position: _Position) -> int:
        effect = self._replay(position)
        if effect is None:
            return IDLE
        number = self._positions.number(position)
        if number == len(self._effects):
            self._effects.append(effect)
        return number

    def _replay(self, position: _Position) -> Effect | None:
        """Give the effect that comes next, None at the end."""
        return self._played(position)[0]

    def _played(self, position: _Position) -> tuple[Effect | None, Outcome | None]:
        """Give the effect that comes next, or the outcome; a pause changes nothing and is over at once."""
        policy = Policy(self._interval, _LEASE_SECONDS, 4, chance=lambda: 1, new_claim_id=lambda: position.claim_id)
        polling = self._protocol(position.row, policy, position.now, position.now)
        closed = False
        try:
            effect = next(polling)
            for result in position.told:
                if isinstance(effect, Send):
                    closed |= result.kind in {Delivered.DELIVERED, Delivered.CLOSED}
                effect = polling.send(result)
                while isinstance(effect, Pause):
                    effect = polling.send(None)
        except StopIteration as end:
            return None, end.value
        if isinstance(effect, Send):
            _may_send(effect.answer, position.told, closed=closed)
        return effect, None


def _may_send(answer: Answer, told: tuple[Any, ...], *, closed: bool) -> None:
    """Hold a poll that is about to answer to what it was told before."""
    if closed:
        message = "a poll answers again although it was told that the task is closed"
        raise Broken(message)
    reports = [each for each in told if isinstance(each, Report)]
    kept = any(isinstance(each, TokenRow) and each.pending for each in told)
    if isinstance(answer, Fail) and answer.error == "PollingExpired" and not kept:
        if not reports:
            message = "a job is given up for time though it was not asked once more"
            raise Broken(message)
        if isinstance(reports[-1], Completed | Failed):
            message = "a job is given up for time though its last check found it ended"
            raise Broken(message)
