"""Faults 6 to 9: a claim whose reply is lost, two pollers at one row, one that slept past its lease, a stale index."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from scheduler.core.token_row import due_shard
from tests.faults.world import SHARDS, Daemon, Kind, World, until


def polls(*daemons: Daemon) -> list[int]:
    """Give how many polls the ticks have counted: all, claimed, lost, errors. A tick counts those that have ended."""
    ticks = [tick for daemon in daemons for tick in daemon.events("tick.finished")]
    return [sum(tick[name] for tick in ticks) for name in ("polled", "claimed", "lost", "errors")]


@pytest.mark.parametrize("kind", ["daemon", "lambda"])
def test_fault_06_claim_applied_and_its_reply_lost(world: World, kind: Kind) -> None:
    jobs = [world.add("ours"), world.add("theirs", foreign=True)]
    for job in jobs:
        world.aws.faults.drop_reply("UpdateItem", containing=job.job_id)
    if kind == "lambda":
        done = world.poller_lambda({"jobIds": ["ours", "theirs"]})
        assert json.loads(done.stdout) == {"results": [{"status": "COMPLETED", "reconnected": True}] * 2}
    else:
        with world.daemon() as daemon:
            for job in jobs:
                world.ended(job)
            assert (daemon.stop(), world.complaints()) == (0, [])
    assert world.aws.calls["UpdateItem"] == 2 * 3  # the claim, the claim again, the mark
    for job in jobs:
        row = world.ended(job)
        assert (row["status"], row["attemptCount"], row["version"]) == ("COMPLETED", 1, 2)
        assert (world.answers(job), world.aws.jobs.checks(job.job_id)) == (["SendTaskSuccess"], 1)


@pytest.mark.parametrize("foreign", [False, True], ids=["ours", "foreign"])
def test_fault_07_two_daemons_and_one_row(world: World, *, foreign: bool) -> None:
    with world.daemon() as one, world.daemon() as other:
        # Both are at work before there is a row, for a held claim is sent again after 3 s.
        until(lambda: one.events("tick.finished") and other.events("tick.finished"))
        with world.aws.faults.hold("UpdateItem", times=2) as claims:
            job = world.add(foreign=foreign)
            claims.wait(2)  # both have read the row, and no claim is applied
        row = world.ended(job)
        until(lambda: polls(one, other)[0] == 2)
        assert (one.stop(), other.stop()) == (0, 0)
    assert polls(one, other) == [2, 1, 1, 0]
    lost = [line["job_id"] for daemon in (one, other) for line in daemon.events("poll.lost")]
    assert (lost, world.complaints()) == ([job.job_id], [])
    assert (row["status"], row["attemptCount"], row["version"]) == ("COMPLETED", 1, 2)
    assert (world.answers(job), world.aws.ledger.offered(job.token)) == (["SendTaskSuccess"], 1)
    assert world.aws.jobs.checks(job.job_id) == 1


def test_fault_07_a_daemon_and_the_lambda_and_one_row(world: World) -> None:
    job = world.add(row={"nextPollAt": int(time.time() * 1000) + 3_600_000})
    claims = world.aws.faults.hold("UpdateItem", times=2)
    with world.daemon() as daemon, ThreadPoolExecutor(1) as thread:
        until(lambda: daemon.events("tick.finished"))
        polling = thread.submit(world.poller_lambda, {"jobId": "job-1"})  # which polls it, due or not
        claims.wait(1)
        world.make_due(job)
        claims.wait(2)
        claims.release()
        row = world.ended(job)
        done = polling.result()
        until(lambda: any(tick["polled"] for tick in daemon.events("tick.finished")))
        (tick,) = [tick for tick in daemon.events("tick.finished") if tick["polled"]]
    replied = json.loads(done.stdout)
    winners = [tick["claimed"] == 1, replied["status"] == "COMPLETED"]
    assert sorted(winners) == [False, True]
    assert tick["lost"] == 1 or replied["outcome"] == "lost"
    assert (done.returncode, tick["errors"]) == (0, 0)
    assert (row["status"], row["attemptCount"], row["version"]) == ("COMPLETED", 1, 2)
    assert (world.answers(job), world.aws.jobs.checks("job-1")) == (["SendTaskSuccess"], 1)


def test_fault_08_stopped_past_the_lease_with_an_answer_under_way(world: World) -> None:
    job = world.add()
    world.may_be_repeated.append(job)  # by the one that slept, and has heard nothing
    answer = world.aws.faults.hold("SendTaskSuccess")
    with world.daemon() as stopped:
        answer.wait()
        stopped.process.send_signal(signal.SIGSTOP)
        world.make_due(job)
        assert world.poll_once("daemon", job) == 0
        ended, row = world.item(job), world.ended(job)
        assert (row["status"], row["attemptCount"]) == ("COMPLETED", 2)

        answer.release()
        stopped.process.send_signal(signal.SIGCONT)
        until(lambda: stopped.events("answer.closed"))
        (closed,) = stopped.events("answer.closed")
        assert (closed["job_id"], stopped.events("poll.crashed")) == ("job-1", [])
        assert [tick["errors"] for tick in world.ticks(stopped)] == [0, 0]
        assert stopped.stop() == 0
    assert world.item(job) == ended
    assert world.answers(job) == ["SendTaskSuccess"]
    effects = sorted(str(offer.effect) for offer in world.aws.ledger.offers(job.token))
    assert effects[0] == "TaskTimedOut"
    assert effects[-1] == "applied"


def test_fault_08_stopped_past_the_lease_with_a_check_under_way(world: World) -> None:
    job = world.add(polls=100, row={"intervalSeconds": 20})
    check = world.aws.faults.hold("Invoke")
    with world.daemon() as stopped:
        check.wait()
        stopped.process.send_signal(signal.SIGSTOP)
        world.make_due(job)
        with world.daemon() as other:
            until(lambda: other.events("poll.in_progress"))
            assert other.stop() == 0
        held = world.item(job)

        check.release()
        stopped.process.send_signal(signal.SIGCONT)
        until(lambda: polls(stopped)[0] == 1)
        # It wanted to put the row back to its interval, and the row was its own no more.
        assert world.item(job) == held
    assert (world.row(job)["attemptCount"], world.aws.ledger.offered(job.token)) == (2, 0)


def test_fault_09_the_row_changes_between_the_read_and_the_claim(world: World) -> None:
    later = int(time.time() * 1000) + 3_600_000
    # Of two shards: the rows of one page are claimed one by one, until a claim is won.
    leased, ended, foreign = world.add("leased-2"), world.add("ended"), world.add("foreign", foreign=True)
    jobs = [leased, ended, foreign]
    claims = world.aws.faults.hold("UpdateItem", times=3)
    with world.daemon() as daemon:
        claims.wait(3)
        world.change(leased, version=1, attemptCount=1, claimId="another's", nextPollAt=later)
        world.change(ended, status="FAILED", version=2, nextPollAt=None, dueShard=None)
        world.change(foreign, attemptCount=1, nextPollAt=later)
        as_changed = world.rows()
        claims.release()
        until(lambda: polls(daemon)[0] == 3)
        assert polls(daemon) == [3, 0, 3, 0]
        assert (daemon.stop(), world.complaints()) == (0, [])
    assert world.rows() == as_changed
    assert world.aws.jobs.all_checks() == {}
    assert [world.aws.ledger.offered(job.token) for job in jobs] == [0, 0, 0]


def test_fault_09_the_index_shows_a_row_that_has_since_been_claimed(world: World) -> None:
    job = world.add()
    shown = world.aws.faults.hold(
        "Query", after_apply=True, containing=f'":shard": {{"N": "{due_shard("job-1", SHARDS)}"}}'
    )
    with world.daemon() as daemon:
        shown.wait()  # the index has said that the row is due
        world.change(job, version=1, attemptCount=1, nextPollAt=int(time.time() * 1000) + 3_600_000)
        shown.release()
        until(lambda: daemon.events("tick.finished"))
        assert daemon.events("tick.finished")[0]["due"] == 0
    assert (world.aws.calls["BatchGetItem"], world.aws.calls["UpdateItem"]) == (1, 0)
    assert world.aws.jobs.all_checks() == {}
