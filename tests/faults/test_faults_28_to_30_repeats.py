"""Rows 28 to 30: ticks that last too long, jobs registered twice, rows that crash their poller."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from create_job import TokenConflictError
from tests.faults.creating import Creating
from tests.faults.world import KILLED, AddedJob, World, until


def test_fault_28_ticks_never_overlap_and_those_skipped_are_counted_and_logged_once_a_spell(world: World) -> None:
    jobs = [world.add(f"job-{number}", polls=3) for number in range(3)]
    with world.daemon() as daemon:
        assert [world.ended(job)["status"] for job in jobs] == ["COMPLETED"] * 3
        for spell in (1, 2):
            with world.aws.faults.hold("Query", times=1) as held:
                held.wait()
                finished = len(daemon.events("tick.finished"))
                until(lambda spell=spell: len(daemon.events("tick.skipped")) == spell)  # type: ignore[misc]
                assert len(daemon.events("tick.finished")) <= finished + 1  # the one whose line was being written
            world.ticks(daemon, more=3)
        assert daemon.stop() == 0
        lines = daemon.lines()
    first, second = (line for line in lines if line["event"] == "tick.skipped")
    assert (first["level"], first["reason"], first["skipped_ticks"]) == (
        "warning",
        "finding what is due takes longer than the interval",
        1,
    )
    assert lines[-1]["event"] == "scheduler.stopped"
    assert first["skipped_ticks"] < second["skipped_ticks"] <= lines[-1]["skipped_ticks"]
    # Each tick's lines stand together: none begins before the one before it is over.
    ids = [line["tick_id"] for line in lines if "tick_id" in line]
    assert sum(one != other for one, other in itertools.pairwise(ids)) == len(set(ids)) - 1
    assert world.aws.jobs.all_checks() == {f"job-{number}": 3 for number in range(3)}


@pytest.mark.parametrize("operation", ["PutItem", "Invoke"])
def test_fault_29_create_job_retried_after_a_lost_reply_makes_one_row_and_one_job(
    world: World, creating: Creating, operation: str
) -> None:
    token = world.aws.tokens.waiting()
    with world.aws.faults.drop_reply(operation) as lost:
        job_id = creating.create(token)
        assert lost.met == 1
    before = world.row(job_id)
    assert creating.create(token) == job_id  # Step Functions' own retry, with the same token
    assert (world.rows(), len(creating.jobs())) == ({job_id: before}, 1)
    assert (before["taskToken"], before["attemptCount"], before["version"]) == (token, 0, 0)


def test_fault_29_create_job_run_many_times_at_once_makes_one_row_and_one_job(world: World, creating: Creating) -> None:
    tokens = [world.aws.tokens.waiting() for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(creating.create, tokens * 4))
    assert len(set(made)) == 2
    assert {row["jobId"]: row["taskToken"] for row in world.rows().values()} == dict(zip(made[:2], tokens, strict=True))
    assert {job["jobId"] for job in creating.jobs()} == set(made)


def test_fault_29_a_retry_during_the_polls_takes_nothing_back(world: World, creating: Creating) -> None:
    token = world.aws.tokens.waiting()
    job = AddedJob(creating.create(token), token)
    with world.daemon(SCHEDULER_SOURCE_FUNCTION="api") as daemon:
        until(lambda: world.row(job)["attemptCount"])
        assert creating.create(token) == job.job_id
        assert world.row(job)["attemptCount"] >= 1
        row = world.ended(job)
        assert creating.create(token) == job.job_id
        world.ticks(daemon)
    assert (row["status"], world.row(job)) == ("COMPLETED", row)
    assert world.answers(job) == ["SendTaskSuccess"]


def test_fault_29_a_new_token_never_silently_replaces_another(world: World, creating: Creating) -> None:
    held, other = world.add("job-1"), world.aws.tokens.waiting()
    world.aws.functions.add("careless-api", lambda _event: {"jobId": held.job_id})
    before = world.row(held)
    with pytest.raises(TokenConflictError, match="another task waits for job job-1 already") as raised:
        creating.create(other, api="careless-api")
    assert world.row(held) == before
    assert not {token for token in (held.token, other) if token in repr(raised.value)}


def test_fault_30_a_row_that_crashes_its_poller_each_time_reaches_max_attempts(world: World) -> None:
    """The poller dies with its check, as one does that a reply makes run out of memory."""
    poison = world.add("poison", row={"maxAttempts": 2})
    for attempt in (1, 2):
        with world.daemon(failpoint="before-check", SCHEDULER_INTERVAL_SECONDS="60") as daemon:
            assert daemon.process.wait(30) == KILLED
        assert (world.row(poison)["attemptCount"], world.row(poison)["status"]) == (attempt, "POLLING")
        world.make_due(poison)
    with world.daemon(failpoint="before-check") as daemon:
        row = world.ended(poison)
        world.ticks(daemon)
        assert daemon.process.poll() is None
    assert (row["status"], row["attemptCount"], world.aws.jobs.checks("poison")) == ("MAX_ATTEMPTS", 3, 0)
    (answer,) = world.aws.ledger[poison.token]
    assert (answer.operation, answer.error) == ("SendTaskFailure", "MaxAttemptsExceeded")


def test_fault_30_the_poller_lambda_that_dies_each_time_gives_the_job_up_too(world: World) -> None:
    poison = world.add("poison", row={"maxAttempts": 1})
    assert world.poll_once("lambda", poison, failpoint="before-check") == KILLED
    world.make_due(poison)
    done = world.poller_lambda({"jobId": "poison"}, failpoint="before-check")
    assert json.loads(done.stdout) == {"status": "MAX_ATTEMPTS"}
    assert (world.row(poison)["status"], world.answers(poison)) == ("MAX_ATTEMPTS", ["SendTaskFailure"])
