"""Replies of HTTP APIs: what each says of the job, and what of the source alone."""

import gzip
import json
from typing import Any

import pytest

from scheduler.checks.http_auth import AccessToken, read_token
from scheduler.checks.http_replies import HttpReader, HttpReply, read_http
from scheduler.checks.spec import Acceptor, Reading
from scheduler.core.check_replies import Completed, Failed, InProgress, Report, Unanswered, Unasked
from scheduler.core.service_calls import Refusal

LISTS = Reading("body.state", ["RUNNING"], ["DONE"], ["FAILED"])


def read(status: int, body: Any = b"", reading: Reading = LISTS, now: float | None = None, **headers: str) -> Report:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    return HttpReader(reading).read(HttpReply(status, named, data), now)


def test_lists_are_read_from_the_body_and_the_whole_body_is_the_result() -> None:
    assert read(200, {"state": "RUNNING"}) == InProgress()
    assert read(200, {"state": "DONE", "n": 1}) == Completed({"state": "DONE", "n": 1})
    assert read(200, {"state": "FAILED"}) == Failed("the job has failed with status FAILED")
    assert read_http(LISTS, 200, {"Content-Type": "x"}, b'\xef\xbb\xbf{"state": "RUNNING"}') == InProgress()


def test_paths_see_status_headers_and_body() -> None:
    reading = Reading("status", ["202"], ["200"], result="{where: headers.location, all: body}")
    assert read(202, b"", reading) == InProgress()
    assert read(200, b"plain", reading, location="/x") == Completed({"where": "/x", "all": "plain"})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>DONE</html>", "is not JSON: b'<html>DONE</html>'"),
        (b"", "is not JSON"),
        (b'"DONE"', "is not JSON"),
        (b'{"state": NaN}', "is not JSON"),
        (b'{"state": 1e999}', "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (None, "longer than"),
        (b"{}", "no status at body.state"),
        (b'{"state": "PAUSED"}', "unknown status: 'PAUSED'"),
        (b'{"state": {"DONE": 1}}', "no single status"),
    ],
)
def test_what_is_no_clear_status_is_unanswered(body: bytes | None, said: str) -> None:
    report = read(200, body)
    assert isinstance(report, Unanswered)
    assert said in report.error


def test_a_page_is_no_success_for_acceptors_either() -> None:
    never = Acceptor("success", "path", expected=True, argument="body.error == null")
    assert isinstance(read(200, b"<html>", Reading(acceptors=[never])), Unanswered)
    by_status = Acceptor("retry", "status", 202)
    assert read(202, b"", Reading(acceptors=[never, by_status])) == InProgress()
    assert read(200, {"error": None}, Reading(acceptors=[never])) == Completed({"error": None})


def test_a_result_that_needs_json_makes_no_success_of_a_page() -> None:
    reading = Reading(acceptors=[Acceptor("success", "status", 200)], result="body.url")
    assert isinstance(read(200, b"<html>", reading), Unanswered)
    assert read(200, {"url": "x"}, reading) == Completed("x")


def test_an_acceptor_may_say_what_a_status_means_but_for_those_that_are_the_sources_own() -> None:
    gone = Acceptor("success", "status", 404)
    assert read(404, b"gone", Reading(acceptors=[gone])) == Completed("gone")
    assert isinstance(read(404, b"gone", Reading(acceptors=[Acceptor("retry", "status", 200)])), Unanswered)
    for status in (401, 403, 429):
        assert isinstance(read(status, b"", Reading(acceptors=[Acceptor("success", "status", status)])), Unasked)


@pytest.mark.parametrize("status", [404, 410])
def test_an_unknown_job_is_told_as_such(status: int) -> None:
    report = read(status)
    assert isinstance(report, Unanswered)
    assert report.unknown_job


@pytest.mark.parametrize(
    "status", [301, 304, 307, 400, 405, 406, 408, 409, 415, 418, 422, 451, 500, 502, 503, 504, 599, 999]
)
def test_other_statuses_spend_an_attempt_and_end_nothing(status: int) -> None:
    report = read(status, {"state": "DONE"})
    assert isinstance(report, Unanswered)
    assert not report.unknown_job
    assert report.error.startswith(f"the source replied with {status}")


@pytest.mark.parametrize(
    ("status", "refusal"), [(401, Refusal.CREDENTIALS), (403, Refusal.DENIED), (407, Refusal.UNREACHABLE)]
)
def test_a_refusal_is_the_sources_and_no_jobs(status: int, refusal: Refusal) -> None:
    report = read(status, {"state": "DONE"})
    assert isinstance(report, Unasked)
    assert report.refusal is refusal


DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
A_MINUTE_LATER = "Wed, 21 Oct 2015 07:29:00 GMT"
EPOCH = 1_445_412_480.0


@pytest.mark.parametrize(
    ("headers", "now", "seconds"),
    [
        ({"retry_after": "7"}, None, 7),
        ({"retry_after": " 0 "}, None, 0),
        ({"retry_after": "86400"}, None, 900),
        ({"retry_after": A_MINUTE_LATER, "date": DATE}, 0.0, 60),
        ({"retry_after": A_MINUTE_LATER}, EPOCH, 60),
        ({"retry_after": DATE, "date": A_MINUTE_LATER}, None, 0),
        ({"retry_after": "Fri, 31 Dec 9999 23:59:59 GMT", "date": DATE}, None, 900),
        ({"retry_after": A_MINUTE_LATER}, None, None),
        ({"retry_after": "soon"}, EPOCH, None),
        ({"retry_after": "-5"}, EPOCH, None),
        ({"retry_after": "9" * 400}, EPOCH, None),
        ({"retry_after": "\u0663"}, EPOCH, None),
        ({}, EPOCH, None),
    ],
)
def test_throttling_says_for_how_long_within_bounds(
    headers: dict[str, str], now: float | None, seconds: float | None
) -> None:
    report = read(429, b"", LISTS, now, **headers)
    assert report == Unasked("the source replied with 429 Too Many Requests", Refusal.THROTTLED, seconds)
    unavailable = read(503, b"", LISTS, now, **headers)
    assert isinstance(unavailable, Unanswered if seconds is None else Unasked)


def test_a_body_that_is_packed_though_nobody_asked_is_read_within_bounds() -> None:
    packed = gzip.compress(b'{"state": "RUNNING"}')
    assert read(200, packed, content_encoding="gzip") == InProgress()
    for body, encoding in [(packed, "br"), (b"no gzip", "gzip"), (gzip.compress(b" " * 5_000_000), "gzip")]:
        assert isinstance(read(200, body, content_encoding=encoding), Unanswered)


# --- tokens


def token(status: int, body: Any, **headers: str) -> AccessToken | Unasked:
    return read_token(
        HttpReply(status, {n.replace("_", "-"): v for n, v in headers.items()}, json.dumps(body).encode())
    )


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [(3600, 3540), ("3600", 3540), (100, 90), (0, 0), (-1, 0), (10**9, 86_340), ("nan", 270), (None, 270)],
)
def test_a_token_is_used_until_a_little_before_its_end(expires_in: Any, seconds: float) -> None:
    given = {"access_token": "abc"} | ({} if expires_in is None else {"expires_in": expires_in})
    assert token(200, given) == AccessToken("abc", seconds)


def test_a_token_is_not_shown() -> None:
    assert "abc" not in repr(AccessToken("abc", 1))


@pytest.mark.parametrize(
    "body", [{}, [], None, {"access_token": None}, {"access_token": "a\r\nb"}, {"access_token": ""}]
)
def test_a_reply_without_a_token_is_no_token(body: Any) -> None:
    report = token(200, body)
    assert isinstance(report, Unasked)
    assert report.refusal is Refusal.UNAVAILABLE


@pytest.mark.parametrize(
    ("status", "refusal"),
    [(400, Refusal.CREDENTIALS), (401, Refusal.CREDENTIALS), (500, Refusal.UNAVAILABLE), (429, Refusal.THROTTLED)],
)
def test_a_refused_token_is_no_jobs_fault(status: int, refusal: Refusal) -> None:
    report = token(status, {"error": "x"}, retry_after="9")
    assert isinstance(report, Unasked)
    assert report.refusal is refusal


def test_a_token_whose_time_no_number_holds_is_none_and_charged_to_no_job() -> None:
    reply = HttpReply(200, {}, b'{"access_token": "abc", "expires_in": 1%s}' % (b"0" * 400))
    report = read_token(reply)
    assert isinstance(report, Unasked)
    assert report.refusal is Refusal.UNAVAILABLE
