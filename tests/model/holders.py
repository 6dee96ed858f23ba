"""The world of one held row: replicas that hold it, renew it, take it over, fall asleep and die.

Beside `tests.model.world`, where every poll has a claim of its own. Time is a matter of order here: a hold ends, a
replica sleeps for longer than its beat, and the others have seen that. What the engine promises by its clocks decides
which of these may happen when: a poll from memory starts only where all of it fits into the hold, and a replica calls
itself stale before the others call it gone. A design says which of these promises are kept.
"""

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from scheduler.core.effects import Check, Claim, Effect, Failure, Renew, Reread, Send
from scheduler.core.instant import Instant
from scheduler.core.poll_turn import Poll
from scheduler.core.protocol import poll_held
from scheduler.core.row_writes import reread_result
from scheduler.core.timing import Policy
from scheduler.core.token import TokenTrace
from scheduler.core.token_row import TokenRow
from tests.fakes import FakeTokenTable
from tests.model import invariants
from tests.model.positions import IDLE, Broken, Numbered, Positions
from tests.model.scenario import Scenario
from tests.model.search import Violation
from tests.model.services import TIMED_OUT, WAITING, Services, State
from tests.model.world import failure_of

NOTHING = 0
"""The number of the row that a replica holds which holds none."""
POLLS_A_HOLD = 2
"""So many checks are made between two writes, at most."""
_LATEST_VERSION = 5
"""No further than this is looked: each write of a row counts its version up."""


@dataclass(frozen=True, slots=True)
class Design:
    """The engine's promises, each of which a broken design leaves out; and the table, which keeps the conditions."""

    table: type[FakeTokenTable] = FakeTokenTable
    polls_within_its_hold: bool = True
    drops_after_sleep: bool = True
    takes_over_from_the_gone_alone: bool = True
    saves_what_it_knows: bool = True


@dataclass(frozen=True, slots=True)
class Holding:
    """How much may go wrong: replicas that die, sleep beyond their beat, and writes that fail in one way or another."""

    name: str
    job: Scenario
    replicas: int = 2
    crashes: int = 0
    sleeps: int = 0
    faults: int = 0


class Replica(NamedTuple):
    """One replica: what it holds, where its poll stands, how often it went on under another name.

    `runs` says that its hold still runs, by its own clock; `unsaved` counts the checks since the last write. A poll of
    one that slept may be `late`: it outlived its lease.
    """

    row: int = NOTHING
    runs: bool = False
    unsaved: int = 0
    position: int = IDLE
    late: bool = False
    asleep: bool = False
    names: int = 0


class World(NamedTuple):
    """The world at one moment."""

    state: State
    replicas: tuple[Replica, ...]
    crashes: int
    sleeps: int
    faults: int
    forgotten: int = 0
    """How many checks may have been made that no row knows of."""


def _held(row: TokenRow, policy: Policy, now: Instant, tick: Instant) -> Poll:
    """Poll a held row, as `tests.model.positions` wants its protocols."""
    del tick
    return poll_held(row, policy, now)


class Holders:
    """All that can happen to one held row."""

    def __init__(self, holding: Holding, design: Design) -> None:
        self.holding, self.design = holding, design
        self.scenario = holding.job
        self.services = Services(holding.job, design.table)
        self.positions = Positions(_held, holding.job.interval)
        self.rows: Numbered[TokenRow | None] = Numbered(None)
        self._requests: Numbered[Effect] = Numbered()

    def start(self) -> World:
        """Give the world as it is once the job has been created."""
        state = State(
            row=self.services.row(self.scenario.item()),
            due=True,
            task=WAITING,
            expired=False,
            checks=0,
            pollers=(),
            in_flight=(),
            faults=0,
            crashes=0,
            clean=True,
        )
        holding = self.holding
        return World(state, (Replica(),) * holding.replicas, holding.crashes, holding.sleeps, holding.faults)

    def name(self, index: int, replica: Replica) -> str:
        """Give the name under which a replica holds rows."""
        return f"{index}.{replica.names}"

    def moves(self, world: World) -> Iterator[tuple[str, World]]:
        """Give everything that can happen next. Raises Broken where a move by itself breaks an invariant."""
        state, (item, row) = world.state, self.services.rows[world.state.row]
        if state.task == WAITING:
            yield "the task times out", world._replace(state=state._replace(task=TIMED_OUT))
        if not state.expired:
            yield "the job expires", world._replace(state=state._replace(expired=True))
        if row and not state.due:
            yield from self._hold_ends(world, item.get("heldBy", {}).get("S"))
        for place, request in enumerate(state.in_flight):
            rest = state.in_flight[:place] + state.in_flight[place + 1 :]
            after = self._write(state, self._requests[request])[0]._replace(in_flight=rest)
            # A renewal that arrives late takes back what was counted since it was made.
            taken_back = max(0, self._counted(state) - self._counted(after))
            arrived = world._replace(state=after, forgotten=world.forgotten + taken_back)
            yield f"late arrival of {type(self._requests[request]).__name__}", arrived
        for index, replica in enumerate(world.replicas):
            yield from self._of(world, index, replica)

    def _of(self, world: World, index: int, replica: Replica) -> Iterator[tuple[str, World]]:
        who = f"replica {self.name(index, replica)}"
        if world.crashes and (replica.row or replica.position):
            dead = Replica(names=replica.names + 1)
            yield f"{who} dies", self._forgets(world._replace(crashes=world.crashes - 1), index, dead)
        if replica.asleep:
            yield f"{who} wakes up", self._woken(world, index, replica)
            return
        if world.sleeps and replica.row:
            asleep = replica._replace(asleep=True, late=replica.position != IDLE)
            yield f"{who} falls asleep", self._forgets(world._replace(sleeps=world.sleeps - 1), index, asleep)
        if replica.position != IDLE:
            yield from self._goes_on(world, index, replica, who)
            return
        if replica.row:
            yield from self._holds(world, index, replica, who)
        elif self._may_claim(world, index):
            yield from self._claims(world, index, replica, who)

    def given_up(self, state: State) -> bool:
        """Tell whether the attempts are used up: whoever gives up has counted them, and the row may not say so yet."""
        del state
        return True

    # What a replica does

    def _may_claim(self, world: World, index: int) -> bool:
        item, row = self.services.rows[world.state.row]
        if row is None or (row.version or 0) >= _LATEST_VERSION:
            return False
        return world.state.due or self._is_gone(world, item.get("heldBy", {}).get("S"), index)

    def _is_gone(self, world: World, holder: str | None, index: int) -> bool:
        """Tell whether a replica may call the holder gone: it is dead, asleep, or goes on under another name."""
        if holder is None or holder == self.name(index, world.replicas[index]):
            return False
        if not self.design.takes_over_from_the_gone_alone:
            return True
        return holder not in {self.name(at, one) for at, one in enumerate(world.replicas) if not one.asleep}

    def _claims(self, world: World, index: int, replica: Replica, who: str) -> Iterator[tuple[str, World]]:
        row = self.services.rows[world.state.row][1]
        assert row
        claim = Claim(row, f"{self.name(index, replica)}/{row.version}", 0, 1, 0, self.name(index, replica))
        for what, after, result in self._written(world, claim):
            yield f"{who} claims{what}", self._claimed(after, index, replica, result)
        if world.faults:
            request = self._requests.number(claim)
            late = world.state._replace(in_flight=tuple(sorted((*world.state.in_flight, request))))
            yield f"{who} gives up a claim that arrives late", world._replace(faults=world.faults - 1, state=late)

    def _claimed(self, world: World, index: int, replica: Replica, result: Hashable) -> World:
        if not isinstance(result, TokenRow):
            return world
        kept = replace(result, token=TokenTrace(result.token), attempt_count=result.attempt_count - 1)
        # Its first check was counted by the claim.
        return _put(world, index, replica._replace(row=self.rows.number(kept), runs=True, unsaved=-1))

    def _holds(self, world: World, index: int, replica: Replica, who: str) -> Iterator[tuple[str, World]]:
        row = self.rows[replica.row]
        assert row
        if replica.unsaved < POLLS_A_HOLD and (replica.runs or not self.design.polls_within_its_hold):
            begun = replace(row, attempt_count=row.attempt_count + 1)
            self._alone(world, index)
            position = self.positions.begin(begun, self.services.clock(world.state), "")
            moved = replica._replace(row=self.rows.number(begun), position=position, unsaved=replica.unsaved + 1)
            yield f"{who} polls from memory", _put(world, index, moved)
        if (row.version or 0) < _LATEST_VERSION:
            saved = row if self.design.saves_what_it_knows else replace(row, attempt_count=0)
            renew = Renew(saved, 1, self.name(index, replica), 0)
            for what, after, result in self._written(world, renew):
                yield f"{who} renews{what}", self._renewed(after, index, replica, result)
            if world.faults:
                request = self._requests.number(renew)
                late = world.state._replace(in_flight=tuple(sorted((*world.state.in_flight, request))))
                yield (
                    f"{who} gives up a renewal that arrives late",
                    world._replace(faults=world.faults - 1, state=late),
                )
            free = Renew(saved, 0, None, 0)
            for what, after, result in self._written(world, free):
                kept = replica if isinstance(result, Failure) else replica._replace(row=NOTHING, runs=False, unsaved=0)
                yield f"{who} gives the row free{what}", _put(after, index, kept)

    def _renewed(self, world: World, index: int, replica: Replica, result: Hashable) -> World:
        row = self.rows[replica.row]
        assert row
        if isinstance(result, Failure):
            return world
        if result is not None:
            return _put(world, index, replica._replace(row=NOTHING, runs=False, unsaved=0))
        renewed = replace(row, version=(row.version or 0) + 1)
        kept = replica._replace(row=self.rows.number(renewed), runs=True, unsaved=0)
        return _put(world, index, kept)

    def _goes_on(self, world: World, index: int, replica: Replica, who: str) -> Iterator[tuple[str, World]]:
        effect = self.positions.effect(replica.position)
        asked = type(effect).__name__
        if isinstance(effect, Send) and world.state.task not in {WAITING, TIMED_OUT} and self._clean(world):
            message = "a task is answered a second time though nothing went wrong"
            raise Broken(message)
        if isinstance(effect, Send) and getattr(effect.answer, "error", "") == "MaxAttemptsExceeded":
            row = self.rows[replica.row]
            if row and row.attempt_count <= self.scenario.max_attempts:
                message = "a job is given up though it has attempts left"
                raise Broken(message)
        after, result = self._apply(world.state, effect)
        yield f"{who} performs {asked}", self._told(world._replace(state=after), index, result)
        if world.faults and not isinstance(effect, Check):
            faulty = world._replace(faults=world.faults - 1)
            failed = failure_of(effect)
            yield f"{who} fails at {asked}", self._told(faulty, index, failed)
            if not isinstance(effect, Reread):
                yield f"{who} loses the reply to {asked}", self._told(faulty._replace(state=after), index, failed)

    def _told(self, world: World, index: int, result: Hashable) -> World:
        replica = world.replicas[index]
        position = self.positions.tell(replica.position, result)
        if position != IDLE:
            return _put(world, index, replica._replace(position=position))
        ended = self.positions.outcome(replica.position, result)
        kept = replica._replace(position=IDLE, late=False)
        if ended.kind.value in {"in_progress", "check_failed", "unreached"} or ended.unmarked:
            if ended.kind.value == "unreached" or ended.unmarked:
                row = self.rows[kept.row]
                if row:
                    kept = kept._replace(row=self.rows.number(replace(row, attempt_count=row.attempt_count - 1)))
                    # The check was made, and is not charged: the table was in trouble.
                    world = world._replace(forgotten=world.forgotten + 1)
        else:
            kept = kept._replace(row=NOTHING, runs=False, unsaved=0)
        return _put(world, index, kept)

    def _woken(self, world: World, index: int, replica: Replica) -> World:
        """Let a replica wake up: it drops what it held, and goes on under another name; a poll under way ends."""
        awake = replica._replace(asleep=False)
        if not self.design.drops_after_sleep:
            return _put(world, index, awake)
        return _put(world, index, awake._replace(row=NOTHING, runs=False, unsaved=0, names=replica.names + 1))

    def _forgets(self, world: World, index: int, after: Replica) -> World:
        forgotten = self._unsaved(world, world.replicas[index])
        return _put(world._replace(forgotten=world.forgotten + forgotten), index, after)

    def _counted(self, state: State) -> int:
        return int(self.services.rows[state.row][0].get("attemptCount", {"N": "0"})["N"])

    def _unsaved(self, world: World, replica: Replica) -> int:
        """Give how many checks a replica knows of that the row does not."""
        row = self.rows[replica.row]
        return max(0, row.attempt_count - self._counted(world.state)) if row else 0

    # What may happen, and what must not

    def _hold_ends(self, world: World, holder: str | None) -> Iterator[tuple[str, World]]:
        """Let the hold end. One that is awake renews it in time, unless all its renewals fail.

        It ends in no poll of one that is awake, for the poll fits into it.
        """
        awake = [
            replica
            for index, replica in enumerate(world.replicas)
            if self.name(index, replica) == holder and replica.row and not replica.asleep
        ]
        if any(replica.position != IDLE for replica in awake) and self.design.polls_within_its_hold:
            return
        if awake and not world.faults:
            return
        forgotten = sum(self._unsaved(world, replica) for replica in awake)
        ended = world._replace(
            state=world.state._replace(due=True),
            replicas=tuple(replica._replace(runs=False) for replica in world.replicas),
            faults=world.faults - len(awake),
            forgotten=world.forgotten + forgotten,
        )
        yield "the hold ends", ended

    def _alone(self, world: World, index: int) -> None:
        for other, replica in enumerate(world.replicas):
            if other != index and replica.position != IDLE and not replica.late and not replica.asleep:
                message = "two polls work on one row though neither has outlived its hold"
                raise Broken(message)

    def _clean(self, world: World) -> bool:
        limits = self.holding
        return (world.crashes, world.sleeps, world.faults) == (limits.crashes, limits.sleeps, limits.faults)

    # Writes

    def _written(self, world: World, effect: Effect) -> Iterator[tuple[str, World, Hashable]]:
        """Give the ways in which a write may go. One whose reply is lost is made again until it is known."""
        after, result = self._write(world.state, effect)
        yield "", world._replace(state=after), result
        if world.faults:
            faulty = world._replace(faults=world.faults - 1)
            yield " in vain", faulty, Failure("no reply")
            again, repeated = self._write(after, effect)
            yield " and loses the reply, and repeats", faulty._replace(state=again), repeated

    def _write(self, state: State, effect: Effect) -> tuple[State, Hashable]:
        row, until, result = self.services.write(state.row, effect)  # type: ignore[arg-type]
        applied = row != state.row or result is None
        due = (until is not None and until <= 0) if applied else state.due
        return state._replace(row=row, due=due), result

    def _apply(self, state: State, effect: Effect) -> tuple[State, Hashable]:
        if isinstance(effect, Reread):
            return state, reread_result(effect, self.services.rows[state.row][0])
        if isinstance(effect, Check | Send):
            return self.services.apply(state, effect)
        return self._write(state, effect)


def check(holders: Holders, world: World) -> None:
    """Hold one world to the invariants. Raises Broken."""
    invariants.check_row(holders, world.state)
    most = holders.scenario.max_attempts + world.forgotten
    if world.state.checks > most:
        message = f"{world.state.checks} checks were made, and {most} may be"
        raise Broken(message)
    _ends(holders, world)


def _ends(holders: Holders, world: World) -> None:
    """Let one replica go on alone, with nothing more going wrong: it must end the row and leave no task waiting."""
    state = world.state._replace(due=True, in_flight=())
    alone = World(state, (Replica(names=99),), 0, 0, 0)
    for _ in range(max(0, holders.scenario.max_attempts - holders._counted(state)) + 3):
        row = holders.services.rows[alone.state.row][1]
        if row is None:
            break
        if not alone.replicas[0].row:
            claim = Claim(row, f"alone/{row.version}", 0, 1, 0, "alone")
            after, result = holders._write(alone.state, claim)
            alone = holders._claimed(alone._replace(state=after), 0, alone.replicas[0], result)
        held = holders.rows[alone.replicas[0].row]
        assert held
        begun = replace(held, attempt_count=held.attempt_count + 1)
        position = holders.positions.begin(begun, holders.services.clock(alone.state), "")
        alone = _put(alone, 0, alone.replicas[0]._replace(row=holders.rows.number(begun), position=position))
        while alone.replicas[0].position != IDLE:
            after, result = holders._apply(alone.state, holders.positions.effect(alone.replicas[0].position))
            alone = holders._told(alone._replace(state=after), 0, result)
    if holders.services.rows[alone.state.row][1]:
        message = "the row never ends, though somebody holds it"
        raise Broken(message)
    if alone.state.task == WAITING:
        message = "the row has ended, and its task waits for ever"
        raise Broken(message)


def search(holding: Holding, design: Design | None = None) -> tuple[int, Violation | None]:
    """Visit every world; give how many there are, and the first violation."""
    holders = Holders(holding, design or Design())
    start = holders.start()
    parents: dict[World, tuple[World, str] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        world = waiting.popleft()
        step = "any next step"
        try:
            for step, after in holders.moves(world):
                if after not in parents:
                    parents[after] = world, step
                    check(holders, after)
                    waiting.append(after)
        except Broken as broken:
            return len(parents), Violation(str(broken), (*_trace(parents, world), step))
    return len(parents), None


def _trace(parents: dict[World, tuple[World, str] | None], world: World) -> list[str]:
    steps: list[str] = []
    while (parent := parents[world]) is not None:
        world, step = parent
        steps.append(step)
    return steps[::-1]


def _put(world: World, index: int, replica: Replica) -> World:
    replicas = list(world.replicas)
    replicas[index] = replica
    return world._replace(replicas=tuple(replicas))
