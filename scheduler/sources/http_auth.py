"""Auth of an HTTP source: its secrets are put into a request when it goes out, and read anew where they are refused."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from scheduler.checks.http_auth import (
    AccessToken,
    Authorized,
    UnusableSecretError,
    auth_header,
    header_secrets,
    read_token,
    token_request,
)
from scheduler.checks.http_replies import HttpReply
from scheduler.checks.http_requests import HttpRequest
from scheduler.core.check_replies import Unasked
from scheduler.core.service_calls import Refusal
from scheduler.errors import CloudError
from scheduler.sources.http_exchange import NoReply
from scheduler.sources.kept import Kept
from scheduler.sources.secrets import Secrets

_TOKEN_SECONDS = 10.0
_SECURITY_TOKEN = "X-Amz-Security-Token"  # noqa: S105  the name of a header

Exchange = Callable[[HttpRequest], Awaitable[HttpReply | NoReply]]


class Signer(Protocol):
    """Whoever signs requests as AWS has it."""

    async def sign(self, request: HttpRequest, service: str, region: str | None, role_arn: str | None) -> HttpRequest:
        """Give the request with its signature. Raises CloudError where there is nothing to sign with."""
        ...


class NotAuthorizedError(Exception):
    """There is nothing to ask with; `report` says why, and it is no job's fault."""

    def __init__(self, report: Unasked) -> None:
        self.report = report
        super().__init__(report.error)


class Authorizer:
    """Authorizes the requests of one source, as its entry says."""

    def __init__(
        self, auth: Mapping[str, Any] | None, secrets: Secrets, signer: Signer | None, exchange: Exchange
    ) -> None:
        self._auth = auth or {}
        self._secrets = secrets
        self._signer = signer
        self._exchange = exchange
        self._token: Kept[AccessToken] = Kept(self._fetch_token)

    async def authorized(self, request: HttpRequest) -> Authorized:
        """Give a request as it is to go out. Raises NotAuthorizedError."""
        try:
            match self._auth:
                case {"sigv4": sigv4}:
                    return await self._signed(request, sigv4)
                case {"oauth2": _}:
                    token = (await self._token.get()).value
                    return Authorized(request.having({"Authorization": f"Bearer {token}"}), (token,), time.monotonic())
                case {}:
                    if not self._auth:
                        return Authorized(request)
            values = {name: await self._secrets.read(where) for name, where in self._references().items()}
            headers = auth_header(self._auth, values)
            return Authorized(request.having(headers), header_secrets(headers, values), time.monotonic())
        except CloudError as error:
            raise NotAuthorizedError(Unasked(str(error), error.refusal or Refusal.CREDENTIALS)) from error
        except UnusableSecretError as error:
            raise NotAuthorizedError(Unasked(str(error), Refusal.CREDENTIALS)) from error

    async def refused(self, authorized: Authorized) -> bool:
        """Note that a source refused a request, and tell whether there is something else to ask with."""
        if "oauth2" in self._auth:
            self._token.forget(authorized.at)
            return True
        self._forget(authorized.at)
        again = await self.authorized(authorized.request)
        return again.secrets != authorized.secrets and "sigv4" not in self._auth

    def _forget(self, sent_at: float) -> None:
        for where in self._references().values():
            self._secrets.forget(where, sent_at)

    def _references(self) -> dict[str, Any]:
        """Give where each of the secrets is kept."""
        if "bearer" in self._auth:
            return {"bearer": self._auth["bearer"]}
        given: Mapping[str, Any] = next(iter(self._auth.values()), {})
        names = ("username", "password", "value", "client_id", "client_secret")
        return {name: given[name] for name in names if name in given}

    async def _signed(self, request: HttpRequest, sigv4: Mapping[str, str]) -> Authorized:
        if self._signer is None:
            raise NotAuthorizedError(Unasked("nothing here signs requests as AWS has it", Refusal.CREDENTIALS))
        signed = await self._signer.sign(request, sigv4["service"], sigv4.get("region"), sigv4.get("role_arn"))
        return Authorized(signed, tuple(filter(None, [signed.headers.get(_SECURITY_TOKEN)])), time.monotonic())

    async def _fetch_token(self) -> tuple[AccessToken, float]:
        oauth2 = self._auth["oauth2"]
        client_id, secret = [await self._secrets.read(oauth2[name]) for name in ("client_id", "client_secret")]
        asking = Authorized(token_request(oauth2, client_id, secret), (secret,), time.monotonic())
        try:
            async with asyncio.timeout(_TOKEN_SECONDS):
                reply = await self._exchange(asking.request)
        except TimeoutError:
            reply = NoReply("no reply in time")
        if isinstance(reply, NoReply):
            raise NotAuthorizedError(Unasked(f"no token was given: {reply.error}", Refusal.UNREACHABLE))
        token = read_token(asking.hide_in(reply))
        if isinstance(token, Unasked):
            if token.refusal is Refusal.CREDENTIALS:
                self._forget(asking.at)
            raise NotAuthorizedError(token)
        return token, token.seconds
