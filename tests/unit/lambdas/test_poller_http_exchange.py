"""The poller Lambda's HTTP client, against servers that keep to nothing."""

import socket
import ssl
import threading
from pathlib import Path
from time import monotonic

import pytest

import http_exchange
from http_exchange import BrokenError, UnreachedError, exchange
from scheduler.checks.http_replies import MOST_BYTES, HttpReply
from scheduler.checks.http_requests import HttpRequest
from tests.http_jobs.certificates import untrusted
from tests.http_jobs.server import HttpJobs
from tests.unit.lambdas.raw_http import Say, raw_server, reply

SECONDS = 10.0
SHORT = 0.3


def asked(url: str, seconds: float = SECONDS, request: HttpRequest | None = None) -> HttpReply:
    return exchange(request or HttpRequest("GET", url, {}), monotonic() + seconds)


def test_a_request_is_sent_as_it_is_and_its_reply_given_with_names_in_lower_case() -> None:
    with raw_server(reply('{"a": 1}', "202 Accepted", "X-Way: here", "x-way: there")) as server:
        request = HttpRequest("POST", f"{server.url}/jobs/%2e%2F?a=%20+", {"X-Key": "k"}, b"body")
        found = asked(server.url, request=request)
    assert (found.status, found.headers["x-way"], found.body) == (202, "here, there", b'{"a": 1}')
    (sent,) = server.requests
    first, *lines = sent.split("\r\n")
    assert first == "POST /jobs/%2e%2F?a=%20+ HTTP/1.1"
    assert set(lines) >= {"X-Key: k", "Content-Length: 4", f"Host: {server.url.removeprefix('http://')}"}
    assert not [line for line in lines if line.lower().startswith("accept-encoding")]


def test_a_reply_in_chunks_is_put_together() -> None:
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with raw_server(chunks) as server:
        assert asked(server.url).body == b"abcde"


def endless(opened: socket.socket, request: str) -> None:
    del request
    opened.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        opened.sendall(b"x" * 65_536)


def test_of_a_body_without_an_end_no_more_than_the_limit_is_read() -> None:
    with raw_server(endless) as server:
        assert asked(server.url) == HttpReply(200, {}, None)


@pytest.mark.parametrize(("length", "kept"), [(MOST_BYTES, True), (MOST_BYTES + 1, False)])
def test_the_limit_is_a_megabyte_to_the_byte(length: int, kept: bool) -> None:  # noqa: FBT001
    with raw_server(reply("x" * length)) as server:
        assert (asked(server.url).body is not None) is kept


def silent(opened: socket.socket, request: str) -> None:
    del request
    opened.recv(1)


def dripping_headers(opened: socket.socket, request: str) -> None:
    del request
    opened.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not threading.Event().wait(SHORT / 10):
        opened.sendall(b"x")


def dripping_body(opened: socket.socket, request: str) -> None:
    del request
    opened.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not threading.Event().wait(SHORT / 10):
        opened.sendall(b" ")


@pytest.mark.parametrize("say", [silent, dripping_headers, dripping_body])
def test_a_server_that_does_not_come_to_an_end_is_left_in_time(say: Say) -> None:
    before = monotonic()
    with raw_server(say) as server, pytest.raises(BrokenError, match=r"127\.0\.0\.1: no whole reply in time"):
        asked(server.url, SHORT)
    assert monotonic() - before < SECONDS


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", b"SSH-2.0-OpenSSH\r\n\r\n"],
)
def test_a_reply_that_is_none_or_not_whole_is_broken(said: bytes) -> None:
    with raw_server(said) as server, pytest.raises(BrokenError):
        asked(server.url)


def test_a_server_that_is_not_there_was_never_reached() -> None:
    with raw_server(b"") as server:
        pass
    with pytest.raises(UnreachedError, match=r"127\.0\.0\.1 cannot be reached: Connection refused"):
        asked(server.url)


def test_a_name_that_does_not_exist_was_never_reached() -> None:
    with pytest.raises(UnreachedError, match="cannot be reached"):
        asked("http://nowhere.invalid/")


def test_where_no_time_is_left_nothing_is_sent() -> None:
    with raw_server(reply("")) as server, pytest.raises(UnreachedError, match="no time was left"):
        asked(server.url, -1)
    assert server.requests == []


def test_tls_is_checked_and_nothing_is_sent_to_a_server_that_nobody_vouches_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpJobs.running(untrusted(tmp_path)) as jobs:
        with pytest.raises(UnreachedError, match=r"127\.0\.0\.1 cannot be reached"):
            asked(f"{jobs.url}/jobs/1")
        assert jobs.seen == []
        trusting = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
        monkeypatch.setattr(http_exchange, "_TLS", trusting)
        assert asked(f"{jobs.url}/jobs/1").status == 404


def test_a_server_without_tls_is_not_asked_by_https() -> None:
    with raw_server(b"HTTP/1.1 200 OK\r\n\r\n") as server, pytest.raises(UnreachedError):
        asked(server.url.replace("http:", "https:"), SHORT)
    assert server.requests == []
