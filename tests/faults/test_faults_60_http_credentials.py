"""Fault 60 through the daemon: a secret that is wrong in its file, and is then renewed there."""

import json
from pathlib import Path

import pytest

from tests.faults.test_faults_24_and_39_two_sources import CLAIMS
from tests.faults.world import HOLDING, World, until
from tests.http_jobs.asking import LISTS
from tests.http_jobs.auth import needs
from tests.http_jobs.server import HttpJobs

WRONG, RIGHT = "canary-wrong-5d1f", "canary-right-5d1f"


@pytest.mark.parametrize("settings", [HOLDING, CLAIMS], ids=["held", "claim by claim"])
def test_fault_60_a_secret_that_is_renewed_in_its_file_is_used_within_seconds_and_no_job_paid(
    world: World, tmp_path: Path, settings: dict[str, str]
) -> None:
    secret = tmp_path.parent / f"{tmp_path.name}-secret"  # beside the logs, which may not show it
    secret.write_text(WRONG, "utf-8")
    entry = {"auth": {"bearer": {"file": str(secret)}}}
    with HttpJobs.running() as service:
        service.gate = needs("Authorization", f"Bearer {RIGHT}")
        entry["url"] = f"{service.url}/jobs/{{jobId}}"  # type: ignore[assignment]
        jobs = [world.add(f"reports-{number}", row={"source": "reports"}).job_id for number in range(3)]
        service.polls = dict.fromkeys(jobs, 1)
        sources = json.dumps({"reports": {"http": entry, **LISTS}})
        with world.daemon(SCHEDULER_SOURCES=sources, **settings) as daemon:
            until(lambda: "source reports" in str(daemon.readiness()[1].get("reason")), 20)
            shown = str(daemon.readiness())
            assert daemon.readiness()[0] == 503
            secret.write_text(RIGHT, "utf-8")
            rows = [world.ended(job, 30) for job in jobs]
            until(lambda: daemon.readiness()[0] == 200)
            assert len(daemon.events("trouble.began")) == 1
    assert {(row["status"], row["attemptCount"]) for row in rows} == {("COMPLETED", 1)}
    assert not [value for value in (WRONG, RIGHT) if value in world.texts() + shown + str(rows)]
