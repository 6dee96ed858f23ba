"""One request over HTTP, sent once, and its reply: all of it within one deadline, and 1 MB at most.

With the standard library's client, for a function has one check at a time in each thread and gains nothing by keeping
connections, and because the deadline must end a reply that comes drop by drop, its headers too. TLS is always checked.
"""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from time import monotonic
from urllib.parse import urlsplit

from scheduler.checks.http_replies import MOST_BYTES, HttpReply
from scheduler.checks.http_requests import HttpRequest

_TLS = ssl.create_default_context()


class UnreachedError(Exception):
    """No connection came about, so that nothing was sent."""


class BrokenError(Exception):
    """The request may have been served, and no whole reply came back in time."""


def exchange(request: HttpRequest, until: float) -> HttpReply:
    """Send a request, and give the reply, by this instant of the monotonic clock.

    Raises UnreachedError and BrokenError, whose texts show nothing of the request but its host.
    """
    url = urlsplit(request.url)
    seconds = until - monotonic()
    host = url.hostname or ""
    if seconds <= 0:
        message = f"{host}: no time was left to ask"
        raise UnreachedError(message)
    connection: HTTPConnection = (
        HTTPSConnection(host, url.port, timeout=seconds, context=_TLS)
        if url.scheme == "https"
        else HTTPConnection(host, url.port, timeout=seconds)
    )
    try:
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:
            message = f"{host} cannot be reached: {_said(error)}"
            raise UnreachedError(message) from error
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        with _ended_by(connection.sock, until, host):
            _send(connection, request, target)
            return _received(connection.getresponse())
    finally:
        connection.close()


def _send(connection: HTTPConnection, request: HttpRequest, target: str) -> None:
    connection.putrequest(request.method, target, skip_accept_encoding=True)
    for name, value in request.headers.items():
        connection.putheader(name, value)
    if request.body is not None or request.method == "POST":
        connection.putheader("Content-Length", str(len(request.body or b"")))
    connection.endheaders(request.body)


def _received(response: HTTPResponse) -> HttpReply:
    headers: dict[str, str] = {}
    for name, value in response.getheaders():
        known = headers.get(name.lower())
        headers[name.lower()] = value if known is None else f"{known}, {value}"
    body = response.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        return HttpReply(response.status, headers, None)
    if response.length:  # so much of it was promised and did not come
        raise IncompleteRead(body, response.length)
    return HttpReply(response.status, headers, body)


@contextmanager
def _ended_by(opened: socket.socket, until: float, host: str) -> Iterator[None]:
    """Cut the connection where it is not done with by then; an end of what was read is then none."""
    late = threading.Event()

    def cut() -> None:
        late.set()
        with suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(until - monotonic(), 0), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
        if late.is_set():
            raise TimeoutError
    except (OSError, HTTPException, ValueError) as error:
        reason = "no whole reply in time" if late.is_set() or isinstance(error, TimeoutError) else _said(error)
        message = f"{host}: {reason}"
        raise BrokenError(message) from None
    finally:
        timer.cancel()


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else type(error).__name__
