"""Faults 15 and 16: Step Functions says that a task is closed, since it was answered, stopped, timed out or unknown."""

import json

import pytest

from tests.faults.world import KINDS, MODES, Kind, World, until


@pytest.mark.parametrize("kind", KINDS)
def test_fault_15_the_token_is_closed(world: World, kind: Kind) -> None:
    over = world.add("over")
    world.aws.tokens.stop(over.token)
    failed = world.add("failed", fail_with="no space left")
    world.aws.tokens.stop(failed.token)
    jobs = {over: "TaskTimedOut", failed: "TaskTimedOut"}
    for job_id, token, code in (
        ("unknown", world.aws.tokens.unknown(), "TaskDoesNotExist"),
        ("garbage", "no token of Step Functions", "InvalidToken"),
    ):
        world.aws.jobs.add(job_id)
        jobs[world.put(job_id, token)] = code
    if kind == "lambda":
        done = world.poller_lambda({"jobIds": [job.job_id for job in jobs]})
        assert json.loads(done.stdout) == {"results": [{"status": "CLOSED"}] * len(jobs)}
    with world.daemon(**({} if kind == "lambda" else MODES[kind])) as daemon:
        for job in jobs:
            world.ended(job)
        assert world.ticks(daemon)[-1]["due"] == 0
        assert daemon.stop() == 0
    if kind != "lambda":
        assert sum(tick["closed"] for tick in daemon.events("tick.finished")) == len(jobs)
        assert {line["job_id"] for line in daemon.events("answer.closed")} == {job.job_id for job in jobs}
    for job, code in jobs.items():
        row = world.row(job)
        assert (row["status"], row["attemptCount"]) == ("CLOSED", 1)
        assert row["lastError"].startswith(f"{code}: ")
        assert [offer.told for offer in world.aws.ledger.offers(job.token)] == [code]
        assert (world.answers(job), world.aws.jobs.checks(job.job_id)) == ([], 1)


def test_fault_16_the_execution_ends_while_the_job_goes_on(world: World) -> None:
    beats, stopped = world.add("beats", polls=1_000, row={"heartbeat": True}), world.add("stopped", polls=1_000)
    late = world.add("late", polls=1_000, timeout_seconds=3_600)
    jobs = [beats, stopped, late]
    for job in jobs:
        world.change(job, maxAttempts=1_000)
    with world.daemon() as daemon:
        until(lambda: len({line["job_id"] for line in daemon.events("poll.in_progress")}) == len(jobs))
        world.aws.tokens.stop(beats.token)
        world.aws.tokens.stop(stopped.token)
        world.aws.clock.advance(3_601)
        # The heartbeat hears of it while its job goes on; the others' answers do, once their jobs have ended.
        assert world.ended(beats)["status"] == "CLOSED"
        for job in (stopped, late):
            assert world.row(job)["status"] == "POLLING"
            world.aws.jobs.add(job.job_id)
        assert [world.ended(job)["status"] for job in (stopped, late)] == ["CLOSED", "CLOSED"]
        checks = world.aws.jobs.all_checks()
        assert [tick["due"] for tick in world.ticks(daemon)][-1] == 0
        assert (daemon.stop(), world.aws.jobs.all_checks()) == (0, checks)
    assert [world.aws.ledger.offered(job.token) for job in jobs] == [0, 1, 1]
    assert [world.aws.tokens.status(job.token) for job in jobs] == ["ABORTED", "ABORTED", "FAILED"]
    assert sum(tick["closed"] for tick in daemon.events("tick.finished")) == len(jobs)
