"""One exchange with an HTTP API: a request goes out byte for byte, and a bounded part of its reply is read."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import (  # type: ignore[attr-defined]  # typeshed leaves the second out
    getproxies_environment,
    proxy_bypass_environment,
)

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from scheduler.checks.http_replies import MOST_BYTES, HttpReply
from scheduler.checks.http_requests import HttpRequest
from scheduler.core.service_calls import Refusal

_SPARE_CONNECTIONS = 2
"""For tokens and probes, beside the checks."""
_KEPT_OPEN_SECONDS = 12
_NEVER_SENT = (
    aiohttp.ClientConnectorError,  # names, connections, TLS
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)


@dataclass(frozen=True, slots=True)
class NoReply:
    """No reply; `refusal` says why the request surely never went out, None that it may have."""

    error: str
    refusal: Refusal | None = None


def open_http_session(slots: int, resolver: AbstractResolver | None = None) -> aiohttp.ClientSession:
    """Open the connections of one source, as many as it has slots: one that hangs takes none from another.

    Certificates are always checked, against those that the system trusts or SSL_CERT_FILE names.
    """
    connector = aiohttp.TCPConnector(
        limit=slots + _SPARE_CONNECTIONS, resolver=resolver, keepalive_timeout=_KEPT_OPEN_SECONDS
    )
    # aiohttp's own trust_env would also send what a .netrc holds.
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
    )


def proxy_for(url: str) -> str | None:
    """Give the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for a URL, as AWS's SDK reads them too."""
    split = urlsplit(url)
    proxies = getproxies_environment()
    if not proxies or proxy_bypass_environment(split.netloc, proxies):
        return None
    # A web server that is called through CGI has HTTP_PROXY from whoever calls it.
    return None if split.scheme == "http" and "REQUEST_METHOD" in os.environ else proxies.get(split.scheme)


async def exchange(session: aiohttp.ClientSession, request: HttpRequest, connect_seconds: float) -> HttpReply | NoReply:
    """Send a request and read its reply; the caller sets the deadline. Never raises an error of aiohttp."""
    proxy, proxy_auth = _proxy(request.url)
    try:
        response = await session.request(
            request.method,
            URL(request.url, encoded=True),
            headers=request.headers,
            data=request.body,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
            proxy=proxy,
            proxy_auth=proxy_auth,
        )
        try:
            body = await _body(response)
        finally:
            # What is left of a reply is not read: its connection goes.
            if response.content.at_eof():
                response.release()
            else:
                response.close()
    except _NEVER_SENT as error:
        return NoReply(f"the source cannot be reached: {_told(error)}", Refusal.UNREACHABLE)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return NoReply(f"the source's reply broke off or is no HTTP: {_told(error)}")
    return HttpReply(response.status, _headers(response), body)


async def _body(response: aiohttp.ClientResponse) -> bytes | None:
    if (response.content_length or 0) > MOST_BYTES:
        return None
    parts, length = [], 0
    async for part in response.content.iter_any():
        length += len(part)
        if length > MOST_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


def _headers(response: aiohttp.ClientResponse) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
    return headers


def _proxy(url: str) -> tuple[URL | None, aiohttp.BasicAuth | None]:
    named = proxy_for(url)
    if named is None:
        return None, None
    proxy = URL(named if "://" in named else f"http://{named}")
    auth = aiohttp.BasicAuth(proxy.user, proxy.password or "") if proxy.user else None
    return proxy.with_user(None), auth


def _told(error: BaseException) -> str:
    """Give an error in one line: aiohttp's texts show hosts, and never headers."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy replied with {error.status}"
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"
