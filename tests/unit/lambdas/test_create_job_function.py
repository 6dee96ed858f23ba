import hashlib
import traceback
from typing import Any

import pytest
from botocore.exceptions import ClientError

import create_job
from create_job import JobCreationError, JobCreator, TokenConflictError
from scheduler.core.attributes import from_item
from scheduler.core.instant import parse_iso
from scheduler.core.row_reader import read_row
from scheduler.core.token_row import due_shard
from tests.unit.lambdas.lambda_fakes import FakeDynamoDB, FakeFunctions, Raised, client_error

NOW = parse_iso("2026-01-02T03:04:05.678Z")
TOKEN = "secret-token-0123456789"


def creator(dynamodb: Any, functions: Any) -> JobCreator:
    return JobCreator(dynamodb, functions, "tokens", "api", 4, lambda: NOW)


def event(**more: Any) -> dict[str, Any]:
    return {
        "taskToken": TOKEN,
        "executionId": "arn:execution",
        "record": {"id": "r-1", "data": {}},
        "pollingConfig": {"intervalMinutes": 1, "maxAttempts": 10, "timeoutMinutes": 15, "heartbeat": False},
        "timeoutSeconds": 960,
    } | more


@pytest.fixture
def table() -> FakeDynamoDB:
    return FakeDynamoDB()


@pytest.fixture
def api() -> FakeFunctions:
    return FakeFunctions(lambda request: {"jobId": f"job-{request['payload']['idempotencyKey'][:8]}"})


def created(table: FakeDynamoDB, api: FakeFunctions, **more: Any) -> dict[str, Any]:
    """Create a job and give its row, decoded."""
    reply = creator(table, api).create(event(**more))
    return from_item(table.items[reply["jobId"]])


def test_the_row_says_all_that_a_poller_needs_and_is_due_at_once(table: FakeDynamoDB, api: FakeFunctions) -> None:
    row = created(table, api)

    job_id = row["jobId"]
    assert row == {
        "jobId": job_id,
        "taskToken": TOKEN,
        "executionId": "arn:execution",
        "createdAt": "2026-01-02T03:04:05.678Z",
        "expiresAt": "2026-01-02T03:19:05.678Z",
        "attemptCount": 0,
        "maxAttempts": 10,
        "status": "POLLING",
        "intervalSeconds": 60,
        "nextPollAt": NOW,
        "version": 0,
        "dueShard": due_shard(job_id, 4),
    }
    assert read_row(table.items[job_id]).expires_at == NOW + 15 * 60_000


def test_the_job_gets_the_records_data_its_id_and_a_key_made_from_the_token(
    table: FakeDynamoDB, api: FakeFunctions
) -> None:
    data = {"completionPolls": 5, "idempotencyKey": "theirs", "recordId": "theirs"}
    created(table, api, record={"id": "r-1", "data": data})

    assert api.names == ["api"]
    key = hashlib.sha256(TOKEN.encode()).hexdigest()
    assert api.requests == [
        {"action": "CREATE_JOB", "payload": {"completionPolls": 5, "recordId": "r-1", "idempotencyKey": key}}
    ]


@pytest.mark.parametrize("data", ["text", [1, 2], None, 5])
def test_data_that_is_no_object_travels_under_data(table: FakeDynamoDB, api: FakeFunctions, data: Any) -> None:
    created(table, api, record={"id": 7, "data": data})

    assert api.requests[0]["payload"]["data"] == data
    assert api.requests[0]["payload"]["recordId"] == 7


def test_a_record_without_data_is_fine(table: FakeDynamoDB, api: FakeFunctions) -> None:
    created(table, api, record={"id": "r-1"})

    assert set(api.requests[0]["payload"]) == {"recordId", "idempotencyKey"}


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("intervalSecond", "did you mean intervalSeconds?"),
        ("max_attempts", "did you mean maxAttempts?"),
        ("Heartbeat", "did you mean heartbeat?"),
        ("timeoutSeconds", "did you mean timeoutMinutes?"),
        ("x", "known are intervalMinutes, intervalSeconds, maxAttempts, timeoutMinutes, heartbeat"),
    ],
)
def test_a_key_of_the_polling_config_that_is_not_known_is_refused_with_the_nearest_one(
    table: FakeDynamoDB, api: FakeFunctions, key: str, told: str
) -> None:
    with pytest.raises(ValueError, match="pollingConfig") as caught:
        creator(table, api).create(event(pollingConfig={"intervalMinutes": 1, key: 5}))

    assert str(caught.value) == f"pollingConfig.{key} is not known; {told}"
    assert api.requests == []


def test_a_key_that_is_not_known_is_shown_on_one_short_line(table: FakeDynamoDB, api: FakeFunctions) -> None:
    with pytest.raises(ValueError, match="is not known") as caught:
        creator(table, api).create(event(pollingConfig={"a\nb" * 1_000: 5}))

    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 200


def test_the_reply_does_not_hold_the_token(table: FakeDynamoDB, api: FakeFunctions) -> None:
    reply = creator(table, api).create(event())

    assert reply == {"jobId": next(iter(table.items)), "status": "WAITING"}
    assert TOKEN not in repr(api.requests)


def test_the_same_token_twice_makes_one_row_and_one_reply(table: FakeDynamoDB, api: FakeFunctions) -> None:
    first = creator(table, api).create(event())
    table.items[first["jobId"]]["attemptCount"] = {"N": "3"}

    again = creator(table, api).create(event())

    assert again == first
    assert list(table.items) == [first["jobId"]]
    assert table.items[first["jobId"]]["attemptCount"] == {"N": "3"}


def test_another_token_never_replaces_the_one_that_waits(table: FakeDynamoDB) -> None:
    api = FakeFunctions(lambda _: {"jobId": "job-1"})
    creator(table, api).create(event())

    other = event(taskToken="another-secret")
    with pytest.raises(TokenConflictError, match="another task waits for job job-1") as caught:
        creator(table, api).create(other)

    assert table.items["job-1"]["taskToken"] == {"S": TOKEN}
    shown = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in shown
    assert "another-secret" not in shown


@pytest.mark.parametrize(
    ("config", "seconds"),
    [
        ({"intervalMinutes": 1, "intervalSeconds": 5}, 5),
        ({"intervalSeconds": 0.5}, 0.5),
        ({"intervalMinutes": 0.5}, 30),
        ({}, None),
    ],
)
def test_seconds_win_over_minutes_and_the_poller_decides_where_neither_is_given(
    table: FakeDynamoDB, api: FakeFunctions, config: dict[str, Any], seconds: float | None
) -> None:
    row = created(table, api, pollingConfig=config)

    interval = row.get("intervalSeconds")
    assert (interval if interval is None else float(interval)) == seconds


@pytest.mark.parametrize(
    ("minutes", "state_seconds", "expires"),
    [
        (15, 960, "2026-01-02T03:19:05.678Z"),
        (15, 30, "2026-01-02T03:04:35.678Z"),
        (0.5, None, "2026-01-02T03:04:35.678Z"),
    ],
)
def test_a_job_expires_no_later_than_the_state_that_waits_for_it(
    table: FakeDynamoDB, api: FakeFunctions, minutes: float, state_seconds: int | None, expires: str
) -> None:
    row = created(table, api, pollingConfig={"timeoutMinutes": minutes}, timeoutSeconds=state_seconds)

    assert row["expiresAt"] == expires


def test_every_part_of_the_polling_config_has_a_default(table: FakeDynamoDB, api: FakeFunctions) -> None:
    asked = event()
    del asked["pollingConfig"], asked["timeoutSeconds"]

    reply = creator(table, api).create(asked)

    row = from_item(table.items[reply["jobId"]])
    assert (row["maxAttempts"], row["expiresAt"]) == (10, "2026-01-02T03:19:05.678Z")


def test_a_heartbeat_is_written_only_where_it_is_asked_for(table: FakeDynamoDB, api: FakeFunctions) -> None:
    assert created(table, api, pollingConfig={"heartbeat": True})["heartbeat"] is True


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"taskToken": None}, "taskToken"),
        ({"taskToken": ""}, "taskToken"),
        ({"taskToken": "x" * 2_049}, "taskToken"),
        ({"executionId": None}, "executionId"),
        ({"executionId": ""}, "executionId"),
        ({"record": None}, "record"),
        ({"record": {}}, "record.id"),
        ({"record": {"id": ""}}, "record.id"),
        ({"record": {"id": True}}, "record.id"),
        ({"pollingConfig": None}, "pollingConfig"),
        ({"pollingConfig": {"intervalSeconds": 0}}, "intervalSeconds"),
        ({"pollingConfig": {"intervalSeconds": "5"}}, "intervalSeconds"),
        ({"pollingConfig": {"intervalSeconds": float("nan")}}, "intervalSeconds"),
        ({"pollingConfig": {"intervalMinutes": -1}}, "intervalMinutes"),
        ({"pollingConfig": {"intervalMinutes": None}}, "intervalMinutes"),
        ({"pollingConfig": {"maxAttempts": 0}}, "maxAttempts"),
        ({"pollingConfig": {"maxAttempts": 2.5}}, "maxAttempts"),
        ({"pollingConfig": {"maxAttempts": True}}, "maxAttempts"),
        ({"pollingConfig": {"timeoutMinutes": 0}}, "timeoutMinutes"),
        ({"pollingConfig": {"timeoutMinutes": 10**9}}, "timeoutMinutes"),
        ({"pollingConfig": {"heartbeat": "yes"}}, "heartbeat"),
        ({"timeoutSeconds": 0}, "timeoutSeconds"),
        ({"timeoutSeconds": "60"}, "timeoutSeconds"),
    ],
)
def test_an_event_that_makes_no_sense_is_refused_before_anything_is_created(
    table: FakeDynamoDB, api: FakeFunctions, wrong: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        creator(table, api).create(event(**wrong))

    assert api.requests == []
    assert TOKEN not in str(caught.value)


def test_an_event_that_is_no_object_is_refused(table: FakeDynamoDB, api: FakeFunctions) -> None:
    with pytest.raises(ValueError, match="the event must be an object"):
        creator(table, api).create([])


@pytest.mark.parametrize(
    "reply",
    [
        {"error": "completionPolls must be a whole number"},
        Raised("KeyError", "completionPolls"),
        {"jobId": ""},
        {"jobId": 5},
        b"completionPolls, not JSON \xff",
    ],
)
def test_a_reply_without_a_job_is_an_error_that_shows_it_and_leaves_no_row(table: FakeDynamoDB, reply: Any) -> None:
    with pytest.raises(JobCreationError, match="api created no job") as caught:
        creator(table, FakeFunctions(lambda _: reply)).create(event())

    assert "completionPolls" in str(caught.value) or "jobId" in str(caught.value)
    assert table.items == {}


def test_a_reply_that_names_a_job_counts_for_nothing_where_the_function_raised(table: FakeDynamoDB) -> None:
    raised = Raised("KeyError", "x")
    raised.payload["jobId"] = "job-1"

    with pytest.raises(JobCreationError):
        creator(table, FakeFunctions(lambda _: raised)).create(event())


def test_a_table_that_cannot_be_written_is_raised(table: FakeDynamoDB, api: FakeFunctions) -> None:
    table.fail("put_item", client_error("ResourceNotFoundException"))

    with pytest.raises(ClientError):
        creator(table, api).create(event())


def test_the_handler_is_built_from_the_environment_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "SCHEDULER_TOKEN_TABLE": "t",
        "SCHEDULER_SHARDS": "9",
    }.items():
        monkeypatch.setenv(name, value)
    create_job._creator.cache_clear()

    with pytest.raises(ValueError, match="taskToken"):
        create_job.handler({}, None)

    made = create_job._creator()
    assert made is create_job._creator()
    assert (made.table, made.shards, made.api_function) == ("t", 9, "poc-simulated-api")
    create_job._creator.cache_clear()
