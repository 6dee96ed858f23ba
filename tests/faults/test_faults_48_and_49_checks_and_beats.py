"""Faults 48 and 49: the reply to a check is lost, and heartbeats that are refused or that a job's source holds up."""

import pytest

from tests.faults.world import MODES, Kind, World, until


@pytest.mark.parametrize("kind", ["daemon", "lambda"])
def test_fault_48_a_check_whose_reply_is_lost_is_counted_once_and_sent_once(world: World, kind: Kind) -> None:
    jobs = [world.add(f"job-{number}", polls=100, row={"maxAttempts": 2}) for number in range(3)]
    world.aws.faults.drop_reply("Invoke", times=None, containing="CHECK_STATUS")
    world.install_poller()
    with world.daemon(**MODES[kind]):
        rows = [world.ended(job, 60) for job in jobs]
    assert {row["status"] for row in rows} == {"MAX_ATTEMPTS"}
    assert world.aws.jobs.all_checks() == {job.job_id: 2 for job in jobs}


def test_fault_49_refused_heartbeats_are_told_once_a_spell(world: World) -> None:
    refused = world.aws.faults.fail("SendTaskHeartbeat", code="AccessDeniedException", times=None)
    job = world.add(polls=10_000, row={"heartbeat": True, "maxAttempts": 10_000})
    with world.daemon() as daemon:
        refused.wait(5)
        until(lambda: "heartbeats: access is denied" in daemon.readiness()[1].get("reason", ""))
        assert daemon.readiness()[0] == 503
        assert world.row(job)["status"] == "POLLING"
        refused.cancel()
        until(lambda: daemon.readiness()[0] == 200)
    (began,) = [line for line in daemon.events("trouble.began") if line["part"] == "heartbeats"]
    assert "AccessDeniedException" in began["error"]


@pytest.mark.parametrize("trouble", ["throttled", "missing", "hung", "failing"])
def test_fault_49_a_task_gets_its_heartbeats_whatever_its_source_does(world: World, trouble: str) -> None:
    settings = {"SCHEDULER_CONCURRENCY": "2", "SCHEDULER_CHECK_TIMEOUT_SECONDS": "60", "SCHEDULER_DRAIN_SECONDS": "0"}
    match trouble:
        case "throttled":
            world.aws.faults.fail("Invoke", code="TooManyRequestsException", times=None)
        case "missing":
            settings["SCHEDULER_SOURCE_FUNCTION"] = "nowhere"
        case "failing":
            world.aws.faults.fail("Invoke", code="ServiceException", status=500, times=None)
        case "hung":
            for number in range(4):
                world.add(f"hung-{number}", always="hang")
    with world.daemon(**settings) as daemon:
        if trouble == "hung":
            until(lambda: sum(world.aws.jobs.all_checks().values()) == 2)
        job = world.add("beats", polls=1_000, row={"heartbeat": True, "maxAttempts": 10, "intervalSeconds": 1})
        until(lambda: len(world.aws.ledger.heartbeats(job.token)) >= 4, 15)
        row = world.row(job)
        assert row["status"] == "POLLING"
        assert row["attemptCount"] <= 1  # the claim of a beat that is under way
        until(lambda: daemon.readiness()[1].get("reason") or daemon.readiness()[1].get("warnings") or trouble == "hung")


def test_fault_49_a_task_gets_its_heartbeats_while_its_answer_waits(world: World) -> None:
    world.aws.faults.fail("SendTaskSuccess", code="ThrottlingException", times=None)
    job = world.add("beats", row={"heartbeat": True})
    with world.daemon():
        until(lambda: len(world.aws.ledger.heartbeats(job.token)) >= 3, 20)
        assert world.row(job)["status"] == "POLLING"
        world.aws.faults.clear()
        assert world.ended(job)["status"] == "COMPLETED"
    assert world.aws.jobs.checks("beats") == 1
