"""Asking the service for a job once, as the tests of HTTP sources do."""

from typing import Any

from scheduler.core.check_replies import Report
from tests.fakes import token_row
from tests.http_jobs.asking import asking
from tests.http_jobs.replies import Answer
from tests.http_jobs.server import HttpJobs


async def asked(service: HttpJobs, job_id: str = "job-1", **options: Any) -> Report:
    http = {"url": f"{service.url}/jobs/{{jobId}}"} | options.pop("http", {})
    async with asking(http, **options) as source:
        return await source.check(token_row(job_id))


def replying(service: HttpJobs, *answers: Answer) -> None:
    """Reply so, one after the other, the last one for ever."""
    left = list(answers)
    service.answer = lambda _: left.pop(0) if len(left) > 1 else left[0]
