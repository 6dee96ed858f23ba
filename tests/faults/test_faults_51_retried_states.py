"""Row 51: the waiting state is tried again, and Step Functions issues a new token for it."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from create_job import TokenConflictError, UnavailableError
from tests.faults.creating import Creating
from tests.faults.world import KINDS, AddedJob, Kind, World, until


def tried_again(world: World, older: str) -> str:
    """Let Step Functions try a state again: the older token is dead from now on."""
    world.aws.tokens.stop(older)
    return world.aws.tokens.waiting()


def test_fault_51_one_job_and_its_row_has_the_newer_token(world: World, creating: Creating) -> None:
    older = world.aws.tokens.waiting()
    job_id = creating.attempt(older, 0)
    newer = tried_again(world, older)

    assert creating.attempt(newer, 1) == job_id

    assert (list(world.rows()), len(creating.jobs())) == ([job_id], 1)
    with world.daemon(SCHEDULER_SOURCE_FUNCTION="api"):
        row = world.ended(job_id)
    assert (row["status"], row["attemptCount"]) == ("COMPLETED", 2)
    assert world.answers(AddedJob(job_id, newer)) == ["SendTaskSuccess"]
    assert world.answers(AddedJob(job_id, older)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_fault_51_a_poll_that_holds_the_older_token_cannot_end_the_row_of_the_newer_one(
    world: World, creating: Creating, kind: Kind
) -> None:
    older = world.aws.tokens.waiting()
    job_id = creating.attempt(older, 0, polls=1)
    with world.aws.faults.hold("Invoke", containing="CHECK_STATUS") as held, ThreadPoolExecutor(1) as pool:
        polling = pool.submit(_poll, world, kind, AddedJob(job_id, older))
        held.wait()
        newer = tried_again(world, older)
        creating.attempt(newer, 1, polls=1)
        held.release()
        polling.result()

    row = world.row(job_id)
    assert (row["status"], row["taskToken"]) == ("POLLING", newer)
    assert _told(world, older) == ["TaskTimedOut"]
    with world.daemon(SCHEDULER_SOURCE_FUNCTION="api"):
        assert world.ended(job_id)["status"] == "COMPLETED"
    assert world.answers(AddedJob(job_id, newer)) == ["SendTaskSuccess"]


def test_fault_51_a_row_that_a_poller_closed_between_two_attempts_waits_again(world: World, creating: Creating) -> None:
    older = world.aws.tokens.waiting()
    job_id = creating.attempt(older, 0, polls=1)
    newer = tried_again(world, older)
    with world.daemon(SCHEDULER_SOURCE_FUNCTION="api"):
        assert world.ended(job_id)["status"] == "CLOSED"
        creating.attempt(newer, 1, polls=1)
        row = until(lambda: world.row(job_id)["status"] == "COMPLETED" and world.ended(job_id))
    assert row["taskToken"] == newer
    assert world.answers(AddedJob(job_id, newer)) == ["SendTaskSuccess"]
    assert len(creating.jobs()) == 1


@pytest.mark.parametrize("operation", ["Invoke", "PutItem", "GetItem", "UpdateItem"])
def test_fault_51_a_lost_reply_in_the_later_attempt_changes_nothing(
    world: World, creating: Creating, operation: str
) -> None:
    older = world.aws.tokens.waiting()
    job_id = creating.attempt(older, 0)
    newer = tried_again(world, older)
    with world.aws.faults.drop_reply(operation) as lost:
        assert creating.attempt(newer, 1) == job_id
        assert lost.met == 1
    row = world.row(job_id)
    assert (row["taskToken"], row["version"], len(creating.jobs())) == (newer, 1, 1)


@pytest.mark.parametrize("operation", ["PutItem", "Invoke"])
def test_fault_51_a_throttled_attempt_is_tried_again_and_makes_one_job(
    world: World, creating: Creating, operation: str
) -> None:
    older = world.aws.tokens.waiting()
    code = {"PutItem": "ThrottlingException", "Invoke": "TooManyRequestsException"}[operation]
    with world.aws.faults.fail(operation, code=code, times=None), pytest.raises(UnavailableError, match=code):
        creating.attempt(older, 0)
    newer = tried_again(world, older)

    job_id = creating.attempt(newer, 1)

    assert (world.row(job_id)["taskToken"], list(world.rows()), len(creating.jobs())) == (newer, [job_id], 1)


def test_fault_51_attempts_that_run_at_once_leave_the_token_of_the_last_one(world: World, creating: Creating) -> None:
    tokens = [world.aws.tokens.waiting() for _ in range(6)]

    def attempt(retry: int) -> None:
        with suppress(TokenConflictError):
            creating.attempt(tokens[retry], retry)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(attempt, [3, 1, 5, 0, 4, 2] * 3))
    (row,) = world.rows().values()
    assert (row["taskToken"], row["entry"].partition("#")[2], len(creating.jobs())) == (tokens[5], "5", 1)


def test_fault_51_nobody_elses_token_is_replaced(world: World, creating: Creating) -> None:
    held = world.add("job-1", row={"entry": "another entry#0"})
    world.aws.functions.add("careless-api", lambda _event: {"jobId": held.job_id})
    before, other = world.row(held), world.aws.tokens.waiting()
    with pytest.raises(TokenConflictError, match="another task waits for job job-1 already"):
        creating.create(other, api="careless-api", entry={"state": "s", "time": "t", "retryCount": 9})
    assert world.row(held) == before


def _poll(world: World, kind: Kind, job: AddedJob) -> None:
    """Poll once, up to where the poll has written all that it writes."""
    if kind == "lambda":
        done = world.poller_lambda({"jobId": job.job_id}, SCHEDULER_SOURCE_FUNCTION="api")
        assert done.returncode == 0
        return
    with world.daemon(SCHEDULER_SOURCE_FUNCTION="api", SCHEDULER_INTERVAL_SECONDS="60") as daemon:
        until(lambda: daemon.events("tick.finished") and _told(world, job.token), 30)


def _told(world: World, token: str) -> list[str]:
    return [offer.told for offer in world.aws.ledger.offers(token)]
