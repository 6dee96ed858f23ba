"""Readings: what the reply of a source means, by lists of statuses or by acceptors as botocore's waiters have them."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from scheduler.checks.json_values import jsonable
from scheduler.checks.paths import Path, UnreadableError
from scheduler.checks.spec import Acceptor, Reading, State
from scheduler.core.check_replies import Completed, Failed, InProgress, Report, Unanswered

_SHOWN = 200  # characters of a status that are shown where it is not known
_WHOLE: Any = object()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reply means, and by which `rule` of the entry: the list that has its `status`, or an acceptor."""

    state: State
    rule: str
    status: str | None = None


@dataclass(frozen=True, slots=True)
class _Reply:
    """What acceptors look at; `error` is a service's code where it replied with one, and `data` is then no output."""

    data: Any
    status: int | None
    error: str | None
    refused: bool = False
    """Whether the error says nothing of the job, so that only an acceptor of this very code is about it."""


class Reader:
    """Reads the replies of one source."""

    def __init__(self, reading: Reading) -> None:
        """Compile the paths of a reading. Raises jmespath's JMESPathError for one that never could be evaluated."""
        self._status = Path(reading.status) if reading.status is not None else None
        self._result = Path(reading.result) if reading.result is not None else None
        self._reason = Path(reading.reason) if reading.reason is not None else None
        self._rules = [(acceptor, _rule(acceptor), _matcher(acceptor)) for acceptor in reading.acceptors]
        lists: Iterable[tuple[State, str, Iterable[Any]]] = (
            ("retry", "in_progress", reading.in_progress),
            ("success", "completed", reading.completed),
            ("failure", "failed", reading.failed),
        )
        self._lists = {
            text: Verdict(state, f"{text} is in {name}", text)
            for state, name, statuses in lists
            for text in map(_text, statuses)
        }

    def read(self, data: Any, *, status: int | None = None, error: str | None = None, jobs_own: Any = _WHOLE) -> Report:
        """Give what a reply says of the job. Whatever is not clear is Unanswered: never a success, never an end.

        `data` is what paths look at, JSON values alone; `status` the reply's HTTP status, for the matcher of that name;
        `error` a service's code, where it replied with one; `jobs_own` the result where the entry has no path to it:
        all the data, unless something else is given.
        """
        try:
            verdict = self.judge(data, status=status, error=error)
        except (ValueError, RecursionError) as unreadable:  # a number of too many digits, for one
            return Unanswered(f"the source's reply cannot be understood: {unreadable}")
        if isinstance(verdict, Unanswered):
            return verdict
        return self.report(verdict, data, jobs_own)

    def judge(self, data: Any, *, status: int | None = None, error: str | None = None) -> Verdict | Unanswered:
        """Give what a reply means, and by which rule. Raises UnreadableError."""
        if self._rules:
            verdict = self.accepted(data, status=status, error=error)
            return verdict or Verdict("retry", "no acceptor matches: the job goes on")
        found = self._status.of(data) if self._status and error is None else None
        if found is None:
            return Unanswered(f"the source's reply has no status{f' at {self._status.text}' if self._status else ''}")
        if isinstance(found, dict | list):
            return Unanswered(f"the source's reply has no single status: {found!r:.{_SHOWN}}")
        return self._lists.get(_text(found)) or Unanswered(
            f"the source's reply has an unknown status: {found!r:.{_SHOWN}}"
        )

    def accepted(
        self, data: Any, *, status: int | None = None, error: str | None = None, refused: bool = False
    ) -> Verdict | None:
        """Give what the first acceptor that matches says; None where none does. Raises UnreadableError.

        An acceptor of any error whatsoever is not about one by which the source `refused` to be asked.
        """
        reply = _Reply(data, status, error, refused)
        for acceptor, rule, matches in self._rules:
            if matches(reply):
                return Verdict(acceptor.state, rule)
        return None

    def report(self, verdict: Verdict, data: Any, jobs_own: Any = _WHOLE) -> Report:
        """Give the report that a verdict stands for, with the job's result or reason from the reply."""
        if verdict.state == "retry":
            return InProgress()
        if verdict.state == "failure":
            how = f": {verdict.rule}" if verdict.status is None else f" with status {verdict.status}"
            return Failed(self._reason_of(data) or f"the job has failed{how}")
        try:
            if self._result:
                return Completed(jsonable(self._result.of(data)))
            return Completed(jsonable(data if jobs_own is _WHOLE else jobs_own))
        except (UnreadableError, TypeError, RecursionError) as error:
            return Unanswered(f"the job has completed, and its result cannot be read: {error}")

    def _reason_of(self, data: Any) -> str | None:
        try:
            found = jsonable(self._reason.of(data)) if self._reason else None
        except (UnreadableError, TypeError, ValueError, RecursionError):
            return None  # a job that has failed has so, whatever it says of that
        return found if found is None or isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _text(value: Any) -> str:
    """Give a status as the lists have it: `true` and `3` are written as JSON writes them."""
    return value if isinstance(value, str) else json.dumps(value)


def _rule(acceptor: Acceptor) -> str:
    what = acceptor.argument if acceptor.argument is not None else acceptor.matcher
    how = {"pathAll": "each of ", "pathAny": "one of "}.get(acceptor.matcher, "")
    return f"{how}{what} is {_text(acceptor.expected)}"


def _matcher(acceptor: Acceptor) -> Callable[[_Reply], bool]:
    expected = acceptor.expected
    match acceptor.matcher:
        case "status":
            return lambda reply: reply.status == expected
        case "error":
            return lambda reply: _is_error(reply, expected)
    path = Path(acceptor.argument or "")
    match acceptor.matcher:
        case "path":
            return lambda reply: reply.error is None and bool(path.of(reply.data) == expected)
        case "pathAll":
            return lambda reply: bool(found := _list(path, reply)) and all(each == expected for each in found)
        case "pathAny":
            return lambda reply: any(each == expected for each in _list(path, reply))


def _is_error(reply: _Reply, expected: Any) -> bool:
    if isinstance(expected, bool):
        return (reply.error is not None) is expected and not reply.refused
    return reply.error is not None and reply.error == expected


def _list(path: Path, reply: _Reply) -> list[Any]:
    found = path.of(reply.data) if reply.error is None else None
    return found if isinstance(found, list) else []
