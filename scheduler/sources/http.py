"""HTTP sources: a job's status is asked of an HTTP API, as an entry of the file of sources describes it."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from scheduler.checks.http_auth import Authorized
from scheduler.checks.http_replies import HttpReader, HttpReply
from scheduler.checks.http_requests import (
    MOST_REDIRECTS,
    REDIRECTS,
    HttpRequest,
    check_ask,
    http_request,
    redirected,
)
from scheduler.checks.spec import AskHttp, SourceSpec
from scheduler.checks.templates import TemplateError, UnfitJobError
from scheduler.core.check_replies import Report, Unanswered, Unasked
from scheduler.core.service_calls import Refusal
from scheduler.core.token_row import TokenRow
from scheduler.errors import CloudError
from scheduler.sources.http_auth import Authorizer, NotAuthorizedError, Signer
from scheduler.sources.http_exchange import NoReply, exchange
from scheduler.sources.secrets import Secrets

_CONNECT_SECONDS = 3.0
_CONNECT_PART = 0.25
"""A connection that takes longer than this part of a check's time is no check: nothing was asked yet."""
_AUTH_PART = 0.5
_UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking once: the request without its auth, the reply where there was one, and what it means."""

    request: HttpRequest | None
    reply: HttpReply | None
    report: Report


class HttpSource:
    """Asks an HTTP API. Each check is over within the source's own time, and reads a bounded reply."""

    def __init__(
        self,
        spec: SourceSpec,
        session: aiohttp.ClientSession,
        secrets: Secrets,
        default_timeout: float,
        signer: Signer | None = None,
    ) -> None:
        """Take a source and the connections that are its own. Raises TemplateError, or jmespath's JMESPathError."""
        if not isinstance(spec.ask, AskHttp):
            message = f"source {spec.name} is not asked over HTTP"
            raise TypeError(message)
        check_ask(spec.ask)
        self._name = spec.name
        self._ask = spec.ask
        self._reader = HttpReader(spec.reading)
        self._session = session
        self._seconds = spec.limits.timeout_seconds or default_timeout
        self._connect_seconds = min(_CONNECT_SECONDS, self._seconds * _CONNECT_PART)
        self._authorizer = Authorizer(spec.ask.auth, secrets, signer, self._exchange)

    async def check(self, row: TokenRow) -> Report:
        """Ask for one job's status."""
        return (await self.ask(row.job_id, row.source_input)).report

    async def ask(self, job_id: str, given: Mapping[str, Any] | None = None) -> Asked:
        """Ask for one job's status, and give all that came of it."""
        try:
            request = http_request(self._ask, job_id, given)
        except (UnfitJobError, TemplateError) as error:
            return Asked(None, None, Unanswered(f"the job cannot be asked for: {error}"))
        try:
            async with asyncio.timeout(self._seconds):
                reply = await self._replied(request)
        except TimeoutError:
            reply = Unanswered(f"the source gave no reply within {self._seconds:g} s")
        if isinstance(reply, HttpReply):
            return Asked(request, reply, self._reader.read(reply, time.time()))
        return Asked(request, None, reply)

    async def probe(self) -> None:
        """Ask whether the source is there, with no job's request and without auth. Raises CloudError.

        It is where anything takes a connection: small services answer a HEAD with a body, hang up, or never answer one,
        and serve their jobs well. Polls tell the rest.
        """
        split = urlsplit(self._ask.url)
        origin = f"{split.scheme}://{split.netloc}"
        try:
            async with asyncio.timeout(self._seconds):
                await self._authorized(HttpRequest("HEAD", f"{origin}/", {}))
                reply = await self._exchange(HttpRequest("HEAD", f"{origin}/", {"User-Agent": "callback-scheduler"}))
        except NotAuthorizedError as error:
            message = f"source {self._name}: {error}"
            raise CloudError(message, error.report.refusal) from error
        except TimeoutError:
            return  # connecting has a time-out of its own
        if isinstance(reply, NoReply) and reply.refusal:
            message = f"source {self._name} at {origin}: {reply.error}"
            raise CloudError(message, reply.refusal)

    async def _replied(self, request: HttpRequest) -> HttpReply | Report:
        """Ask, and once more with other credentials where those that are kept are refused and others can be had."""
        try:
            authorized, reply = await self._followed(request)
            refused = isinstance(reply, HttpReply) and reply.status == _UNAUTHORIZED
            if refused and await self._others(authorized):
                _, reply = await self._followed(request)
        except NotAuthorizedError as error:
            return error.report
        return reply

    async def _followed(self, request: HttpRequest) -> tuple[Authorized, HttpReply | Report]:
        """Ask, and follow redirects that stay with the source: its secrets go nowhere else."""
        for _ in range(MOST_REDIRECTS + 1):
            authorized = await self._authorized(request)
            reply = await self._exchange(authorized.request)
            if isinstance(reply, NoReply):
                return authorized, (Unasked if reply.refusal else Unanswered)(*_told(reply))
            reply = authorized.hide_in(reply)
            if reply.status not in REDIRECTS or self._reader.takes_redirect(reply.status):
                return authorized, reply
            onward = redirected(request, reply.status, reply.headers.get("location"))
            if onward is None:
                return authorized, Unanswered(
                    f"the source replied with {reply.status} and leads to another host, scheme or port, or nowhere"
                )
            request = onward
        return authorized, Unanswered(f"the source redirects more than {MOST_REDIRECTS} times")

    async def _authorized(self, request: HttpRequest) -> Authorized:
        try:
            async with asyncio.timeout(self._seconds * _AUTH_PART):
                return await self._authorizer.authorized(request)
        except TimeoutError:
            report = Unasked("there was nothing to ask with in time", Refusal.UNREACHABLE)
            raise NotAuthorizedError(report) from None

    async def _others(self, refused: Authorized) -> bool:
        """Tell whether there is, in time, something else to ask with."""
        try:
            async with asyncio.timeout(self._seconds * _AUTH_PART):
                return await self._authorizer.refused(refused)
        except TimeoutError:
            return False

    async def _exchange(self, request: HttpRequest) -> HttpReply | NoReply:
        return await exchange(self._session, request, self._connect_seconds)


def _told(reply: NoReply) -> tuple[Any, ...]:
    return (reply.error, reply.refusal) if reply.refusal else (reply.error,)
