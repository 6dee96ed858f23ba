"""Asking a source once, so that a person sees the request without its secrets, the reply, and what follows."""

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any

from scheduler import clock
from scheduler.aws.api_asked import ask_api
from scheduler.aws.clients import polling_clients
from scheduler.aws.clock_skew import ClockSkew
from scheduler.aws.functions import Functions
from scheduler.checks.readings import Reader, Verdict
from scheduler.checks.spec import AskAws, AskHttp, AskLambda, SourceSpec
from scheduler.checks.templates import JobRef
from scheduler.core.answers import Succeed, fail, succeed
from scheduler.core.check_replies import Completed, Failed, InProgress, Report, Unanswered, Unasked
from scheduler.core.instant import Instant, format_iso
from scheduler.core.invocation import Invocation, check_payload, read_check
from scheduler.settings import Settings
from scheduler.source_making import SourceMaker
from scheduler.sources.entry_checks import SECRET_HEADERS
from scheduler.sources.http import Asked as AskedHttp


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked and replied; `rule` is the list or acceptor that matched, where one did."""

    request: Mapping[str, Any]
    reply: Any
    rule: str | None
    report: Report


async def ask_once(settings: Settings, spec: SourceSpec, job_id: str, given: Mapping[str, Any]) -> Asked:
    """Ask a source for one job's status, as a poll does. Raises SchedulerError where nothing could be asked."""
    seconds = spec.limits.timeout_seconds or settings.check_timeout_seconds
    async with AsyncExitStack() as stack:
        match spec.ask:
            case AskLambda():
                clients = await stack.enter_async_context(polling_clients(1, seconds, ClockSkew(clock.now)))
                return await _ask_function(spec.ask, Functions(clients), job_id)
            case AskAws():
                api = SourceMaker(None, 1, seconds, stack).clients(1, seconds)
                asked = await ask_api(spec.ask, spec.reading, api, JobRef(job_id, given), seconds)
                return Asked(asked.request, asked.reply, asked.rule, asked.report)
        return _of_http(spec, await (await SourceMaker(None, 1, seconds, stack).http(spec)).ask(job_id, given))


def _of_http(spec: SourceSpec, asked: AskedHttp) -> Asked:
    """Tell of a request without its auth, which it does not have yet, and of a reply out of which secrets are taken."""
    request: dict[str, Any] = {}
    if asked.request:
        request = {"method": asked.request.method, "url": asked.request.url, "headers": _shown(asked.request.headers)}
        request |= {"body": asked.request.body.decode("utf-8", "replace")} if asked.request.body else {}
        request |= {"auth": next(iter(spec.ask.auth))} if isinstance(spec.ask, AskHttp) and spec.ask.auth else {}
    if asked.reply is None:
        return Asked(request, None, None, asked.report)
    body = _parsed(asked.reply.body or b"")
    data = {"status": asked.reply.status, "headers": dict(asked.reply.headers), "body": body}
    rule = None
    if is_clear(asked.report):
        with suppress(ValueError):
            verdict = Reader(spec.reading).judge(data, status=asked.reply.status)
            rule = verdict.rule if isinstance(verdict, Verdict) else None
    return Asked(request, data, rule, asked.report)


def _shown(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: "***" if name.lower() in SECRET_HEADERS else value for name, value in headers.items()}


async def _ask_function(ask: AskLambda, functions: Functions, job_id: str) -> Asked:
    payload = check_payload(job_id)
    invoked = await functions.invoke(ask.function, payload)
    reply = _parsed(invoked.payload) if isinstance(invoked, Invocation) else {"error": invoked.error}
    rule = f"status {reply['status']}" if isinstance(reply, dict) and "status" in reply else None
    return Asked({"function": ask.function, "payload": json.loads(payload)}, reply, rule, read_check(invoked))


def answer_of(report: Report, job_id: str, now: Instant) -> dict[str, Any]:
    """Give what Step Functions would be told of a first check with this report, or why nothing."""
    match report:
        case InProgress():
            return {"action": "none", "why": "the job goes on"}
        case Completed(result):
            output = {"jobId": job_id, "status": "COMPLETED", "completedAt": format_iso(now), "attempts": 1}
            answer = succeed(output | {"result": result})
            if isinstance(answer, Succeed):
                return {"action": "SendTaskSuccess", "output": json.loads(answer.output)}
            return {"action": "SendTaskFailure", "error": answer.error, "cause": answer.cause}
        case Failed(reason):
            answer = fail("JobFailed", reason)
            return {"action": "SendTaskFailure", "error": answer.error, "cause": answer.cause}
        case Unanswered(error, unknown_job):
            then = "; three such replies in a row end the job" if unknown_job else ""
            return {"action": "none", "why": f"an attempt is spent{then}: {error}"}
        case Unasked(error):
            return {"action": "none", "why": f"the source was not asked, nothing is spent: {error}"}


def is_clear(report: Report) -> bool:
    """Whether a reply says clearly how the job stands."""
    return isinstance(report, InProgress | Completed | Failed)


def _parsed(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")
