"""Auth of an HTTP API: the headers that secrets make, and OAuth 2's client credentials. No secret is shown."""

import base64
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode

from scheduler.checks.http_replies import HttpReply, parsed_json, reply_error
from scheduler.checks.http_requests import HttpRequest
from scheduler.core.check_replies import Unasked
from scheduler.core.service_calls import Refusal

_TOO_MANY, _UNAVAILABLE, _SERVER_FAULT, _OK = 429, 503, 500, 200
_KEPT_SECONDS = 300.0
"""A token of which nobody says how long it lasts is fetched anew so often."""
_LONGEST_SECONDS = 86_400.0
_EARLY = 0.1
"""A token is fetched anew when a tenth of its time is left, and no more than a minute."""
_EARLY_SECONDS = 60.0


_SHORTEST = 6
"""Of a secret that is taken out of what a source says: what is shorter may be a word of any reply."""


class UnusableSecretError(ValueError):
    """A secret that cannot be sent; the text does not show it."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token of OAuth 2, and for how many seconds it is to be used."""

    value: str = field(repr=False)
    seconds: float


@dataclass(frozen=True, slots=True)
class Authorized:
    """A request as it goes out, and the secrets in it."""

    request: HttpRequest
    secrets: tuple[str, ...] = field(default=(), repr=False)
    at: float = 0.0
    """When its secrets had been read, by the clock of whoever asks."""

    def hide(self, text: str) -> str:
        """Take the secrets out of a text that a source wrote."""
        for secret in self.secrets:
            text = text.replace(secret, "***") if len(secret) >= _SHORTEST else text
        return text

    def hide_in(self, reply: HttpReply) -> HttpReply:
        """Take them out of a reply: a source that echoes them must not have them told further."""
        body = reply.body
        for secret in self.secrets:
            if body and len(secret) >= _SHORTEST:
                body = body.replace(secret.encode(), b"***")
        headers = {name: self.hide(value) for name, value in reply.headers.items()}
        return HttpReply(reply.status, headers, body)


def auth_header(auth: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    """Give the header of bearer, basic or header; `values` are the secrets by their keys in the entry.

    Raises UnusableSecretError.
    """
    if "basic" in auth:
        pair = f"{values['username']}:{values['password']}"
        if ":" in values["username"]:
            message = "a user's name for basic auth has no colon"
            raise UnusableSecretError(message)
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    if "header" in auth:
        return {auth["header"]["name"]: _line(values["value"])}
    return {"Authorization": f"Bearer {_line(values['bearer'])}"}


def header_secrets(headers: Mapping[str, str], values: Mapping[str, str]) -> tuple[str, ...]:
    """Give what must not be told further of such a header and of the values that it was made of."""
    hidden = [value for name, value in values.items() if name != "username"]
    return (*(value.removeprefix("Basic ") for value in headers.values()), *hidden)


def token_request(oauth2: Mapping[str, Any], client_id: str, client_secret: str) -> HttpRequest:
    """Give the request for a token; the client is named as RFC 6749 wants every server to take it, by basic auth."""
    form = {"grant_type": "client_credentials"} | {
        name: oauth2[name] for name in ("scope", "audience") if name in oauth2
    }
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "callback-scheduler",
        "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
    }
    return HttpRequest("POST", oauth2["token_url"], headers, urlencode(form).encode())


def read_token(reply: HttpReply, now: float | None = None) -> AccessToken | Unasked:
    """Read the reply to such a request; without a token no job can be asked for, and none pays."""
    if reply.status != _OK:
        error = f"no token was given: {reply_error(reply)}"
        if reply.status == _TOO_MANY or (reply.status == _UNAVAILABLE and reply.again_seconds(now)):
            return Unasked(error, Refusal.THROTTLED, reply.again_seconds(now))
        return Unasked(error, Refusal.UNAVAILABLE if reply.status >= _SERVER_FAULT else Refusal.CREDENTIALS)
    try:
        given = parsed_json(reply.body or b"")
        token, seconds = _line(given["access_token"]), float(given.get("expires_in", _KEPT_SECONDS))
    except (ArithmeticError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Unasked("no token was given: the reply has no access_token that can be used", Refusal.UNAVAILABLE)
    # Of a lifetime that is no number nothing is known.
    seconds = _KEPT_SECONDS if math.isnan(seconds) else min(max(seconds, 0.0), _LONGEST_SECONDS)
    return AccessToken(token, seconds - min(_EARLY * seconds, _EARLY_SECONDS))


def _line(secret: str) -> str:
    if not re.fullmatch(r"[\t\x20-\x7e]+", secret):
        message = "a secret is empty, or has characters that cannot stand in a header"
        raise UnusableSecretError(message)
    return secret
