"""HTTP sources: what is asked, and what is made of replies that are friendly or hostile."""

import gzip

import pytest

from scheduler.checks.templates import TemplateError
from scheduler.core.check_replies import Completed, Failed, InProgress, Unanswered, Unasked
from scheduler.core.service_calls import Refusal
from scheduler.errors import CloudError
from scheduler.sources.http_exchange import proxy_for
from scheduler.sources.secrets import Secrets
from tests.fakes import token_row
from tests.http_jobs.asking import asking
from tests.http_jobs.replies import Answer, Broken, Drip, Endless, Hang, Reply, html, json_reply
from tests.http_jobs.server import HttpJobs
from tests.unit.sources.http_asked import asked, replying


async def test_a_job_is_asked_for_until_it_has_ended(service: HttpJobs) -> None:
    service.polls["job-1"] = 2
    assert await asked(service) == InProgress()
    assert await asked(service) == Completed("s3://reports/job-1.csv")
    assert [request.target for request in service.seen] == ["/jobs/job-1"] * 2


async def test_a_job_that_failed_tells_its_reason(service: HttpJobs) -> None:
    replying(service, json_reply({"state": "FAILED", "message": "no space left"}))
    assert await asked(service) == Failed("no space left")


async def test_a_post_with_headers_query_and_a_body_goes_out_as_the_entry_says(service: HttpJobs) -> None:
    replying(service, json_reply({"state": "RUNNING"}))
    http = {
        "url": f"{service.url}/status",
        "method": "POST",
        "headers": {"X-Tenant": "{input.tenant}"},
        "query": {"id": "{jobId}"},
        "body": {"ids": ["{jobId}"], "deep": {"count": "{input.count}"}},
    }
    async with asking(http) as source:
        row = token_row("a b&c=\"d'", source_input={"tenant": "blue", "count": 3})
        assert await source.check(row) == InProgress()
    (request,) = service.seen
    assert (request.method, request.target) == ("POST", "/status?id=a%20b%26c%3D%22d%27")
    assert request.body == b'{"ids": ["a b&c=\\"d\'"], "deep": {"count": 3}}'
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-tenant"] == "blue"


@pytest.mark.parametrize(
    "job_id", ["a/b", "a?b", "a#b", "%2e%2e", "a%2Fb", "a b", "a\r\nX: y", "ü", "a+b", "a;b=c", "a\\b", "~a", "a:b@c"]
)
async def test_what_goes_over_the_wire_is_what_was_encoded(service: HttpJobs, job_id: str) -> None:
    service.polls = {}
    await asked(service, job_id)
    (request,) = service.seen
    encoded = "".join(
        character
        if character.isascii() and (character.isalnum() or character in "-._~")
        else "".join(f"%{byte:02X}" for byte in character.encode())
        for character in job_id
    )
    assert request.target == f"/jobs/{encoded}"


@pytest.mark.parametrize("job_id", [".", "..", "../admin", "a/../../admin", "\ud800"])
async def test_a_job_that_would_get_out_of_its_place_is_not_asked_for_and_pays_itself(
    service: HttpJobs, job_id: str
) -> None:
    report = await asked(service, job_id)
    assert isinstance(report, Unanswered)
    assert report.error.startswith("the job cannot be asked for: ")
    assert service.seen == []


async def test_429_says_for_how_long_the_lane_is_to_slow_down(service: HttpJobs) -> None:
    replying(service, Reply(429, b"", {"Retry-After": "17"}))
    assert await asked(service) == Unasked(
        "the source replied with 429 Too Many Requests", Refusal.THROTTLED, again_seconds=17
    )


async def test_a_compressed_reply_is_read_and_a_bomb_is_not(service: HttpJobs) -> None:
    packed = {"Content-Encoding": "gzip"}
    replying(service, Reply(200, gzip.compress(b'{"state": "RUNNING"}'), packed))
    assert await asked(service) == InProgress()
    replying(service, Reply(200, gzip.compress(b" " * 50_000_000), packed))
    report = await asked(service)
    assert isinstance(report, Unanswered)
    assert "longer than 1,048,576 bytes" in report.error


async def test_a_reply_of_just_the_longest_that_is_read_is_read(service: HttpJobs) -> None:
    body = b'{"state": "RUNNING"}'
    replying(service, Reply(200, body + b" " * (1_048_576 - len(body))), Reply(200, body + b" " * 1_048_576))
    assert await asked(service) == InProgress()
    assert isinstance(await asked(service), Unanswered)


@pytest.mark.parametrize("told", [True, False])
async def test_a_body_without_end_is_given_up_where_it_is_too_long(service: HttpJobs, *, told: bool) -> None:
    replying(service, Endless(told=told))
    report = await asked(service, seconds=20)
    assert report == Unanswered("the source's reply is longer than 1,048,576 bytes, or encoded unasked")


BROKEN: dict[str, Answer] = {
    "broken off": Broken(),
    "no HTTP": Broken(b"220 smtp.example.com ESMTP\r\n"),
    "no reply": Broken(b""),
    "a header of a megabyte": Reply(200, b"{}", {"X-Long": "x" * 1_000_000}),
    "a redirect to nowhere": Reply(302),
    "hangs": Hang(),
    "drips": Drip(),
    "drips headers": Drip(in_headers=True),
    "endless": Endless(),
    "endless chunks": Endless(told=False),
    "a page": html(),
    "a server's fault": html(500),
    "503 without a word": Reply(503),
    "a bad request": json_reply({"message": "bad"}, 400),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_what_is_no_clear_answer_spends_an_attempt_and_ends_nothing(service: HttpJobs, answer: Answer) -> None:
    replying(service, answer)
    report = await asked(service, seconds=0.5)
    assert isinstance(report, Unanswered)
    assert not report.unknown_job
    assert len(report.error) < 400


async def test_a_probe_asks_for_no_job_and_sends_no_secret(service: HttpJobs) -> None:
    auth = {"bearer": {"env": "SECRET"}}
    http = {"url": f"{service.url}/jobs/{{jobId}}", "auth": auth}
    async with asking(http, secrets=Secrets(environment={"SECRET": "s3cr3t-value"})) as source:
        await source.probe()
    assert [(request.method, request.target) for request in service.seen] == [("HEAD", "/")]
    assert "authorization" not in service.seen[0].headers
    async with asking(http, secrets=Secrets(environment={})) as source:
        with pytest.raises(CloudError, match="SECRET is not set") as raised:
            await source.probe()
    assert raised.value.refusal is Refusal.CREDENTIALS


async def test_a_service_that_replies_to_a_probe_in_no_order_is_there(service: HttpJobs) -> None:
    # A reply to HEAD has no body; many a small service sends one all the same, or hangs up.
    replies = [b"HTTP/1.1 401 Said\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.1 200 Said\r\n\r\n", b""]
    async with asking({"url": f"{service.url}/jobs/{{jobId}}"}) as source:
        for reply in replies:
            service.head = Broken(reply)
            await source.probe()
    assert {request.method for request in service.seen} == {"HEAD"}


async def test_a_service_that_never_answers_a_probe_may_serve_its_jobs_all_the_same(service: HttpJobs) -> None:
    service.head = Hang()
    async with asking({"url": f"{service.url}/jobs/{{jobId}}"}, seconds=0.5) as source:
        await source.probe()
    assert [request.method for request in service.seen] == ["HEAD"]


async def test_a_host_with_a_placeholder_is_no_source() -> None:
    with pytest.raises(TemplateError, match="no placeholder may stand there"):
        async with asking({"url": "https://{jobId}.example.com/"}):
            pass


async def test_proxies_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, service: HttpJobs) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_for("http://jobs.invalid/1") is None
    monkeypatch.setenv("http_proxy", service.url)
    monkeypatch.setenv("no_proxy", "inside.example.com")
    assert proxy_for("http://inside.example.com/1") is None
    replying(service, json_reply({"state": "RUNNING"}))
    async with asking({"url": "http://jobs.invalid/{jobId}"}) as source:
        assert await source.check(token_row()) == InProgress()
    assert service.seen[0].target == "http://jobs.invalid/job-1"
