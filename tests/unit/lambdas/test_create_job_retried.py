"""A waiting state that Step Functions tries again: one job, and its row holds the newest token of that entry."""

import traceback
from typing import Any

import pytest

from create_job import TokenConflictError
from scheduler.core.states import EndState
from scheduler.core.token_row import due_shard
from tests.unit.lambdas.creating import ENTRY, FIRST, LATER, SECOND, Creating, event, keyed_api
from tests.unit.lambdas.lambda_fakes import FakeDynamoDB, FakeFunctions


@pytest.fixture
def creating() -> Creating:
    return Creating(FakeDynamoDB(), keyed_api())


def test_the_newer_token_of_the_same_entry_replaces_the_older_one(creating: Creating) -> None:
    job_id = creating.create(event(FIRST))
    creating.change(job_id, attemptCount=3, version=4, claimId="a", heldBy="b", nextPollAt=LATER + 1, unknownChecks=1)
    creating.now = LATER

    assert creating.create(event(SECOND, retry=1)) == job_id

    key = creating.keys[0]
    assert creating.keys == [key, key]
    assert creating.row(job_id) == {
        "jobId": job_id,
        "taskToken": SECOND,
        "entry": f"{key}#1",
        "executionId": "arn:execution",
        "createdAt": "2026-01-02T03:04:05.678Z",
        "expiresAt": "2026-01-02T03:20:05.678Z",
        "attemptCount": 3,
        "maxAttempts": 10,
        "status": "POLLING",
        "intervalSeconds": 60,
        "nextPollAt": LATER,
        "version": 5,
        "dueShard": due_shard(job_id, 4),
        "unknownChecks": 1,
    }


def test_the_key_says_nothing_of_the_token(creating: Creating) -> None:
    creating.create(event(FIRST))
    creating.table.items.clear()
    creating.create(event(SECOND))

    assert creating.keys[0] == creating.keys[1]
    assert len(creating.keys[0]) == 32


@pytest.mark.parametrize(
    "other",
    [
        {"executionId": "arn:another"},
        {"entry": ENTRY | {"state": "Another"}},
        {"entry": ENTRY | {"time": "2026-01-02T03:04:05.001Z"}},
        {"entry": ENTRY | {"index": 1}},
        {"record": {"id": "r-2", "data": {"size": 3}}},
        {"record": {"id": "r-1", "data": {"size": 4}}},
    ],
)
def test_another_entry_is_another_job(creating: Creating, other: dict[str, Any]) -> None:
    one, two = creating.create(event(FIRST)), creating.create(event(SECOND, **other))

    assert one != two
    assert len(creating.keys) == len(set(creating.keys)) == 2, "it did not come to the other one's job first"
    assert (creating.row(one)["taskToken"], creating.row(two)["taskToken"]) == (FIRST, SECOND)


def test_the_order_in_which_an_event_is_written_is_no_part_of_the_key(creating: Creating) -> None:
    job_id = creating.create(event(FIRST))
    turned = {"data": {"size": 3}, "id": "r-1"}

    assert creating.create(event(SECOND, retry=1, record=turned)) == job_id


def test_the_same_attempt_twice_makes_one_row_and_changes_nothing_of_it(creating: Creating) -> None:
    job_id = creating.create(event(FIRST))
    creating.change(job_id, attemptCount=3)
    before = creating.row(job_id)

    assert creating.create(event(FIRST)) == job_id

    assert creating.row(job_id) == before


def test_an_older_attempt_that_comes_late_takes_nothing_back(creating: Creating) -> None:
    job_id = creating.create(event(SECOND, retry=1))
    before = creating.row(job_id)

    with pytest.raises(TokenConflictError, match=f"a later attempt waits for job {job_id} already") as caught:
        creating.create(event(FIRST, retry=0))

    assert creating.row(job_id) == before
    assert list(creating.table.items) == [job_id]
    shown = "".join(traceback.format_exception(caught.value))
    assert not {token for token in (FIRST, SECOND) if token in shown}


def test_an_emulator_that_keeps_the_token_has_the_row_polled_at_once(creating: Creating) -> None:
    job_id = creating.create(event(FIRST))
    creating.change(job_id, nextPollAt=LATER + 1)
    creating.now = LATER

    assert creating.create(event(FIRST, retry=1)) == job_id

    row = creating.row(job_id)
    assert (row["taskToken"], row["entry"], row["nextPollAt"]) == (FIRST, f"{creating.keys[0]}#1", LATER)


def test_two_that_entered_alike_get_a_job_each(creating: Creating) -> None:
    """Two iterations of a Map may enter in the same millisecond with the same record; neither loses its token."""
    one, two = creating.create(event(FIRST)), creating.create(event(SECOND))

    assert one != two
    assert (creating.row(one)["taskToken"], creating.row(two)["taskToken"]) == (FIRST, SECOND)
    assert (creating.create(event(FIRST)), creating.create(event(SECOND))) == (one, two)


def test_a_row_whose_older_token_was_found_closed_waits_again(creating: Creating) -> None:
    """A poller may have met the older token in the seconds before Step Functions tried again."""
    job_id = creating.create(event(FIRST))
    creating.end(job_id, EndState.CLOSED)
    creating.now = LATER

    assert creating.create(event(SECOND, retry=1)) == job_id

    row = creating.row(job_id)
    assert (row["status"], row["taskToken"], row["nextPollAt"]) == ("POLLING", SECOND, LATER)
    assert row["dueShard"] == due_shard(job_id, 4)
    assert row.keys().isdisjoint({"completedAt", "purgeAt"})


@pytest.mark.parametrize("status", [state for state in EndState if state is not EndState.CLOSED])
def test_a_retry_after_the_jobs_own_end_is_a_new_job(creating: Creating, status: EndState) -> None:
    ended = creating.create(event(FIRST))
    creating.end(ended, status)
    before = creating.row(ended)

    again = creating.create(event(SECOND, retry=1))
    third = creating.create(event("third-secret", retry=2))

    assert again == third != ended
    assert creating.row(ended) == before
    key = creating.keys[0]
    assert (creating.row(again)["taskToken"], creating.row(again)["entry"]) == ("third-secret", f"{key}#2")
    assert len(set(creating.keys)) == 2


def test_an_api_that_gives_the_same_spent_job_for_ever_is_an_error() -> None:
    creating = Creating(FakeDynamoDB(), FakeFunctions(lambda _: {"jobId": "job-1"}))
    creating.create(event(FIRST))
    creating.end("job-1", EndState.FAILED)

    with pytest.raises(TokenConflictError, match="another task had job job-1"):
        creating.create(event(SECOND, retry=1))

    assert creating.row("job-1")["taskToken"] == FIRST


@pytest.mark.parametrize("entry", [None, "another#0", "text", "#0", "another#", "another#x", 5, {"key": "another"}])
def test_a_row_of_another_entry_is_never_touched(entry: Any) -> None:
    creating = Creating(FakeDynamoDB(), FakeFunctions(lambda _: {"jobId": "job-1"}))
    creating.create(event(FIRST))
    creating.table.items["job-1"].pop("entry")
    if entry is not None:
        creating.change("job-1", entry=entry)
    before = creating.row("job-1")

    with pytest.raises(TokenConflictError, match="another task waits for job job-1 already"):
        creating.create(event(SECOND, retry=1))

    assert creating.row("job-1") == before


def test_an_older_state_machine_says_nothing_of_its_entry_and_works_as_before(creating: Creating) -> None:
    given = event(FIRST)
    del given["entry"]

    job_id = creating.create(given)

    assert "entry" not in creating.row(job_id)
    assert creating.create(given) == job_id
    assert creating.create(given | {"taskToken": SECOND}) != job_id


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (None, "entry must be an object"),
        ("text", "entry must be an object"),
        ({}, "entry.state"),
        ({"state": "", "time": "t"}, "entry.state"),
        ({"state": "s"}, "entry.time"),
        ({"state": "s", "time": 5}, "entry.time"),
        ({"state": "s", "time": "t", "retryCount": -1}, "entry.retryCount"),
        ({"state": "s", "time": "t", "retryCount": True}, "entry.retryCount"),
        ({"state": "s", "time": "t", "retryCount": "1"}, "entry.retryCount"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(creating: Creating, wrong: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        creating.create(event(entry=wrong))

    assert creating.api.requests == []
