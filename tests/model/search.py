"""The search: every world that can be reached, the fewest faults first, so that a trace is short."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from scheduler.core.effects import Send
from tests.model import invariants
from tests.model.positions import IDLE, Broken
from tests.model.scenario import Design, Scenario
from tests.model.services import State
from tests.model.world import World


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that does not hold, and what leads there, one line for each step."""

    invariant: str
    trace: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([self.invariant, *(f"  {number}. {step}" for number, step in enumerate(self.trace, 1))])


@dataclass(frozen=True, slots=True)
class Finding:
    """What a search found: how many worlds there are, how rows ended in them, and the first violation."""

    worlds: int
    statuses: frozenset[str]
    violation: Violation | None = None


class _Worlds:
    """The worlds that were reached, those first that have used up the least of what may go wrong.

    A world is left out where another is known that differs from it only in what may still go wrong, and allows as much:
    whatever could be reached from the one, the other leads to. The `clean` one of two is the one that forbids more.
    """

    def __init__(self, start: State) -> None:
        self.parents: dict[State, State | None] = {start: None}
        self._best: dict[State, list[State]] = {}
        self._full = start.faults + start.crashes
        self._waiting: list[deque[State]] = [deque() for _ in range(self._full + 1)]
        self._waiting[0].append(start)

    def __iter__(self) -> Iterator[State]:
        for waiting in self._waiting:
            while waiting:
                yield waiting.popleft()

    def add(self, state: State, parent: State) -> bool:
        """Note a world, unless it is known or left out."""
        best = self._best.setdefault(state._replace(faults=0, crashes=0, clean=False), [])
        for other in best:
            if other.faults >= state.faults and other.crashes >= state.crashes and other.clean >= state.clean:
                return False
        best.append(state)
        self.parents[state] = parent
        self._waiting[self._full - state.faults - state.crashes].append(state)
        return True


def search(scenario: Scenario, design: Design | None = None) -> Finding:
    """Visit every world of a scenario; stop at the first that breaks an invariant."""
    world = World(scenario, design or Design())
    worlds = _Worlds(world.start())
    held: set[tuple[int, int, bool, int]] = set()
    for state in worlds:
        last = "any next step"
        try:
            for what, position, after in world.moves(state):
                facts = (after.row, after.task, after.expired, after.checks)
                if worlds.add(after, state) and facts not in held:
                    last = _step(world, what, position)
                    invariants.check(world, after)
                    last = "any next step"
                    held.add(facts)
        except Broken as broken:
            trace = (*_trace(world, worlds.parents, state), last)
            return Finding(len(worlds.parents), _statuses(world), Violation(str(broken), trace))
    return Finding(len(worlds.parents), _statuses(world))


def _trace(world: World, parents: dict[State, State | None], state: State) -> list[str]:
    """Find out again, from the end to the start, which move led to each world."""
    steps: list[str] = []
    while (parent := parents[state]) is not None:
        steps.append(next(_step(world, what, at) for what, at, after in world.moves(parent) if after == state))
        state = parent
    return steps[::-1]


def _step(world: World, what: str, position: int) -> str:
    if position == IDLE:
        return what if what != "reads" else "a poller reads the row"
    effect = world.positions.effect(position)
    asked = type(effect).__name__
    if isinstance(effect, Send):
        asked += f"({getattr(effect.answer, 'error', 'success')})"
    return f"poller {world.positions.claim_id(position)} {what} {asked}"


def _statuses(world: World) -> frozenset[str]:
    return frozenset(item["status"]["S"] for item, _ in world.services.rows)
