"""Checks of a source that is an operation of an AWS API."""

from collections.abc import Mapping, Sequence
from typing import Any

from botocore import xform_name

from scheduler.checks.aws_replies import AwsReplies
from scheduler.checks.aws_requests import Asked, AwsRequests
from scheduler.checks.json_values import streamed
from scheduler.checks.spec import AskAws, Reading
from scheduler.checks.templates import JobRef
from scheduler.core.check_replies import NotTogether, Report, Unanswered
from scheduler.core.service_calls import call_error
from scheduler.core.token_row import TokenRow
from sdk_errors import SDK_ERRORS

LARGEST_STREAM = 1_048_576
"""Bytes of an output's stream that are read; a longer one is no answer."""
_MISREAD = (AttributeError, KeyError, TypeError, ValueError, RecursionError)
"""What the SDK's parsers raise over JSON of another shape; they have no error of their own for that."""


class _TooLargeError(Exception):
    """A stream of an output is longer than may be."""


class AwsChecks:
    """Asks an operation for one job, or for as many as its entry says at once."""

    def __init__(self, ask: AskAws, reading: Reading, client: Any) -> None:
        """Take how to ask and what replies mean. Raises AttributeError where the client knows no such operation."""
        self.most = ask.batch.most if ask.batch else 1
        self._requests = AwsRequests(ask)
        self._replies = AwsReplies(ask, reading)
        self._call = getattr(client, xform_name(ask.operation))

    def check(self, row: TokenRow) -> Report:
        """Ask for one job's status."""
        plan = self._requests.planned([_job(row)])
        if plan.unfit:
            return plan.unfit[0]
        reports = self._ask(plan.asked[0])
        assert not isinstance(reports, NotTogether)  # noqa: S101  of one job nothing else is said
        return reports[0]

    def check_together(self, rows: Sequence[TokenRow]) -> list[Report] | NotTogether:
        """Ask for the status of several jobs in one request.

        Where they do not fit into one, each is asked for by itself, by the threads that wait for them: one after the
        other, several requests would take longer than the check of one job may.
        """
        plan = self._requests.planned([_job(row) for row in rows])
        if len(plan.asked) > 1:
            return NotTogether("these jobs do not fit into one request")
        reports: dict[int, Report] = dict(plan.unfit)
        for asked in plan.asked:
            found = self._ask(asked)
            if isinstance(found, NotTogether):
                return found
            reports |= zip(asked.places, found, strict=True)
        return [reports[place] for place in range(len(rows))]

    def _ask(self, asked: Asked) -> list[Report] | NotTogether:
        try:
            reply = _whole(self._call(**asked.call.parameters))
        except SDK_ERRORS as error:
            return self._replies.read(asked, call_error(error))
        except _TooLargeError as error:
            return [Unanswered(str(error))] * len(asked.places)
        except _MISREAD as error:
            text = f"the reply of {asked.call.service} {asked.call.operation} is not what its model says: {error}"
            return [Unanswered(text)] * len(asked.places)
        return self._replies.read(asked, reply)


def _whole(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the streams of an output. Raises errors of the SDK, and _TooLargeError."""
    read = {}
    for name, stream in reply.items():
        if hasattr(stream, "read"):
            content = stream.read(LARGEST_STREAM + 1)
            stream.close()
            if len(content) > LARGEST_STREAM:
                message = f"{name} of the output is longer than {LARGEST_STREAM:,} bytes"
                raise _TooLargeError(message)
            read[name] = streamed(content)
    return {**reply, **read}


def _job(row: TokenRow) -> JobRef:
    return JobRef(row.job_id, row.source_input or {})
