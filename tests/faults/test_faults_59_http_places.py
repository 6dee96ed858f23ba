"""Fault 59 through the daemon: job ids that are made to break out of a URL, from the row to the wire."""

import json
from urllib.parse import quote

from tests.faults.world import World
from tests.http_jobs.asking import LISTS
from tests.http_jobs.server import HttpJobs

HOSTILE = ["a?state=DONE", "a#b", "a%2e%2e%2fb", "ä b", "x\r\nHost: elsewhere", "a;b&c=d", "{jobId}", "//elsewhere"]
UNFIT = ["..", "."]


def test_fault_59_job_ids_stay_in_their_place_and_one_that_cannot_be_kept_there_pays_alone(world: World) -> None:
    with HttpJobs.running() as service:
        row = {"source": "reports", "maxAttempts": 2}
        jobs = [world.add(job_id, row=row).job_id for job_id in [*HOSTILE, *UNFIT, "good"]]
        service.polls = {quote(job_id, safe=""): 1 for job_id in jobs}
        entry = {"http": {"url": f"{service.url}/jobs/{{jobId}}"}, **LISTS}
        with world.daemon(SCHEDULER_SOURCES=json.dumps({"reports": entry})):
            ends = {job: world.ended(job)["status"] for job in jobs}
        targets = {request.target for request in service.seen if request.method == "GET"}
    assert targets == {f"/jobs/{quote(job_id, safe='')}" for job_id in [*HOSTILE, "good"]}
    assert {ends[job_id] for job_id in UNFIT} == {"MAX_ATTEMPTS"}
    assert {status for job_id, status in ends.items() if job_id not in UNFIT} == {"COMPLETED"}
