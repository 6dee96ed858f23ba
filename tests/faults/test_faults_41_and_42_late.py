"""Faults 41 and 42: more is due than can be polled, and clocks that are fast or expire what nobody asked."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.faults.world import World, until


def iso(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_fault_41_in_scan_mode_over_capacity_every_row_gets_its_turn(world: World) -> None:
    # Two slots and 0.1 s for each check make 20 a second; 40 rows that are due each 0.2 s would need 200.
    world.aws.faults.late("Invoke", 0.1, times=None)
    jobs = [world.add(f"job-{number:02}", polls=1_000, row={"maxAttempts": 10_000}) for number in range(40)]
    settings = {"SCHEDULER_DUE": "scan", "SCHEDULER_CONCURRENCY": "2"}
    with world.daemon(**settings):
        until(lambda: len(world.aws.jobs.all_checks()) == len(jobs), 30)
        until(lambda: min(world.aws.jobs.all_checks().values()) >= 3, 60)
    checks = world.aws.jobs.all_checks().values()
    assert max(checks) <= 3 * min(checks)


def test_fault_42_a_job_that_has_ended_is_asked_once_more_before_it_is_given_up(world: World) -> None:
    done = [world.add(f"done-{number}", row={"expiresAt": iso(-240)}) for number in range(10)]
    goes_on = world.add("goes-on", polls=1_000, row={"expiresAt": iso(-240)})
    with world.daemon():
        rows = [world.ended(job) for job in done]
        given_up = world.ended(goes_on)
    assert {row["status"] for row in rows} == {"COMPLETED"}
    assert (given_up["status"], world.aws.jobs.checks("goes-on")) == ("EXPIRED", 1)
    (answer,) = world.aws.ledger[goes_on.token]
    assert answer.error == "PollingExpired"


def test_fault_42_no_job_waits_beyond_its_expiry_for_its_next_poll(world: World) -> None:
    row: dict[str, Any] = {"intervalSeconds": 3_600, "expiresAt": iso(4)}
    ends, goes_on = world.add("ends", polls=2, row=row), world.add("goes-on", polls=9, row=row)
    started = time.monotonic()
    with world.daemon():
        assert world.ended(ends, 10)["status"] == "COMPLETED"
        assert world.ended(goes_on, 10)["status"] == "EXPIRED"
    assert 2.5 < time.monotonic() - started < 8
    assert world.aws.jobs.all_checks() == {"ends": 2, "goes-on": 2}


def test_fault_42_a_source_that_is_out_of_reach_at_the_expiry_is_asked_again(world: World) -> None:
    refused = world.aws.faults.fail("Invoke", code="TooManyRequestsException", times=None)
    job = world.add("job-1", row={"expiresAt": iso(-1)})
    with world.daemon():
        refused.wait(3)
        assert world.row(job)["status"] == "POLLING"
        refused.cancel()
        assert world.ended(job)["status"] == "COMPLETED"


def test_fault_42_a_clock_that_is_fast_fails_no_finished_job_and_is_told_of(world: World, tmp_path: Path) -> None:
    # In place of a machine whose clock is wrong: the daemon's own reading of it is.
    shifted = "import time\n_real = time.time_ns\ntime.time_ns = lambda: _real() + 240_000_000_000\n"
    (tmp_path / "sitecustomize.py").write_text(shifted, "utf-8")
    jobs = [world.add(f"job-{number}", row={"expiresAt": iso(180)}) for number in range(10)]
    with world.daemon(PYTHONPATH=str(tmp_path)) as daemon:
        assert {world.ended(job)["status"] for job in jobs} == {"COMPLETED"}
        until(lambda: "warnings" in daemon.readiness()[1], 10)
        status, shown = daemon.readiness()
    assert (status, shown["warnings"]) == (200, ["clock: this machine's clock is 240 s fast"])
    assert [line["part"] for line in daemon.events("trouble.began")] == ["clock"]
