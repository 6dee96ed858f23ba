"""HTTP sources with each auth: what is sent, what is told when it is refused, and how they recover."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scheduler.aws.sigv4 import SigV4Signer
from scheduler.core.check_replies import Completed, InProgress, Unanswered, Unasked
from scheduler.core.service_calls import Refusal
from scheduler.sources.secrets import Secrets
from tests.fakes import token_row
from tests.http_jobs.asking import asking
from tests.http_jobs.auth import needs, signed_by
from tests.http_jobs.replies import Hang, json_reply
from tests.http_jobs.server import HttpJobs
from tests.unit.sources.http_asked import asked, replying

UNREACHABLE = Refusal.UNREACHABLE

AUTHS: list[tuple[Mapping[str, Any], str, str]] = [
    ({"bearer": {"env": "SECRET"}}, "Authorization", "Bearer s3cr3t-value"),
    ({"basic": {"username": "ann", "password": {"env": "SECRET"}}}, "Authorization", "Basic YW5uOnMzY3IzdC12YWx1ZQ=="),
    ({"header": {"name": "X-Api-Key", "value": {"env": "SECRET"}}}, "X-Api-Key", "s3cr3t-value"),
]


@pytest.mark.parametrize(("auth", "name", "value"), AUTHS, ids=["bearer", "basic", "header"])
async def test_each_auth_sends_its_header(service: HttpJobs, auth: Mapping[str, Any], name: str, value: str) -> None:
    service.gate, service.polls = needs(name, value), {"job-1": 1}
    report = await asked(service, http={"auth": auth}, secrets=Secrets(environment={"SECRET": "s3cr3t-value"}))
    assert report == Completed("s3://reports/job-1.csv")


@pytest.mark.parametrize(("auth", "name", "value"), AUTHS, ids=["bearer", "basic", "header"])
async def test_a_refused_secret_is_not_told_even_where_the_source_echoes_it(
    service: HttpJobs, auth: Mapping[str, Any], name: str, value: str
) -> None:
    service.gate = needs(name, value)
    report = await asked(service, http={"auth": auth}, secrets=Secrets(environment={"SECRET": "wr0ng-value"}))
    assert isinstance(report, Unasked)
    assert report.refusal is Refusal.CREDENTIALS
    assert "not authorized with" in report.error
    assert "***" in report.error
    assert "wr0ng" not in report.error
    assert "YW5uOn" not in report.error


async def test_a_secret_that_is_not_there_costs_no_job_an_attempt(service: HttpJobs) -> None:
    report = await asked(service, http={"auth": {"bearer": {"env": "SECRET"}}}, secrets=Secrets(environment={}))
    said = "a secret cannot be read: environment variable SECRET is not set"
    assert report == Unasked(said, Refusal.CREDENTIALS)
    assert service.seen == []


@pytest.mark.parametrize("secret", ["two\r\nlines-of-it", "ünfit-for-headers"])
async def test_a_secret_that_fits_into_no_header_is_told_of_and_not_shown(service: HttpJobs, secret: str) -> None:
    report = await asked(service, http={"auth": {"bearer": {"env": "S"}}}, secrets=Secrets(environment={"S": secret}))
    assert isinstance(report, Unasked)
    assert report.refusal is Refusal.CREDENTIALS
    assert secret not in report.error


async def test_a_secret_in_a_file_is_taken_up_when_the_file_changes(service: HttpJobs, tmp_path: Path) -> None:
    kept = tmp_path / "token"
    kept.write_text("old-secret\n")
    service.gate, service.polls = needs("Authorization", "Bearer new-secret"), {"job-1": 9}
    async with asking({"url": f"{service.url}/jobs/{{jobId}}", "auth": {"bearer": {"file": str(kept)}}}) as source:
        assert isinstance(await source.check(token_row()), Unasked)
        kept.write_text("new-secret\n")
        assert await source.check(token_row()) == InProgress()


OAUTH = {"client_id": "scheduler", "client_secret": {"env": "SECRET"}, "scope": "jobs.read", "audience": "jobs"}


def oauth(service: HttpJobs) -> dict[str, Any]:
    service.gate = service.oauth.gate
    return {
        "url": f"{service.url}/jobs/{{jobId}}",
        "auth": {"oauth2": OAUTH | {"token_url": f"{service.url}/token"}},
    }


async def test_one_token_is_fetched_for_all_checks_at_once_and_again_after_a_401(service: HttpJobs) -> None:
    service.polls = dict.fromkeys((f"job-{number}" for number in range(20)), 99)
    async with asking(oauth(service), secrets=Secrets(environment={"SECRET": "client-secret"})) as source:
        rows = [token_row(job_id) for job_id in service.polls]
        assert await asyncio.gather(*map(source.check, rows)) == [InProgress()] * 20
        assert service.oauth.asked == [
            {"grant_type": ["client_credentials"], "scope": ["jobs.read"], "audience": ["jobs"]}
        ]
        service.oauth.given = 7  # the token that is kept is worth nothing any more
        assert await asyncio.gather(*map(source.check, rows)) == [InProgress()] * 20
        assert len(service.oauth.asked) == 2


async def test_a_client_that_is_refused_makes_the_source_unusable_and_its_secret_is_not_told(service: HttpJobs) -> None:
    async with asking(oauth(service), secrets=Secrets(environment={"SECRET": "wrong-secret"})) as source:
        report = await source.check(token_row())
    assert isinstance(report, Unasked)
    assert report.refusal is Refusal.CREDENTIALS
    assert "invalid_client" in report.error
    assert "wrong-secret" not in report.error
    assert [request.target for request in service.seen] == ["/token"]


class Rotating:
    """Secrets of AWS of which each is another one when it is read again."""

    def __init__(self, *secrets: str) -> None:
        self.left = list(secrets)

    async def secret(self, _: str) -> str:
        return self.left.pop(0)

    parameter = secret


@pytest.mark.parametrize("where", ["secret", "parameter"])
async def test_a_client_secret_that_was_rotated_is_read_again_after_it_was_refused(
    service: HttpJobs, where: str
) -> None:
    http = oauth(service)
    http["auth"]["oauth2"]["client_secret"] = {where: "client"}
    service.polls = {"job-1": 9}
    async with asking(http, secrets=Secrets(Rotating("old-secret", "client-secret"))) as source:
        assert isinstance(await source.check(token_row()), Unasked)
        assert await source.check(token_row()) == InProgress()


async def test_a_bearer_that_was_rotated_is_read_again_within_the_check_that_found_it_refused(
    service: HttpJobs,
) -> None:
    service.gate, service.polls = needs("Authorization", "Bearer new-secret"), {"job-1": 9}
    http = {"url": f"{service.url}/jobs/{{jobId}}", "auth": {"bearer": {"secret": "jobs"}}}
    async with asking(http, secrets=Secrets(Rotating("old-secret", "new-secret"))) as source:
        assert await source.check(token_row()) == InProgress()


async def test_a_token_that_is_refused_for_ever_is_fetched_once_more_for_a_check_and_not_in_a_loop(
    service: HttpJobs,
) -> None:
    http = oauth(service)
    service.gate = lambda request: None if request.target == "/token" else json_reply({}, 401)
    async with asking(http, secrets=Secrets(environment={"SECRET": "client-secret"})) as source:
        report = await source.check(token_row())
    assert isinstance(report, Unasked)
    assert [request.target for request in service.seen] == ["/token", "/jobs/job-1"] * 2


async def test_a_token_server_that_hangs_is_no_fault_of_a_job(service: HttpJobs) -> None:
    http = oauth(service)
    service.oauth.refusal = Hang()
    async with asking(http, secrets=Secrets(environment={"SECRET": "client-secret"}), seconds=0.4) as source:
        report = await source.check(token_row())
    assert report == Unasked("there was nothing to ask with in time", UNREACHABLE)


class Credentials:
    """What the SDK calls frozen credentials."""

    access_key = "AKIDEXAMPLE"
    token = "session-token"

    def __init__(self, secret_key: str) -> None:
        self.secret_key = secret_key


SIGV4 = {"sigv4": {"service": "execute-api", "region": "eu-west-1"}}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_signature_is_that_of_what_went_over_the_wire(service: HttpJobs, method: str) -> None:
    service.gate = signed_by("AKIDEXAMPLE", "wJalrXUtnFEMI", "eu-west-1", "execute-api")
    replying(service, json_reply({"state": "RUNNING"}))
    http = {
        "url": f"{service.url}/v2/{{jobId}}?z=1&a={{jobId}}",
        "auth": SIGV4,
        "method": method,
        **({"body": {"id": "{jobId}"}} if method == "POST" else {}),
    }
    asked_for: list[str | None] = []

    async def credentials_of(role: str | None) -> Credentials:
        asked_for.append(role)
        return Credentials("wJalrXUtnFEMI")

    async with asking(http, signer=SigV4Signer(credentials_of, None)) as source:
        assert await source.check(token_row("a b/c=ü")) == InProgress()
    assert asked_for == [None]
    assert service.seen[0].headers["x-amz-security-token"] == "session-token"


async def test_wrong_keys_make_the_source_unusable_and_no_keys_too(service: HttpJobs) -> None:
    service.gate = signed_by("AKIDEXAMPLE", "another", "eu-west-1", "execute-api")
    found: list[Credentials | None] = [Credentials("wJalrXUtnFEMI")]

    async def credentials_of(_: str | None) -> Credentials | None:
        return found[0]

    async with asking(
        {"url": f"{service.url}/{{jobId}}", "auth": SIGV4}, signer=SigV4Signer(credentials_of, None)
    ) as source:
        report = await source.check(token_row())
        assert isinstance(report, Unasked)
        assert report.refusal is Refusal.DENIED  # as AWS says it: 403
        found[0] = None
        assert await source.check(token_row()) == Unasked("no credentials to sign with", Refusal.CREDENTIALS)
        found[0] = Credentials("another")
        assert isinstance(await source.check(token_row()), Unanswered)
