"""Sources that are APIs of AWS: any operation of any service that botocore knows."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from botocore import xform_name

from scheduler.aws.api_clients import ApiClients
from scheduler.aws.sdk_errors import SDK_ERRORS, reading
from scheduler.checks.aws_replies import AwsReplies
from scheduler.checks.aws_requests import Asked, AwsCall, AwsRequests
from scheduler.checks.json_values import streamed
from scheduler.checks.spec import AskAws, Reading
from scheduler.checks.templates import JobRef
from scheduler.core.check_replies import NotTogether, Report, Unanswered, Unasked
from scheduler.core.service_calls import Refusal, call_error
from scheduler.core.token_row import TokenRow
from scheduler.errors import CloudError, SchedulerError

LARGEST_STREAM = 1_048_576
"""Bytes of an output's stream that are read; a longer one is no answer."""
_MOST_DENIED = 10_000
_CONNECT_SECONDS = 1.0

_MISREAD = (AttributeError, KeyError, TypeError, ValueError, RecursionError)
"""What the SDK's parsers raise over JSON of another shape; they have no error of their own for that."""


class TooLargeError(Exception):
    """A stream of an output is longer than may be."""


class AwsSource:
    """Asks an operation of an AWS API for jobs, one by one, or together where the entry says how."""

    def __init__(self, ask: AskAws, means: Reading, clients: ApiClients) -> None:
        """Take how to ask, what replies mean, and the clients. Raises ValueError or JMESPathError."""
        self._ask = ask
        self._clients = clients
        self._requests = AwsRequests(ask)
        self._replies = AwsReplies(ask, means)
        self._answers = 0
        self._denied: dict[str, int] = {}
        """How many answers there had been when access was last denied for a job."""

    async def check(self, row: TokenRow) -> Report:
        """Ask for one job's status."""
        plan = self._requests.planned([_job(row)])
        if plan.unfit:
            return plan.unfit[0]
        reports = await self._asked(plan.asked[0])
        if isinstance(reports, NotTogether):  # which one job alone never is
            return Unanswered(reports.error)
        return self._weighed(row.job_id, reports[0])

    async def check_together(self, rows: Sequence[TokenRow]) -> list[Report] | NotTogether:
        """Ask for the status of several jobs at once; whose inputs make the request differ are in one of their own."""
        plan = self._requests.planned([_job(row) for row in rows])
        found: dict[int, Report] = dict(plan.unfit)
        for asked, reports in zip(
            plan.asked, await asyncio.gather(*(self._asked(asked) for asked in plan.asked)), strict=True
        ):
            if isinstance(reports, NotTogether):
                return reports
            found |= dict(zip(asked.places, reports, strict=True))
        return [self._weighed(row.job_id, found[place]) for place, row in enumerate(rows)]

    async def probe(self) -> None:
        """Ask whether there are credentials and an endpoint that can be reached. Raises CloudError.

        No operation is asked: there is none that every service has, and that costs nothing.
        """
        async with reading("AWS API", self._ask.service):
            try:
                client = await self._clients.client(self._ask)
            except SchedulerError as error:
                raise CloudError(str(error), getattr(error, "refusal", None)) from error
            await self._clients.credentials(self._ask)
        await _reached(str(client.meta.endpoint_url))

    async def _asked(self, asked: Asked) -> list[Report] | NotTogether:
        try:
            client = await self._clients.client(self._ask)
        except SchedulerError as error:
            # No region is set, or there are no credentials: no job's fault.
            return [Unasked(str(error), getattr(error, "refusal", None) or Refusal.UNREACHABLE)] * len(asked.places)
        except SDK_ERRORS as error:
            return self._replies.read(asked, call_error(error))
        try:
            reply = await called(client, asked.call)
        except SDK_ERRORS as error:
            failure = call_error(error)
            if failure.refusal is Refusal.CREDENTIALS:
                await self._clients.refused(self._ask, client)
            return self._replies.read(asked, failure)
        except TooLargeError as error:
            return [Unanswered(str(error))] * len(asked.places)
        except _MISREAD as error:
            text = f"the reply of {asked.call.service} {asked.call.operation} is not what its model says: {error}"
            return [Unanswered(text)] * len(asked.places)
        return self._replies.read(asked, reply)

    def _weighed(self, job_id: str, report: Report) -> Report:
        """Give the report; where access is denied again for a job while others are answered, it concerns that job.

        A job whose id is somebody else's, an ARN of another account say, would stop all others otherwise.
        """
        match report:
            case Unasked(error, Refusal.DENIED):
                before = self._denied.pop(job_id, None)
                self._denied[job_id] = self._answers
                while len(self._denied) > _MOST_DENIED:
                    del self._denied[next(iter(self._denied))]
                if before is not None and self._answers > before:
                    return Unanswered(f"{error}, and not for other jobs")
            case Unasked():
                pass
            case Unanswered(unknown_job=False):
                pass
            case _:
                self._answers += 1
                self._denied.pop(job_id, None)
        return report


def _job(row: TokenRow) -> JobRef:
    return JobRef(row.job_id, row.source_input or {})


async def called(client: Any, call: AwsCall) -> Mapping[str, Any]:
    """Make a call and read the streams of its output. Raises errors of the SDK, and TooLargeError."""
    operation = getattr(client, xform_name(call.operation))
    reply: dict[str, Any] = await operation(**call.parameters)
    async with AsyncExitStack() as open_streams:
        streams = {name: held for name, held in reply.items() if hasattr(held, "read")}
        for stream in streams.values():
            await open_streams.enter_async_context(stream)
        return reply | {name: streamed(await _content(name, stream)) for name, stream in streams.items()}


async def _content(name: str, stream: Any) -> bytes:
    content = b""
    while part := await stream.read(LARGEST_STREAM + 1 - len(content)):
        content += part
        if len(content) > LARGEST_STREAM:
            message = f"the output's {name} is longer than {LARGEST_STREAM} bytes"
            raise TooLargeError(message)
    return content


async def _reached(url: str) -> None:
    """See that somebody listens at an endpoint, unless a proxy stands before it. Raises CloudError."""
    parts = urlsplit(url)
    if parts.scheme in getproxies() or not parts.hostname:
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(2 * _CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, port)
        writer.close()
    except OSError as error:  # a time-out is one, too
        message = f"nobody answers at {url}: {error or 'no connection in time'}"
        raise CloudError(message, Refusal.UNREACHABLE) from error
