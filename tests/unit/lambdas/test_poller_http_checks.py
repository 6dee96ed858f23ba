"""The poller Lambda asks HTTP APIs: with their auth, where they are, and with nothing secret in what it tells."""

import json
import socket
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from boto3 import Session

from held_secrets import Secrets
from http_checks import HttpChecks
from http_signing import Authority
from scheduler.checks.spec import AskHttp, Reading
from scheduler.core.check_replies import Completed, Failed, InProgress, Report, Unanswered, Unasked
from scheduler.core.service_calls import Refusal
from scheduler.core.token import TaskToken
from scheduler.core.token_row import TokenRow
from tests.unit.lambdas.raw_http import RawServer, raw_server, reply

READING = Reading(
    status="body.state",
    in_progress=["RUNNING"],
    completed=["DONE"],
    failed=["FAILED"],
    result="body.out",
    reason="body.why",
)
RUNNING = reply('{"state": "RUNNING"}')
SECRET = "s3cr3t-of-the-source"


def no_client(service: str, region: str | None) -> Any:
    raise AssertionError(service, region)


def checks(url: str, auth: Mapping[str, Any] | None = None, session: Callable[..., Any] = no_client) -> HttpChecks:
    ask = AskHttp(f"{url}/jobs/{{jobId}}?for={{input.who}}", auth=auth)
    return HttpChecks(ask, READING, Authority(auth, Secrets(no_client), session), 10.0)


def row(job_id: str = "job/1", **given: Any) -> TokenRow:
    return TokenRow(job_id, TaskToken("t"), None, None, 0, None, source="s", source_input={"who": "me"} | given)


def told(said: bytes) -> Report:
    with raw_server(said) as server:
        return checks(server.url).check(row())


def headers_of(server: RawServer, number: int = 0) -> dict[str, str]:
    lines = server.requests[number].split("\r\n\r\n")[0].split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines)


def test_a_job_stays_in_its_place() -> None:
    with raw_server(RUNNING) as server:
        assert checks(server.url).check(row(who="a&b=c#")) == InProgress()
    assert server.requests[0].startswith("GET /jobs/job%2F1?for=a%26b%3Dc%23 HTTP/1.1\r\n")


def test_a_job_whose_input_is_missing_pays_for_itself_and_is_not_asked_for() -> None:
    with raw_server(RUNNING) as server:
        odd = TokenRow("j", TaskToken("t"), None, None, 0, None, source="s", source_input=None)
        report = checks(server.url).check(odd)
    assert isinstance(report, Unanswered)
    assert "input.who" in report.error
    assert server.requests == []


def test_the_lists_say_what_a_reply_means() -> None:
    assert told(reply('{"state": "DONE", "out": [1]}')) == Completed([1])
    assert told(reply('{"state": "FAILED", "why": "no disk"}')) == Failed("no disk")
    assert isinstance(told(reply('{"state": "ODD"}')), Unanswered)
    assert isinstance(told(reply("<html>")), Unanswered)


@pytest.mark.parametrize(
    ("said", "refusal", "again"),
    [
        (reply("", "429 Too Many Requests", "Retry-After: 7"), Refusal.THROTTLED, 7.0),
        (reply("", "503 Service Unavailable", "Retry-After: 9"), Refusal.THROTTLED, 9.0),
        (reply("", "401 Unauthorized"), Refusal.CREDENTIALS, None),
        (reply("", "403 Forbidden"), Refusal.DENIED, None),
    ],
)
def test_what_a_source_says_of_itself_spends_no_attempt(said: bytes, refusal: Refusal, again: float | None) -> None:
    report = told(said)
    assert isinstance(report, Unasked)
    assert (report.refusal, report.again_seconds) == (refusal, again)


def test_an_unknown_job_is_told_of_as_such() -> None:
    report = told(reply("", "404 Not Found"))
    assert isinstance(report, Unanswered)
    assert report.unknown_job


def test_a_source_that_is_not_there_spends_no_attempt() -> None:
    with raw_server(b"") as server:
        pass
    report = checks(server.url).check(row())
    assert isinstance(report, Unasked)
    assert report.refusal is Refusal.UNREACHABLE


# --- redirects


def redirecting(location: str) -> Callable[[socket.socket, str], None]:
    def say(opened: socket.socket, request: str) -> None:
        there = request.startswith("GET /there ")
        opened.sendall(RUNNING if there else reply("", "302 Found", f"Location: {location}"))

    return say


def test_a_redirect_within_the_source_is_followed() -> None:
    with raw_server(redirecting("/there")) as server:
        assert checks(server.url).check(row()) == InProgress()


def test_a_redirect_to_another_host_is_not_followed() -> None:
    with raw_server(RUNNING) as other, raw_server(redirecting(f"{other.url}/there")) as server:
        report = checks(server.url, {"bearer": SECRET}).check(row())
    assert report == Unanswered("the source replied with 302, a redirect that is not followed")
    assert other.requests == []


def test_redirects_without_an_end_are_given_up() -> None:
    with raw_server(redirecting("/jobs/again")) as server:
        report = checks(server.url).check(row())
    assert report == Unanswered("the source redirects more than 5 times")
    assert len(server.requests) == 6


# --- auth


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"bearer": {"env": "S"}}, "Authorization", f"Bearer {SECRET}"),
        ({"header": {"name": "X-Key", "value": {"env": "S"}}}, "X-Key", SECRET),
        (
            {"basic": {"username": "u", "password": {"env": "S"}}},
            "Authorization",
            "Basic dTpzM2NyM3Qtb2YtdGhlLXNvdXJjZQ==",
        ),
    ],
)
def test_a_secret_goes_into_its_header(
    monkeypatch: pytest.MonkeyPatch, auth: dict[str, Any], header: str, value: str
) -> None:
    monkeypatch.setenv("S", SECRET)
    with raw_server(RUNNING) as server:
        assert checks(server.url, auth).check(row()) == InProgress()
    assert headers_of(server)[header] == value


def test_without_its_secret_a_source_is_not_asked_and_no_job_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("S", raising=False)
    with raw_server(RUNNING) as server:
        report = checks(server.url, {"bearer": {"env": "S"}}).check(row())
    reason = "a secret cannot be read: environment variable S is not set for this function"
    assert report == Unasked(reason, Refusal.CREDENTIALS)
    assert server.requests == []


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error", "401 Unauthorized", "429 Too Many Requests"])
def test_a_secret_that_a_source_repeats_is_not_told(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    monkeypatch.setenv("S", SECRET)
    body = json.dumps({"state": "FAILED", "why": f"Authorization: Bearer {SECRET}"})
    with raw_server(reply(body, status)) as server:
        report = checks(server.url, {"bearer": {"env": "S"}}).check(row())
    assert SECRET not in repr(report)
    assert "***" in repr(report)


def test_neither_is_one_in_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S", SECRET)
    with raw_server(reply(json.dumps({"state": "DONE", "out": SECRET}))) as server:
        assert checks(server.url, {"bearer": {"env": "S"}}).check(row()) == Completed("***")


OAUTH2 = {"client_id": "me", "client_secret": {"env": "S"}, "scope": "jobs"}


class Issuer:
    """Gives tokens, and then says how a job stands to whoever has the newest one."""

    def __init__(self, expires_in: int = 3600) -> None:
        self.given = 0
        self.expires_in = expires_in

    def say(self, opened: socket.socket, request: str) -> None:
        if request.startswith("POST /token"):
            self.given += 1
            opened.sendall(reply(json.dumps({"access_token": f"token-{self.given}", "expires_in": self.expires_in})))
        elif f"Authorization: Bearer token-{self.given}\r\n" in request:
            opened.sendall(RUNNING)
        else:
            opened.sendall(reply("", "401 Unauthorized"))


@pytest.mark.parametrize(("expires_in", "given"), [(3600, 1), (0, 3)])
def test_a_token_of_oauth_2_is_kept_until_it_expires(
    monkeypatch: pytest.MonkeyPatch, expires_in: int, given: int
) -> None:
    monkeypatch.setenv("S", SECRET)
    issuer = Issuer(expires_in)
    with raw_server(issuer.say) as server:
        asks = checks(server.url, {"oauth2": OAUTH2 | {"token_url": f"{server.url}/token"}})
        assert [asks.check(row()) for _ in range(3)] == [InProgress()] * 3
    assert issuer.given == given


def test_a_token_that_is_refused_is_fetched_anew_with_the_next_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S", SECRET)
    issuer = Issuer()
    with raw_server(issuer.say) as server:
        asks = checks(server.url, {"oauth2": OAUTH2 | {"token_url": f"{server.url}/token"}})
        assert asks.check(row()) == InProgress()
        issuer.given += 1  # whoever issues them has called the first one back
        refused = asks.check(row())
        assert isinstance(refused, Unasked)
        assert refused.refusal is Refusal.CREDENTIALS
        assert asks.check(row()) == InProgress()


def test_where_no_token_is_given_no_job_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S", SECRET)
    with raw_server(reply(json.dumps({"error": f"not {SECRET}"}), "401 Unauthorized")) as server:
        report = checks(server.url, {"oauth2": OAUTH2 | {"token_url": f"{server.url}/token"}}).check(row())
    assert isinstance(report, Unasked)
    assert report.refusal is Refusal.CREDENTIALS
    assert SECRET not in report.error


def test_a_signature_of_aws_is_of_the_entrys_service_region_and_role() -> None:
    asked = []

    def session(role_arn: str | None) -> Any:
        asked.append(role_arn)
        return Session("AKID", "key", "of the session", region_name="us-east-1")

    auth = {"sigv4": {"service": "execute-api", "region": "eu-west-1", "role_arn": "arn:aws:iam::1:role/r"}}
    with raw_server(RUNNING) as server:
        assert checks(server.url, auth, session).check(row()) == InProgress()
    sent = headers_of(server)
    assert asked == ["arn:aws:iam::1:role/r"]
    assert sent["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert (
        "/eu-west-1/execute-api/aws4_request, SignedHeaders=accept;accept-encoding;host;x-amz-date;"
        in (sent["Authorization"])
    )
    assert sent["X-Amz-Security-Token"] == "of the session"


def test_without_credentials_nothing_is_signed_and_no_job_pays() -> None:
    class Nobody:
        region_name = "us-east-1"

        def get_credentials(self) -> None:
            return None

    with raw_server(RUNNING) as server:
        report = checks(server.url, {"sigv4": {"service": "execute-api"}}, lambda _: Nobody()).check(row())
    assert report == Unasked("there are no credentials of AWS to sign with", Refusal.CREDENTIALS)
