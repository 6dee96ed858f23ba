"""Replies of AWS's APIs: what an output or an error says of each job that was asked for."""

from collections.abc import Mapping
from typing import Any

from scheduler.checks.aws_requests import Asked
from scheduler.checks.json_values import METADATA, output_of
from scheduler.checks.paths import Path, UnreadableError
from scheduler.checks.readings import Reader
from scheduler.checks.spec import AskAws, Reading
from scheduler.core.check_replies import NotTogether, Report, Unanswered, Unasked
from scheduler.core.service_calls import CallError, Refusal

_LONGEST = 500  # of a service's own message, in characters
_FORBIDDEN = frozenset({401, 403})
_NOT_SENT = frozenset({"ParamValidationError"})
"""What the SDK itself says of a request that it does not send."""
_MORE = frozenset({"NextToken", "nextToken", "NextMarker", "Marker", "nextMarker", "marker", "NextPageToken"})
"""Where outputs say that there is more than they hold."""


class AwsReplies:
    """Reads the replies of one source."""

    def __init__(self, ask: AskAws, reading: Reading) -> None:
        """Take how the source is asked and what its replies mean. Raises jmespath's JMESPathError."""
        self._what = f"{ask.service} {ask.operation}"
        self._unknown = frozenset(reading.unknown_errors)
        self.reader = Reader(reading)
        self._items = Path(ask.batch.items) if ask.batch else None
        self._id = Path(ask.batch.id) if ask.batch else None

    def read(self, asked: Asked, reply: Mapping[str, Any] | CallError) -> list[Report] | NotTogether:
        """Give what a reply, or the error in its place, says of each of the jobs, in their order.

        `NotTogether` is what may be one job's fault: the others are not to pay for it.
        """
        count = len(asked.places)
        if isinstance(reply, CallError):
            report = self._of_error(reply)
            if count > 1 and not _of_all(report, reply):
                return NotTogether(f"{self._what}: {reply.code}: {reply.message:.{_LONGEST}}")
            return [report] * count
        try:
            output = output_of(reply)
            status = reply.get(METADATA, {}).get("HTTPStatusCode")
            if self._items and self._id:
                return self._of_items(output, status, asked)
        except (TypeError, UnreadableError, RecursionError) as error:
            return [Unanswered(f"the output of {self._what} cannot be understood: {error}")] * count
        return [self.reader.read(output, status=status)] * count

    def _of_items(self, output: Mapping[str, Any], status: int | None, asked: Asked) -> list[Report]:
        """Read each job's own item. Raises UnreadableError."""
        assert self._items  # noqa: S101  the caller's condition, for the type checker
        assert self._id  # noqa: S101
        items = self._items.of(output)
        if items is not None and not isinstance(items, list):
            text = f"the output of {self._what} has no list at {self._items.text}"
            return [Unanswered(text)] * len(asked.places)
        found = _by_id(self._id, items or [])
        partial = any(output.get(name) for name in _MORE)
        return [self._of_item(found, names, status, partial=partial) for names in asked.names]

    def _of_item(self, found: Mapping[str, Any], names: frozenset[str], status: int | None, *, partial: bool) -> Report:
        for name in sorted(names):
            if name in found:
                return self.reader.read(found[name], status=status)
        if partial:
            return Unanswered(f"the output of {self._what} has more pages than one, and the job is not in the first")
        return Unanswered(f"{self._what} knows no such job", unknown_job=True)

    def _of_error(self, failure: CallError) -> Report:
        refusal = _refusal(failure)
        data = {"Error": {"Code": failure.code, "Message": failure.message}}
        if failure.answered:  # a reply that never came is not what a waiter's acceptors are about
            verdict = self.reader.accepted(data, status=failure.status, error=failure.code, refused=refusal is not None)
            if verdict:
                return self.reader.report(verdict, data)
        where = f" ({failure.where})" if failure.where else ""
        error = " ".join(f"{self._what}: {failure.code}: {failure.message:.{_LONGEST}}{where}".split())
        if failure.code in self._unknown:
            return Unanswered(error, unknown_job=True)
        return Unasked(error, refusal) if refusal else Unanswered(error)


def _of_all(report: Report, failure: CallError) -> bool:
    """Tell whether an error says the same of all the jobs that were asked for together.

    Access may be denied for the sake of one job that is somebody else's.
    """
    if isinstance(report, Unasked):
        return report.refusal is not Refusal.DENIED
    return not failure.answered and failure.code not in _NOT_SENT


def _refusal(failure: CallError) -> Refusal | None:
    """Give why the service served nobody. What does not exist is here the job that was asked for."""
    refusal = failure.refusal
    if refusal is None and failure.status in _FORBIDDEN:
        return Refusal.DENIED
    return None if refusal is Refusal.MISSING else refusal


def _by_id(path: Path, items: list[Any]) -> dict[str, Any]:
    """Give the items by their ids; one whose id is an ARN goes by its last part too, where no other one does.

    Raises UnreadableError.
    """
    found: dict[str, Any] = {}
    for item in items:
        ids = path.of(item)
        for each in ids if isinstance(ids, list) else [ids]:
            if isinstance(each, str | int):
                found.setdefault(str(each), item)
    for name, item in list(found.items()):
        if name.startswith("arn:"):
            found.setdefault(name.rpartition("/")[2], item)
    return found
