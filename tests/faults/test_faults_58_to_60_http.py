"""Rows 58 to 60: hostile HTTP sources, job ids and inputs made to break out, credentials that are wrong or run out."""

import asyncio
import time
import tracemalloc
from collections.abc import Iterator
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.core.check_replies import InProgress, Report, Unanswered, Unasked
from scheduler.core.service_calls import Refusal
from scheduler.sources.http import HttpSource
from scheduler.sources.secrets import Secrets
from tests.e2e.cloud import until
from tests.fakes import token_row
from tests.http_jobs.asking import asking
from tests.http_jobs.auth import needs
from tests.http_jobs.replies import Answer, Broken, Drip, Endless, Hang, Reply, html
from tests.http_jobs.server import HttpJobs

DEADLINE = 1.0
AT_ONCE = 8
MOST_MEMORY = AT_ONCE * 2_500_000
"""Twice the longest body for each check, and what a connection needs."""

HOSTILE: dict[str, Answer] = {
    "drips": Drip(),
    "drips headers": Drip(in_headers=True),
    "hangs": Hang(),
    "a gigabyte": Endless(),
    "a gigabyte in chunks": Endless(told=False),
    "HTML with 200": html(),
    "broken off": Broken(),
    "redirects for ever": Reply(302, b"", {"Location": "/jobs/other"}),
}


@pytest.fixture
def service() -> Iterator[HttpJobs]:
    with HttpJobs.running() as running:
        yield running


async def checked(source: HttpSource, count: int = AT_ONCE) -> list[Report]:
    return await asyncio.gather(*[source.check(token_row(f"job-{number}")) for number in range(count)])


def at(service: HttpJobs) -> dict[str, object]:
    return {"url": f"{service.url}/jobs/{{jobId}}"}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
async def test_fault_58_a_hostile_source_is_bounded_in_time_and_memory_and_never_a_success(
    service: HttpJobs, answer: Answer
) -> None:
    service.answer = lambda _: answer
    tracemalloc.start()
    try:
        async with asking(at(service), seconds=DEADLINE) as source:
            started = time.monotonic()
            reports = await checked(source)
            took = time.monotonic() - started
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all(isinstance(report, Unanswered) and not report.unknown_job for report in reports)
    assert took < DEADLINE + 2
    assert peak < MOST_MEMORY
    until(lambda: service.open == 0)  # nothing is left to drip on


async def test_fault_58_after_a_hostile_spell_the_same_source_is_asked_as_before(service: HttpJobs) -> None:
    async with asking(at(service), seconds=0.3) as source:
        for answer in HOSTILE.values():
            service.answer = lambda _, answer=answer: answer  # type: ignore[misc]
            await checked(source)
        service.polls = {f"job-{number}": 9 for number in range(AT_ONCE)}
        service.answer = service.status
        assert await checked(source) == [InProgress()] * AT_ONCE


async def test_fault_58_429_for_ever_spends_no_attempt_and_says_for_how_long_to_slow_down(service: HttpJobs) -> None:
    service.answer = lambda _: Reply(429, b"", {"Retry-After": "30"})
    async with asking(at(service)) as source:
        said = Unasked("the source replied with 429 Too Many Requests", Refusal.THROTTLED, 30)
        assert [report for _ in range(10) for report in await checked(source)] == [said] * 10 * AT_ONCE


async def test_fault_58_a_redirect_elsewhere_takes_no_secret_along(service: HttpJobs) -> None:
    with HttpJobs.running() as elsewhere:
        elsewhere.polls["job-0"] = 1
        service.answer = lambda request: Reply(302, b"", {"Location": elsewhere.url + request.target})
        http = at(service) | {"auth": {"bearer": {"env": "SECRET"}}}
        async with asking(http, secrets=Secrets(environment={"SECRET": "s3cr3t-value"})) as source:
            (report,) = await checked(source, 1)
        assert elsewhere.seen == []
    assert isinstance(report, Unanswered)
    assert "another host, scheme or port" in report.error


PIECES = [
    "..",
    ".",
    "/",
    "\\",
    "?",
    "#",
    "&",
    "=",
    "%",
    "%2e",
    "%2F",
    "@",
    ":",
    ";",
    "\r\n",
    "\0",
    " ",
    "ü",
    "{",
    "job",
]
TEXT = st.one_of(st.lists(st.sampled_from(PIECES), min_size=1).map("".join), st.text(min_size=1))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(job_id=TEXT, value=TEXT)
def test_fault_59_what_the_server_sees_stays_in_its_place(service: HttpJobs, job_id: str, value: str) -> None:
    service.seen.clear()
    http = {
        "url": f"{service.url}/v2/{{jobId}}/status?a={{input.x}}",
        "query": {"b": "{jobId}"},
        "headers": {"X-Job": "{input.safe}"},
    }
    safe = value if value.isascii() and value.isprintable() else "safe"

    async def check() -> Report:
        async with asking(http) as source:
            return await source.check(token_row(job_id, source_input={"x": value, "safe": safe}))

    report = asyncio.run(check())
    if not service.seen:
        assert isinstance(report, Unanswered)
        assert report.error.startswith("the job cannot be asked for: ")
        return
    (request,) = service.seen
    path, _, query = request.target.partition("?")
    assert [unquote(segment) for segment in path.split("/")] == ["", "v2", job_id, "status"]
    assert [unquote(part) for pair in query.split("&") for part in pair.split("=")] == ["a", value, "b", job_id]
    assert request.headers["x-job"] == safe
    assert request.headers["host"] == service.url.removeprefix("http://")
    assert set(request.headers) == {"host", "accept", "user-agent", "x-job", "accept-encoding"}


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a\nb", "a\0", "ü"])
async def test_fault_59_a_value_that_would_leave_its_header_is_not_sent(service: HttpJobs, value: str) -> None:
    async with asking(at(service) | {"headers": {"X-Job": "{input.x}"}}) as source:
        report = await source.check(token_row(source_input={"x": value}))
    assert report == Unanswered(
        "the job cannot be asked for: input.x does not fit into a header: it has characters that may not stand there"
    )
    assert service.seen == []


async def test_fault_60_wrong_credentials_spend_nothing_show_nothing_and_recover_by_themselves(
    service: HttpJobs,
) -> None:
    service.polls = {f"job-{number}": 9 for number in range(AT_ONCE)}
    service.gate = needs("Authorization", "Bearer the-right-one")
    environment = {"SECRET": "the-wrong-one"}
    http = at(service) | {"auth": {"bearer": {"env": "SECRET"}}}
    async with asking(http, secrets=Secrets(environment=environment)) as source:
        for report in await checked(source):
            assert isinstance(report, Unasked)
            assert report.refusal is Refusal.CREDENTIALS
            assert "wrong-one" not in repr(report)
        environment["SECRET"] = "the-right-one"
        assert await checked(source) == [InProgress()] * AT_ONCE


async def test_fault_60_a_token_that_runs_out_is_fetched_again_once_and_no_job_pays(service: HttpJobs) -> None:
    service.polls = {f"job-{number}": 99 for number in range(AT_ONCE)}
    service.gate = service.oauth.gate
    oauth2 = {"token_url": f"{service.url}/token", "client_id": "scheduler", "client_secret": {"env": "SECRET"}}
    http = at(service) | {"auth": {"oauth2": oauth2}}
    async with asking(http, secrets=Secrets(environment={"SECRET": "client-secret"})) as source:
        for spell in range(1, 4):
            assert await checked(source) == [InProgress()] * AT_ONCE
            assert len(service.oauth.asked) == spell
            service.oauth.given += 100  # what is kept is worth nothing any more
