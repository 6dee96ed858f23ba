"""The world of one job: its row, its task, its source, the clock and some pollers, and all that can happen next."""

from collections.abc import Hashable, Iterator
from dataclasses import replace

from scheduler.core.check_replies import Unanswered, Unasked
from scheduler.core.effects import (
    Check,
    Claim,
    Delivered,
    Delivery,
    Effect,
    Failure,
    Heartbeat,
    Keep,
    Lost,
    Mark,
    Quarantine,
    Release,
    Send,
)
from scheduler.core.service_calls import Refusal
from tests.model.positions import IDLE, Broken, Names, Numbered, Positions
from tests.model.scenario import Design, Scenario
from tests.model.services import TIMED_OUT, WAITING, Services, State

_WRITES = (Claim, Keep, Release, Mark, Quarantine)
_OF_ROWS = (Claim, Keep, Release, Mark)


_Key = tuple[int, tuple[int, ...], tuple[int, ...]]
Move = tuple[str, int, State]
"""What happens, the position of the poller that it happens to (IDLE: none), and the world after it."""


class World:
    """All that can happen to one job."""

    def __init__(self, scenario: Scenario, design: Design) -> None:
        self.scenario = scenario
        self.positions = Positions(design.protocol, scenario.interval)
        self.services = Services(scenario, design.table)
        self._requests: Numbered[Effect] = Numbered()
        self._names: dict[_Key, _Key] = {}

    def start(self) -> State:
        """Give the world as it is once the job has been created."""
        limits = self.scenario
        row = self.services.row(limits.item())
        return State(
            row=row,
            due=True,
            task=WAITING,
            expired=False,
            checks=limits.checked(),
            pollers=((IDLE, False),) * limits.pollers,
            in_flight=(),
            faults=limits.faults,
            crashes=limits.crashes,
            clean=limits.leases,
        )

    def given_up(self, state: State) -> bool:
        """Tell whether the attempts of the job are used up, by what its row says."""
        return int(self.services.rows[state.row][0]["attemptCount"]["N"]) > self.scenario.max_attempts

    def moves(self, state: State) -> Iterator[Move]:
        """Give everything that can happen next. Raises Broken where a move by itself breaks an invariant."""
        return ((what, position, self._settled(after)) for what, position, after in self._moves(state))

    def _moves(self, state: State) -> Iterator[Move]:
        yield from self._surroundings(state)
        for index, poller in enumerate(state.pollers):
            position, _ = poller
            if index and poller == state.pollers[index - 1]:
                continue  # of two pollers at the same point, one is as good as the other
            if position == IDLE:
                if state.due and self.services.rows[state.row][1]:
                    yield "reads", IDLE, self.read(state, index)
                continue
            yield "performs", position, self.perform(state, index)
            if state.faults:
                for what, after in self._faults(state._replace(faults=state.faults - 1, clean=False), index):
                    yield what, position, after
            if state.crashes:
                crashed = state._replace(crashes=state.crashes - 1, clean=False)
                yield "crashes before", position, _moved(crashed, index, IDLE, lease=False)

    def later(self, state: State) -> State:
        """Let nextPollAt pass, and with it every lease."""
        idle = all(position == IDLE for position, _ in state.pollers)
        pollers = tuple(sorted((position, False) for position, _ in state.pollers))
        return state._replace(due=True, pollers=pollers, clean=state.clean and idle)

    def read(self, state: State, index: int) -> State:
        """Let a poller read the row and start a poll of it; whether it still holds shows at the claim."""
        row = self.services.rows[state.row][1]
        assert row
        used = {row.claim_id, *(self.positions.claim_id(position) for position, _ in state.pollers)}
        used |= {_claim_id(self._requests[request]) for request in state.in_flight}
        claim_id = next(name for name in map(str, range(len(used) + 1)) if name not in used)
        position = self.positions.begin(row, self.services.clock(state), claim_id)
        return _moved(state, index, position, lease=self.scenario.leases)

    def perform(self, state: State, index: int) -> State:
        """Let a poller's next effect happen, and tell it what became of it."""
        position, lease = state.pollers[index]
        effect = self.positions.effect(position)
        if lease and not isinstance(effect, _WRITES):
            self._alone(state, index)
        if isinstance(effect, Send) and state.clean and state.task != WAITING:
            message = "a task is answered a second time though nothing went wrong"
            raise Broken(message)
        after, result = self.services.apply(state, effect)
        return self._told(after, index, result)

    def _surroundings(self, state: State) -> Iterator[Move]:
        if state.task == WAITING:
            yield "the task times out", IDLE, state._replace(task=TIMED_OUT, clean=False)
        if not state.expired:
            yield "the job expires", IDLE, state._replace(expired=True)
        if not state.due and self.services.rows[state.row][1]:
            yield "nextPollAt passes", IDLE, self.later(state)
        for place, request in enumerate(state.in_flight):
            after, _ = self.services.apply(state, self._requests[request])
            rest = state.in_flight[:place] + state.in_flight[place + 1 :]
            yield f"late arrival of {type(self._requests[request]).__name__}", IDLE, after._replace(in_flight=rest)

    def _faults(self, state: State, index: int) -> Iterator[tuple[str, State]]:
        effect = self.positions.effect(state.pollers[index][0])
        failure = failure_of(effect)
        if isinstance(effect, Check):
            yield "gets no reply to", self._told(state._replace(checks=state.checks + 1), index, failure)
            yield "is refused", self._told(state, index, Unasked("busy", Refusal.THROTTLED))
            return
        failed = self._told(state, index, failure)
        yield "fails at", failed
        if isinstance(effect, Heartbeat):
            return
        applied, _ = self.services.apply(state, effect)
        yield "loses the reply to", self._told(applied, index, failure)
        if isinstance(effect, _WRITES):
            yield "loses the reply to and repeats", applied
        request = self._requests.number(effect)
        yield "gives up waiting for", failed._replace(in_flight=tuple(sorted((*state.in_flight, request))))
        if isinstance(effect, Send | Mark):
            yield "fails each time at", self._fail_on(state, index, type(effect))

    def _fail_on(self, state: State, index: int, kind: type[Effect]) -> State:
        position, lease = state.pollers[index]
        while position != IDLE and isinstance(effect := self.positions.effect(position), kind):
            position = self.positions.tell(position, failure_of(effect))
        return _moved(state, index, position, lease=lease)

    def _alone(self, state: State, index: int) -> None:
        # A poll that has yet to win its row does not work on it, nor does one that has only to give it free, once more
        # where the reply was lost.
        for other, (position, lease) in enumerate(state.pollers):
            if other != index and lease and not isinstance(self.positions.effect(position), Claim | Release):
                message = "two polls work on one row though neither has outlived its lease"
                raise Broken(message)

    def _told(self, state: State, index: int, result: Hashable) -> State:
        position, lease = state.pollers[index]
        return _moved(state, index, self.positions.tell(position, result), lease=lease)

    def _settled(self, state: State) -> State:
        """Give the world without differences that make none: what has lost for good, and which numbers are used."""
        if state.task != WAITING and not self.services.rows[state.row][1]:
            # Nobody can change the row or the task any more; all that polls can still do is ask and answer in vain.
            state = state._replace(due=False, expired=True, in_flight=(), faults=0, crashes=0)
        if state.in_flight:
            kept = (request for request in state.in_flight if not self._vain(state, self._requests[request]))
            state = state._replace(in_flight=tuple(kept))
        lost = [self._lost(state, position) for position, _ in state.pollers]
        if any(lost):
            at = ((IDLE, False) if gone else at for gone, at in zip(lost, state.pollers, strict=True))
            state = state._replace(pollers=tuple(sorted(at)))
        return self._renamed(state)

    def _vain(self, state: State, request: Effect) -> bool:
        """Tell whether a late request can have no effect: a condition that fails once never holds again."""
        if isinstance(request, Send):
            return state.task != WAITING
        return isinstance(request, _WRITES) and self.services.write(state.row, request)[2] == Lost()

    def _lost(self, state: State, position: int) -> bool:
        """Tell whether a poll can only lose its claim, and end: as good as none."""
        if position == IDLE:
            return False
        claim = self.positions.effect(position)
        return (
            isinstance(claim, Claim)
            and self._vain(state, claim)
            and self.positions.tell(position, Lost()) == IDLE
            and not any(_claim_id(self._requests[request]) == claim.claim_id for request in state.in_flight)
        )

    def _renamed(self, state: State) -> State:
        key = (state.row, tuple(position for position, _ in state.pollers), state.in_flight)
        if key not in self._names:
            self._names[key] = self._rename(*key)
        row, positions, in_flight = self._names[key]
        if row == state.row and positions == key[1] and in_flight == state.in_flight:
            return state
        leases = (lease for _, lease in state.pollers)
        pollers = tuple(sorted(zip(positions, leases, strict=True)))
        return state._replace(row=row, pollers=pollers, in_flight=tuple(sorted(in_flight)))

    def _rename(self, row: int, positions: tuple[int, ...], in_flight: tuple[int, ...]) -> _Key:
        """Number versions anew, in their order, and forget the names of claims that nobody makes any more."""
        item, _ = self.services.rows[row]
        requests = [self._requests[request] for request in in_flight]
        seen = [seen for position in positions for seen in self.positions.rows(position)]
        seen += [request.row for request in requests if isinstance(request, _OF_ROWS)]
        versions = {int(item["version"]["N"])} if "version" in item else set()
        versions.update(row.version for row in seen if row.version is not None)
        claims = {*map(self.positions.claim_id, positions), *map(_claim_id, requests)}
        names = Names(tuple(sorted(versions)), frozenset(claims))
        renamed = dict(item)
        if "version" in item:
            renamed["version"] = {"N": str(names.version(int(item["version"]["N"])))}
        if "claimId" in item:
            renamed["claimId"] = {"S": names.claim(item["claimId"]["S"])}
        return (
            self.services.row(renamed),
            tuple(self.positions.renamed(position, names) for position in positions),
            tuple(
                self._requests.number(
                    replace(request, row=names.row(request.row)) if isinstance(request, _OF_ROWS) else request
                )
                for request in requests
            ),
        )


def failure_of(effect: Effect) -> Hashable:
    """Give what a poll is told where its effect failed."""
    match effect:
        case Check():
            return Unanswered("no reply")
        case Send() | Heartbeat():
            return Delivery(Delivered.DEFERRED, "no reply")
    return Failure("no reply")


def _claim_id(effect: Effect) -> str | None:
    match effect:
        case Claim(claim_id=claim_id):
            return claim_id
        case Keep(row) | Release(row) | Mark(row):
            return row.claim_id
    return None


def _moved(state: State, index: int, position: int, *, lease: bool) -> State:
    pollers = list(state.pollers)
    pollers[index] = (position, lease and position != IDLE)
    return state._replace(pollers=tuple(sorted(pollers)))
