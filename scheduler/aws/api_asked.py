"""Asking an AWS API once, so that all of it can be shown: the call, its output or error, and the rule that matched."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.aws.api_clients import ApiClients
from scheduler.aws.api_source import TooLargeError, called
from scheduler.aws.sdk_errors import SDK_ERRORS
from scheduler.checks.aws_replies import AwsReplies
from scheduler.checks.aws_requests import AwsRequests
from scheduler.checks.json_values import METADATA, output_of
from scheduler.checks.readings import Reader, Verdict
from scheduler.checks.spec import AskAws, Reading
from scheduler.checks.templates import JobRef
from scheduler.core.check_replies import NotTogether, Report, Unanswered
from scheduler.core.service_calls import call_error


@dataclass(frozen=True, slots=True)
class AskedApi:
    """What came of asking once; `request` is empty where there was none to send."""

    request: Mapping[str, Any]
    reply: Any
    rule: str | None
    report: Report


class _Watched(Reader):
    """A reader that remembers by which rule it judged."""

    rule: str | None = None

    def report(self, verdict: Verdict, data: Any, *given: Any) -> Report:
        self.rule = verdict.rule
        return super().report(verdict, data, *given)


async def ask_api(ask: AskAws, reading: Reading, clients: ApiClients, job: JobRef, seconds: float) -> AskedApi:
    """Ask for one job's status. Raises SchedulerError where there is no client to ask with."""
    plan = AwsRequests(ask).planned([job])
    if plan.unfit:
        return AskedApi({}, None, None, plan.unfit[0])
    asked = plan.asked[0]
    call = asked.call
    request = {"service": call.service, "operation": call.operation, "parameters": call.parameters}
    replies = AwsReplies(ask, reading)
    replies.reader = watched = _Watched(reading)
    try:
        async with asyncio.timeout(seconds):
            reply = await called(await clients.client(ask), call)
    except TimeoutError:
        return AskedApi(request, None, None, Unanswered(f"there was no reply within {seconds:g} s"))
    except TooLargeError as error:
        return AskedApi(request, None, None, Unanswered(str(error)))
    except SDK_ERRORS as error:
        failure = call_error(error)
        report = _one(replies.read(asked, failure))
        return AskedApi(request, {"Error": {"Code": failure.code, "Message": failure.message}}, watched.rule, report)
    report = _one(replies.read(asked, reply))
    return AskedApi(request, _shown(reply), watched.rule, report)


def _shown(reply: Mapping[str, Any]) -> dict[str, Any]:
    """Give an output as the entry's paths see it; one that they cannot be led through is shown as it is."""
    try:
        return output_of(reply)
    except TypeError:
        return {key: value for key, value in reply.items() if key != METADATA}


def _one(reports: list[Report] | NotTogether) -> Report:
    return Unanswered(reports.error) if isinstance(reports, NotTogether) else reports[0]
