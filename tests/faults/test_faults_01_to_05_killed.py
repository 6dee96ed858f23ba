"""Faults 1 to 5: a poller is killed at a point of its poll, in the daemon and in the poller Lambda alike.

A daemon takes over each time: what recovers a killed poller's row is a later tick, in lambda mode too.
"""

import json
import time
from typing import Any

import pytest

from tests.faults.world import KILLED, KINDS, AddedJob, Kind, World

both_drivers = pytest.mark.parametrize("kind", KINDS)


def take_over(world: World, job: AddedJob) -> dict[str, Any]:
    """Let a daemon find the row, first while the killed poller's lease runs, and then after it."""
    leased = world.item(job)
    with world.daemon() as daemon:
        assert [tick["due"] for tick in world.ticks(daemon)] == [0, 0]
        assert world.item(job) == leased
        world.make_due(job)
        row = world.ended(job)
        assert daemon.stop() == 0  # drained: whatever it had to write about the job, it has written
    return row


@both_drivers
def test_fault_01_killed_before_the_claim(world: World, kind: Kind) -> None:
    job = world.add()
    untouched = world.item(job)
    assert world.poll_once(kind, job, failpoint="before-claim") == KILLED
    assert (world.item(job), world.aws.jobs.checks("job-1"), world.aws.ledger.offered(job.token)) == (untouched, 0, 0)

    assert world.poll_once("daemon", job) == 0
    row = world.ended(job)
    assert (row["status"], row["attemptCount"], world.aws.jobs.checks("job-1")) == ("COMPLETED", 1, 1)
    assert world.answers(job) == ["SendTaskSuccess"]


@both_drivers
def test_fault_02_killed_after_the_claim(world: World, kind: Kind) -> None:
    job = world.add()
    assert world.poll_once(kind, job, failpoint="after-claim") == KILLED
    claimed = world.row(job)
    assert (claimed["status"], claimed["version"], claimed["attemptCount"]) == ("POLLING", 1, 1)
    assert claimed["nextPollAt"] > time.time() * 1000
    assert world.aws.jobs.checks("job-1") == 0

    row = take_over(world, job)
    assert (row["status"], row["attemptCount"], world.aws.jobs.checks("job-1")) == ("COMPLETED", 2, 1)
    (answer,) = world.aws.ledger[job.token]
    assert json.loads(str(answer.output))["attempts"] == 2


@both_drivers
def test_fault_03_killed_after_the_check(world: World, kind: Kind) -> None:
    job = world.add()
    assert world.poll_once(kind, job, failpoint="after-check") == KILLED
    assert (world.aws.jobs.checks("job-1"), world.aws.ledger.offered(job.token)) == (1, 0)
    assert world.row(job)["status"] == "POLLING"

    row = take_over(world, job)
    assert (row["status"], row["attemptCount"], world.aws.jobs.checks("job-1")) == ("COMPLETED", 2, 2)
    assert world.answers(job) == ["SendTaskSuccess"]


@pytest.mark.parametrize(("kind", "reason"), [("daemon", None), ("lambda", None), ("daemon", "the disk is full")])
def test_fault_04_killed_after_the_answer_before_the_mark(world: World, kind: Kind, reason: str | None) -> None:
    job = world.add(fail_with=reason)
    assert world.poll_once(kind, job, failpoint="after-send") == KILLED
    world.may_be_repeated.append(job)
    answered = world.aws.ledger[job.token]
    assert (len(answered), world.row(job)["status"]) == (1, "POLLING")

    row = take_over(world, job)
    # Nobody can tell whether it was an answer of one's own that closed the token, so that the row does not say it.
    assert row["status"] == "CLOSED"
    assert world.aws.ledger[job.token] == answered
    assert [offer.effect for offer in world.aws.ledger.offers(job.token)] == ["applied", "TaskTimedOut"]
    assert world.aws.tokens.status(job.token) == ("FAILED" if reason else "SUCCEEDED")
    assert len(world.daemons[-1].events("answer.closed")) == 1


@both_drivers
def test_fault_05_killed_after_the_mark(world: World, kind: Kind) -> None:
    job = world.add()
    assert world.poll_once(kind, job, failpoint="after-mark") == KILLED
    assert_ended_for_good(world, job)


def test_fault_05_killed_during_the_mark(world: World) -> None:
    job = world.add()
    mark = world.aws.faults.hold("UpdateItem", skip=1)
    with world.daemon() as daemon:
        mark.wait()
        daemon.process.kill()
        assert daemon.process.wait(10) == KILLED
    assert world.row(job)["status"] == "POLLING"
    mark.release()
    world.ended(job)
    assert_ended_for_good(world, job)
    with world.daemon() as daemon:
        assert [tick["due"] for tick in world.ticks(daemon)] == [0, 0]
        assert world.complaints(daemon) == []


@both_drivers
def test_fault_05_mark_applied_and_its_reply_lost(world: World, kind: Kind) -> None:
    job = world.add()
    lost = world.aws.faults.drop_reply("UpdateItem", containing="COMPLETED")
    assert world.poll_once(kind, job) == 0
    assert (lost.met, world.complaints()) == (1, [])
    assert [len(daemon.events("poll.completed")) for daemon in world.daemons] == [1] * len(world.daemons)
    assert_ended_for_good(world, job)


def assert_ended_for_good(world: World, job: AddedJob) -> None:
    row, ended = world.ended(job), world.item(job)
    assert (row["status"], row["attemptCount"], row["version"]) == ("COMPLETED", 1, 2)
    assert json.loads(world.poller_lambda({"jobId": "job-1"}).stdout) == {"status": "COMPLETED"}
    assert world.item(job) == ended
    assert (world.answers(job), world.aws.ledger.offered(job.token)) == (["SendTaskSuccess"], 1)
    assert world.aws.jobs.checks("job-1") == 1
