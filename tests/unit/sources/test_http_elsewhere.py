"""HTTP sources that are out of reach, or that lead elsewhere."""

import socket
from pathlib import Path

import pytest

from scheduler.core.check_replies import Completed, Unanswered, Unasked
from scheduler.core.service_calls import Refusal
from scheduler.errors import CloudError
from scheduler.sources.secrets import Secrets
from tests.fakes import token_row
from tests.http_jobs.asking import asking
from tests.http_jobs.auth import needs
from tests.http_jobs.certificates import untrusted
from tests.http_jobs.replies import Reply
from tests.http_jobs.server import HttpJobs
from tests.unit.sources.http_asked import asked, replying

UNREACHABLE = Refusal.UNREACHABLE


async def test_a_port_that_nobody_listens_at_is_out_of_reach() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/{{jobId}}"
        async with asking({"url": url}) as source:
            report = await source.check(token_row())
            with pytest.raises(CloudError, match=r"source reports at http://127\.0\.0\.1:"):
                await source.probe()
    assert isinstance(report, Unasked)
    assert report.refusal is UNREACHABLE


async def test_a_name_that_nobody_knows_is_out_of_reach() -> None:
    async with asking({"url": "http://jobs.invalid/{jobId}"}) as source:
        report = await source.check(token_row())
    assert isinstance(report, Unasked)
    assert report.refusal is UNREACHABLE


async def test_a_certificate_that_nobody_trusts_is_refused_before_a_request_goes_out(tmp_path: Path) -> None:
    with HttpJobs.running(untrusted(tmp_path)) as service:
        async with asking(
            {"url": f"{service.url}/jobs/{{jobId}}", "auth": {"bearer": {"env": "SECRET"}}},
            secrets=Secrets(environment={"SECRET": "s3cr3t-value"}),
        ) as source:
            report = await source.check(token_row())
        assert service.seen == []
    assert isinstance(report, Unasked)
    assert report.refusal is UNREACHABLE
    assert "self-signed certificate" in report.error


async def test_a_redirect_to_the_same_origin_is_followed_with_auth(service: HttpJobs) -> None:
    service.polls["job-2"] = 1
    replies = {"/jobs/job-1": Reply(302, b"", {"Location": "../jobs/job-2"})}
    service.answer = lambda request: replies.get(request.target) or service.status(request)
    service.gate = needs("Authorization", "Bearer s3cr3t-value")
    auth = {"bearer": {"env": "SECRET"}}
    report = await asked(service, http={"auth": auth}, secrets=Secrets(environment={"SECRET": "s3cr3t-value"}))
    assert report == Completed("s3://reports/job-2.csv")


async def test_a_redirect_to_another_port_is_not_followed(service: HttpJobs) -> None:
    with HttpJobs.running() as other:
        other.polls["job-1"] = 1
        replying(service, Reply(307, b"", {"Location": f"{other.url}/jobs/job-1"}))
        report = await asked(service)
        assert other.seen == []
    assert isinstance(report, Unanswered)
    assert "leads to another host, scheme or port" in report.error


async def test_redirects_in_a_circle_are_given_up(service: HttpJobs) -> None:
    replying(service, Reply(302, b"", {"Location": "/jobs/job-1"}))
    assert await asked(service) == Unanswered("the source redirects more than 5 times")
    assert len(service.seen) == 6


async def test_a_redirect_that_an_acceptor_names_is_a_reply(service: HttpJobs) -> None:
    replying(service, Reply(303, b"", {"Location": "https://elsewhere.example.com/result"}))
    reading = {
        "acceptors": [{"state": "success", "matcher": "status", "expected": 303}],
        "result": "headers.location",
    }
    assert await asked(service, reading=reading) == Completed("https://elsewhere.example.com/result")
