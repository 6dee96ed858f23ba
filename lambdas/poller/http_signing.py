"""Who asks an HTTP API: a request gets its headers from secrets, a token of OAuth 2 or a signature of AWS."""

import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from held_secrets import SecretError, Secrets
from http_exchange import BrokenError, UnreachedError, exchange
from scheduler.checks.http_auth import (
    Authorized,
    UnusableSecretError,
    auth_header,
    header_secrets,
    read_token,
    token_request,
)
from scheduler.checks.http_requests import HttpRequest
from scheduler.core.check_replies import Unasked
from scheduler.core.service_calls import Refusal, call_error
from sdk_errors import SDK_ERRORS

Session = Callable[[str | None], Any]
"""Gives a session of boto3 for a role; None is the function's own."""


class Authority:
    """Puts an entry's auth onto its requests."""

    def __init__(self, auth: Mapping[str, Any] | None, secrets: Secrets, session: Session) -> None:
        """Take an entry's auth, and where secrets and AWS credentials come from."""
        self._auth = auth or {}
        self._secrets = secrets
        self._session = session
        self._token: tuple[str, float] | None = None
        self._lock = threading.Lock()

    def put_onto(self, request: HttpRequest, until: float) -> Authorized | Unasked:
        """Give the request with what says who asks; without that, no job can be asked for, and none pays."""
        try:
            if "oauth2" in self._auth:
                token = self._access_token(self._auth["oauth2"], until)
                if isinstance(token, Unasked):
                    return token
                return Authorized(request.having({"Authorization": f"Bearer {token}"}), (token,))
            if "sigv4" in self._auth:
                return self._signed(request, self._auth["sigv4"])
            if not self._auth:
                return Authorized(request)
            values = {name: self._secrets.read(reference) for name, reference in self._references().items()}
            header = auth_header(self._auth, values)
            return Authorized(request.having(header), header_secrets(header, values))
        except SecretError as error:
            return error.report()
        except UnusableSecretError as error:
            return Unasked(str(error), Refusal.CREDENTIALS)

    def forget(self) -> None:
        """Read secrets and token anew when they are next needed: the source has refused them."""
        with self._lock:
            self._token = None
        for reference in self._references().values():
            self._secrets.forget(reference)

    def _references(self) -> dict[str, Any]:
        """Give where the entry's secrets are kept, by their keys."""
        match self._auth:
            case {"basic": basic}:
                return {"username": basic["username"], "password": basic["password"]}
            case {"header": header}:
                return {"value": header["value"]}
            case {"bearer": bearer}:
                return {"bearer": bearer}
            case {"oauth2": oauth2}:
                return {"client_id": oauth2["client_id"], "client_secret": oauth2["client_secret"]}
        return {}

    def _access_token(self, oauth2: Mapping[str, Any], until: float) -> str | Unasked:
        """Give the token that is kept, or fetch one. Raises SecretError."""
        # One after the other: the polls of a batch all want the same one.
        with self._lock:
            if self._token is None or monotonic() >= self._token[1]:
                names = self._references()
                client_id, secret = (self._secrets.read(names[name]) for name in ("client_id", "client_secret"))
                asking = Authorized(token_request(oauth2, client_id, secret), (secret,))
                try:
                    given = read_token(asking.hide_in(exchange(asking.request, until)))
                except (UnreachedError, BrokenError) as error:
                    return Unasked(f"no token was given: {error}", Refusal.UNREACHABLE)
                if isinstance(given, Unasked):
                    if given.refusal is Refusal.CREDENTIALS:
                        for reference in names.values():
                            self._secrets.forget(reference)
                    return given
                self._token = (given.value, monotonic() + given.seconds)
            return self._token[0]

    def _signed(self, request: HttpRequest, sigv4: Mapping[str, Any]) -> Authorized | Unasked:
        try:
            session = self._session(sigv4.get("role_arn"))
            credentials = session.get_credentials()
            if credentials is None:
                return Unasked("there are no credentials of AWS to sign with", Refusal.CREDENTIALS)
            region = sigv4.get("region") or session.region_name
            frozen = credentials.get_frozen_credentials()
            signed = AWSRequest(request.method, request.url, dict(request.headers), request.body)
            SigV4Auth(frozen, sigv4["service"], region).add_auth(signed)
        except SDK_ERRORS as error:
            failure = call_error(error)
            return Unasked(f"{failure.code}: {failure.message}", failure.refusal or Refusal.CREDENTIALS)
        return Authorized(request.having(dict(signed.headers.items())), (frozen.token,) if frozen.token else ())
