"""What stands around the pollers: the token table, Step Functions and the job's source, as they do without faults."""

import json
from collections.abc import Hashable
from typing import Any, NamedTuple

from scheduler.core.answer_delivery import send_result
from scheduler.core.answers import Answer, Succeed
from scheduler.core.attributes import Item
from scheduler.core.check_replies import InProgress, Report
from scheduler.core.effects import Check, Claim, Effect, Heartbeat, Keep, Mark, Quarantine, Release, Send, Write
from scheduler.core.instant import Instant
from scheduler.core.row_reader import read_row
from scheduler.core.service_calls import CallError
from scheduler.core.states import POLLING
from scheduler.core.token_row import TokenRow
from tests.fakes import FakeTokenTable
from tests.model.positions import Broken, Numbered
from tests.model.scenario import EXPIRES_AT, JOB, Scenario

WAITING, TIMED_OUT = 0, 1
"""What became of the task; any other number is that of the answer it was given."""
_LONG_MS = 3_600_000
_NOT_FOR_POLLS = ("lastError", "lastPolledAt", "completedAt", "purgeAt")


class State(NamedTuple):
    """The world at one moment; rows, answers, requests and positions go by their numbers.

    `pollers` holds the position of each and whether its lease still runs. `clean` says that nothing has gone wrong yet:
    no fault, no crash, no time-out of the task, no poll that outlived its lease.
    """

    row: int
    due: bool
    task: int
    expired: bool
    checks: int
    pollers: tuple[tuple[int, bool], ...]
    in_flight: tuple[int, ...]
    faults: int
    crashes: int
    clean: bool


class Services:
    """Rows by number, answers by number, and what a request does to them."""

    def __init__(self, scenario: Scenario, table: type[FakeTokenTable]) -> None:
        self.rows: list[tuple[Item, TokenRow | None]] = []
        self.answers: Numbered[Answer | str] = Numbered("waiting", "timed out")
        self._scenario = scenario
        self._table = table
        self._items: Numbered[str] = Numbered()
        self._written: dict[tuple[int, Effect], tuple[int, Instant | None, Hashable]] = {}

    def apply(self, state: State, effect: Effect) -> tuple[State, Hashable]:
        """Let a request have its effect, and give the reply to it."""
        match effect:
            case Check():
                return state._replace(checks=state.checks + 1), self._report(state)
            case Send() | Heartbeat():
                task, reply = self._answered(state, effect)
                return state._replace(task=task), send_result(effect, reply)
            case Claim() | Keep() | Release() | Mark() | Quarantine():
                row, until, result = self.write(state.row, effect)
                if row == state.row or not self._scenario.leases:
                    return state._replace(row=row), result
                due = until is not None and until <= self.clock(state)
                return state._replace(row=row, due=due), result
        message = f"{effect} has no effect"
        raise AssertionError(message)

    def _report(self, state: State) -> Report:
        return InProgress() if state.checks < self._scenario.in_progress else self._scenario.ending

    def _answered(self, state: State, effect: Send | Heartbeat) -> tuple[int, dict[str, Any] | CallError]:
        if state.task != WAITING:
            return state.task, CallError("TaskTimedOut", "it is over")
        if isinstance(effect, Heartbeat):
            return WAITING, {}
        if isinstance(effect.answer, Succeed) and self._scenario.refuses_output:
            return WAITING, CallError("InvalidOutput", "no")
        return self.answers.number(effect.answer), {}

    def clock(self, state: State) -> Instant:
        """Give the time, which only the job's expiry depends on: before it, or at it.

        Leases must outlast the step from the one to the other; without leases a long one leaves polls unhurried.
        """
        return EXPIRES_AT if state.expired else EXPIRES_AT - (1 if self._scenario.leases else _LONG_MS)

    def write(self, row: int, effect: Write) -> tuple[int, Instant | None, Hashable]:
        """Let the table perform a write: the row after it, since when that is due, and the reply."""
        if (row, effect) not in self._written:
            table = self._table()
            table.put(self.rows[row][0])
            try:
                table.write(effect).send(None)
            except StopIteration as end:
                result: Hashable = end.value
            item = table.items[JOB]
            held = item.get("nextPollAt")
            until = int(held["N"]) if held else None
            if item["status"] == {"S": POLLING} and held and "dueShard" not in item:
                message = "a waiting row has left the index"
                raise Broken(message)
            self._written[row, effect] = self.row(item), until, result
        return self._written[row, effect]

    def row(self, item: Item) -> int:
        """Give the number of a row, without what no poll depends on; when it is due is the state's affair."""
        kept = {name: held for name, held in item.items() if name not in _NOT_FOR_POLLS}
        if "nextPollAt" in kept:
            kept["nextPollAt"] = {"N": "0"}
        number = self._items.number(json.dumps(kept, sort_keys=True))
        if number == len(self.rows):
            self.rows.append((kept, read_row(kept) if kept["status"] == {"S": POLLING} else None))
        return number
