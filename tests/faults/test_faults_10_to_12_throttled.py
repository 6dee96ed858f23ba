"""Faults 10 to 12: DynamoDB throttles, a batch comes back in part, Step Functions throttles."""

import json

import pytest

from scheduler.core.token_row import due_shard
from tests.faults.world import KINDS, MODES, SHARDS, Kind, World, until

SDK_TRIES = 3  # of one call to DynamoDB
SDK_RETRIES_IN_RESERVE = 100  # the SDK's standard mode: 500 tokens, of which a retry takes 5


def test_fault_10_dynamodb_throttles(world: World) -> None:
    job = world.add()
    untouched = world.item(job)
    throttled = world.aws.faults.fail("UpdateItem", code="ProvisionedThroughputExceededException", times=None)
    with world.daemon() as daemon:
        until(lambda: daemon.events("poll.unreached"))
        assert throttled.met >= SDK_TRIES
        assert (world.item(job), world.aws.jobs.all_checks()) == (untouched, {})
        status, shown = until(lambda: (seen := daemon.readiness())[0] == 503 and seen)
        assert (status, shown["status"]) == (503, "unready")
        assert shown["reason"] == "token table: throttled"
        assert "ProvisionedThroughputExceededException" in daemon.events("trouble.began")[0]["error"]
        throttled.cancel()
        row = world.ended(job)
        until(lambda: daemon.readiness()[0] == 200)
    assert (row["status"], row["attemptCount"], row["version"]) == ("COMPLETED", 1, 2)
    assert (world.answers(job), world.aws.jobs.checks("job-1")) == (["SendTaskSuccess"], 1)


def test_fault_10_retries_have_a_budget(world: World) -> None:
    jobs = [world.add(f"job-{number}") for number in range(60)]
    throttled = world.aws.faults.fail("UpdateItem", code="ProvisionedThroughputExceededException", times=None)
    with world.daemon() as daemon:
        until(lambda: daemon.events("tick.finished"))
        met = throttled.met
        polled = sum(tick["polled"] for tick in daemon.events("tick.finished"))
        # Of the last polls the tick may not be there yet; each of them makes a call of its own.
        in_flight = len(jobs)
        assert polled < met <= polled + in_flight + SDK_RETRIES_IN_RESERVE
        throttled.cancel()
        rows = [world.ended(job) for job in jobs]
    assert {(row["status"], row["attemptCount"]) for row in rows} == {("COMPLETED", 1)}
    assert set(world.aws.jobs.all_checks().values()) == {1}
    assert [world.answers(job) for job in jobs] == [["SendTaskSuccess"]] * len(jobs)


def test_fault_11_a_batch_comes_back_in_part(world: World) -> None:
    names = [name for name in map("job-{}".format, range(40)) if due_shard(name, SHARDS) == 0][:5]
    jobs = [world.add(name, row={"nextPollAt": at}) for at, name in enumerate(names, start=1_000)]
    # It would be met if a key that was served were asked for again.
    again = world.aws.faults.fail("BatchGetItem", code="InternalServerError", containing=f'"{names[0]}"', skip=1)
    partly = world.aws.faults.unprocessed(keys=2)
    # In a single tick: a second one, while the first one's claims are under way, would read the rows again.
    with world.daemon(SCHEDULER_INTERVAL_SECONDS="3600") as daemon:
        rows = [world.ended(job) for job in jobs]
        assert (daemon.stop(), world.complaints()) == (0, [])
    assert (partly.met, again.met, world.aws.calls["BatchGetItem"]) == (1, 0, 2)
    assert [tick["due"] for tick in daemon.events("tick.finished")] == [5]
    assert len(daemon.events("poll.completed")) == 5
    assert {(row["status"], row["attemptCount"]) for row in rows} == {("COMPLETED", 1)}
    assert set(world.aws.jobs.all_checks().values()) == {1}


@pytest.mark.parametrize("kind", KINDS)
def test_fault_12_step_functions_throttles(world: World, kind: Kind) -> None:
    good, bad = world.add("good", result={"rows": 3}), world.add("bad", fail_with="no space left")
    throttled = world.aws.faults.fail("SendTask*", code="ThrottlingException", times=None)
    settings = MODES[kind] | {"SCHEDULER_LAMBDA_BATCH_SIZE": "2"}
    world.install_poller()
    with world.daemon(**settings) as daemon:
        until(lambda: all("pendingAnswer" in world.row(job) for job in (good, bad)))
        kept = world.row(good)
        assert (kept["status"], kept["attemptCount"]) == ("POLLING", 1)
        assert json.loads(kept["pendingAnswer"]["output"])["result"]["data"] == {"rows": 3}
        assert "ThrottlingException" in kept["lastError"]
        assert world.answers(good) == world.answers(bad) == []
        until(lambda: daemon.events("answer.deferred"))
        throttled.cancel()
        rows = [world.ended(job) for job in (good, bad)]
    assert [(row["status"], row["attemptCount"]) for row in rows] == [("COMPLETED", 1), ("FAILED", 1)]
    assert world.aws.jobs.all_checks() == {"good": 1, "bad": 1}
    assert (world.answers(good), world.answers(bad)) == (["SendTaskSuccess"], ["SendTaskFailure"])


def test_fault_12_answers_at_a_rate_above_what_is_taken(world: World) -> None:
    jobs = [world.add(f"job-{number}") for number in range(40)]
    throttled = world.aws.faults.throttle("SendTask*", rate=5, burst=5)
    with world.daemon():
        rows = [world.ended(job) for job in jobs]
    assert throttled.met > 0
    assert {(row["status"], row["attemptCount"]) for row in rows} == {("COMPLETED", 1)}
    assert set(world.aws.jobs.all_checks().values()) == {1}
    assert [world.answers(job) for job in jobs] == [["SendTaskSuccess"]] * len(jobs)
