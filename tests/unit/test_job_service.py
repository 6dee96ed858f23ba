"""The small job service of the demo, asked over HTTP as a source is."""

import json
from typing import Any

import aiohttp
import pytest

from scheduler.checks.readings import Reader
from scheduler.checks.spec import spec_of
from scheduler.core.check_replies import Completed, Failed, InProgress, Report
from scheduler.job_service import job_service, source


async def reports(record: dict[str, Any], checks: int) -> list[Report]:
    """Give what so many checks of a job say, read as the demo's source has it."""

    async def order(job_id: str) -> dict[str, Any] | None:
        return {"record": json.dumps(record)} if job_id == "job-1" else None

    found = []
    async with job_service(order) as url, aiohttp.ClientSession() as session:
        entry = source(url, 1.0)
        reader = Reader(spec_of("reports", entry).reading)
        for _ in range(checks):
            async with session.get(entry["http"]["url"].format(jobId="job-1")) as response:
                found.append(reader.read({"status": response.status, "headers": {}, "body": await response.json()}))
    return found


async def test_a_job_is_in_progress_twice_and_done_from_then_on() -> None:
    done = Completed({"output": "https://example.com/output/job-1"})
    assert await reports({"id": "r-1"}, 4) == [InProgress(), InProgress(), done, done]


async def test_a_job_that_is_to_fail_does_so_for_its_reason() -> None:
    assert (await reports({"id": "r-1", "failWith": "no disk"}, 3))[-1] == Failed("no disk")


@pytest.mark.parametrize("path", ["jobs/job-2", "elsewhere"])
async def test_a_job_that_nobody_ordered_is_unknown(path: str) -> None:
    async def none(job_id: str) -> None:
        del job_id

    async with job_service(none) as url, aiohttp.ClientSession() as session, session.get(f"{url}/{path}") as response:
        assert response.status == 404
