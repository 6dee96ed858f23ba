import json
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ParamValidationError, ReadTimeoutError

import poller
from lambda_checks import LambdaChecks
from named_sources import Asks, Sources
from poller import PollError
from scheduler.checks.spec import SourceSpec
from scheduler.core.attributes import from_item, to_attribute
from scheduler.core.instant import format_iso, parse_iso
from scheduler.core.timing import POLLER_THREADS, SEND_TIMEOUT_SECONDS, Policy
from scheduler.settings import Settings
from tests.unit.lambdas.lambda_fakes import (
    CONDITION_FAILED,
    FakeDynamoDB,
    FakeFunctions,
    FakeStepFunctions,
    Raised,
    client_error,
)

NOW = parse_iso("2026-01-02T03:04:05Z")
TOKEN = "secret-token-0123456789"
IN_PROGRESS, COMPLETED, FAILED = {"status": "IN_PROGRESS"}, {"status": "COMPLETED"}, {"status": "FAILED", "reason": "x"}


def no_other(spec: SourceSpec) -> Asks:
    raise AssertionError(spec)


@dataclass
class World:
    """The three services in memory, and a poller over them."""

    table: FakeDynamoDB = field(default_factory=FakeDynamoDB)
    answers: FakeStepFunctions = field(default_factory=FakeStepFunctions)
    slept: list[float] = field(default_factory=list)
    status: Callable[[dict[str, Any]], Any] = lambda _: IN_PROGRESS

    def add(self, job_id: str, **more: Any) -> str:
        row: dict[str, Any] = {
            "jobId": job_id,
            "taskToken": TOKEN,
            "executionId": "arn:execution",
            "createdAt": format_iso(NOW),
            "expiresAt": format_iso(NOW + 900_000),
            "attemptCount": 0,
            "maxAttempts": 3,
            "status": "POLLING",
        } | more
        self.table.items[job_id] = {name: to_attribute(value) for name, value in row.items() if value is not None}
        return job_id

    def row(self, job_id: str) -> dict[str, Any]:
        return from_item(self.table.items[job_id])

    def poll(self, event: Any) -> dict[str, Any]:
        functions: Any = FakeFunctions(self.status)
        table: Any = self.table
        answers: Any = self.answers
        policy = Policy(interval_seconds=60, lease_seconds=30, shards=4, chance=lambda: 0.5)
        sources = Sources(LambdaChecks(functions, "source"), {}, no_other)
        made = poller.Poller(table, answers, "tokens", policy, sources, lambda: NOW, self.slept.append)
        return made.answer(event)


@pytest.fixture
def world() -> World:
    return World()


def test_a_job_in_progress_is_replied_with_its_attempt_and_claimed_for_the_interval(world: World) -> None:
    world.add("job-1")

    assert world.poll({"jobId": "job-1"}) == {"status": "IN_PROGRESS", "attempt": 1, "maxAttempts": 3}
    assert (world.row("job-1")["attemptCount"], world.row("job-1")["nextPollAt"]) == (1, NOW + 57_000)
    assert world.answers.sent == []


def test_the_source_is_asked_for_the_jobs_status(world: World) -> None:
    asked = {"action": "CHECK_STATUS", "jobId": "job-1"}
    world.status = lambda request: COMPLETED if request == asked else IN_PROGRESS

    assert world.poll({"jobId": world.add("job-1")})["status"] == "COMPLETED"


def test_a_completed_job_is_answered_and_then_marked(world: World) -> None:
    world.status = lambda _: COMPLETED

    reply = world.poll({"jobId": world.add("job-1")})

    assert reply == {"status": "COMPLETED", "reconnected": True}
    ((kind, sent),) = world.answers.sent
    assert (kind, sent["taskToken"]) == ("success", TOKEN)
    assert json.loads(sent["output"])["result"] == COMPLETED
    assert world.row("job-1")["status"] == "COMPLETED"


def test_a_failed_job_fails_its_task_with_its_own_reason(world: World) -> None:
    world.status = lambda _: FAILED

    assert world.poll({"jobId": world.add("job-1")}) == {"status": "FAILED"}
    assert world.answers.sent == [("failure", {"taskToken": TOKEN, "error": "JobFailed", "cause": "x"})]


@pytest.mark.parametrize(
    ("spent", "state", "error"),
    [
        ({"attemptCount": 3}, "MAX_ATTEMPTS", "MaxAttemptsExceeded"),
        ({"expiresAt": format_iso(NOW - 1)}, "EXPIRED", "PollingExpired"),
    ],
)
def test_a_job_whose_attempts_or_time_are_spent_is_given_up(
    world: World, spent: dict[str, Any], state: str, error: str
) -> None:
    assert world.poll({"jobId": world.add("job-1", **spent)}) == {"status": state}
    assert world.answers.sent[0][1]["error"] == error
    assert world.row("job-1")["status"] == state


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "MAX_ATTEMPTS", "CLOSED", "CANCELLED"])
def test_a_row_that_does_not_wait_is_replied_with_its_status_and_left_alone(world: World, state: str) -> None:
    world.add("job-1", status=state)
    before = world.row("job-1")

    assert world.poll({"jobId": "job-1"}) == {"status": state}
    assert world.row("job-1") == before


@pytest.mark.parametrize("status", [None, 5])
def test_a_row_without_a_status_is_an_error(world: World, status: Any) -> None:
    assert world.poll({"jobId": world.add("job-1", status=status)}) == {"error": "the row has no status"}


def test_a_row_that_does_not_exist_is_an_error(world: World) -> None:
    assert world.poll({"jobId": "job-1"}) == {"error": "Token not found"}


def test_a_row_that_cannot_be_understood_is_set_aside(world: World) -> None:
    world.add("job-1", maxAttempts="many")

    assert world.poll({"jobId": "job-1"}) == {"status": "QUARANTINED"}
    assert "maxAttempts" in world.row("job-1")["lastError"]
    assert world.answers.sent == []


@pytest.mark.parametrize(
    "event", [None, [], {}, "job-1", {"jobIds": "job-1"}, {"jobIds": None, "jobId": "job-1"}, {"id": "job-1"}]
)
def test_an_event_that_names_no_job_is_an_error(world: World, event: Any) -> None:
    assert list(world.poll(event)) == ["error"]


def test_an_event_that_names_no_job_is_told_what_it_must_be(world: World) -> None:
    assert world.poll({})["error"] == 'the event must be {"jobId": "..."} or {"jobIds": ["...", ...]}'


def test_the_longest_id_that_a_table_takes_is_polled(world: World) -> None:
    assert world.poll({"jobId": world.add("x" * 2_048)})["attempt"] == 1


def test_a_job_that_crashes_before_its_row_is_read_is_named(world: World) -> None:
    world.status = lambda _: RuntimeError("crash")
    with pytest.raises(PollError, match="job 'job-1' could not be polled"):
        world.poll({"jobId": world.add("job-1")})


@pytest.mark.parametrize("job_id", [None, "", 5, ["job-1"], "x" * 2_049, "\ud800"])
def test_a_job_id_that_cannot_exist_is_an_error(world: World, job_id: Any) -> None:
    assert "a job id must be" in world.poll({"jobId": job_id})["error"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"error": "rate exceeded"}, "rate exceeded"),
        (Raised("KeyError", "oops"), "KeyError: oops"),
        (b"not JSON", "not JSON"),
        (ReadTimeoutError(endpoint_url="http://source"), "ReadTimeoutError"),
        (ConnectionResetError("reset"), "ConnectionResetError: reset"),
    ],
)
def test_a_check_that_fails_is_a_spent_attempt_and_says_why(world: World, status: Any, reason: str) -> None:
    world.status = lambda _: status

    reply = world.poll({"jobId": world.add("job-1")})

    assert (reply["status"], reply["attempt"], reply["outcome"]) == ("IN_PROGRESS", 1, "check_failed")
    assert reason in reply["reason"]
    assert (world.row("job-1")["status"], world.row("job-1")["attemptCount"]) == ("POLLING", 1)


def test_a_source_that_does_not_exist_costs_no_attempt(world: World) -> None:
    world.status = lambda _: client_error("ResourceNotFoundException")

    reply = world.poll({"jobId": world.add("job-1")})

    assert reply["reason"] == "function source does not exist; `callback-scheduler deploy` makes it"
    assert (world.row("job-1")["status"], world.row("job-1")["attemptCount"]) == ("POLLING", 0)


def test_a_lost_claim_is_replied_as_in_progress_and_asks_nobody(world: World) -> None:
    world.add("job-1", version=4)
    world.table.fail("update_item", client_error(CONDITION_FAILED, Item={"claimId": {"S": "else"}}))
    world.status = lambda _: pytest.fail("the source was asked")

    assert world.poll({"jobId": "job-1"})["outcome"] == "lost"


def test_a_claim_whose_reply_was_lost_is_recognised(world: World) -> None:
    world.add("job-1")
    apply = world.table.update_item

    def applied_but_unheard(**call: Any) -> dict[str, Any]:
        world.table.update_item = apply  # type: ignore[method-assign]
        claimed = apply(**call)["Attributes"]
        raise client_error(CONDITION_FAILED, Item=claimed)

    world.table.update_item = applied_but_unheard  # type: ignore[method-assign]

    assert world.poll({"jobId": "job-1"}) == {"status": "IN_PROGRESS", "attempt": 1, "maxAttempts": 3}


def test_a_table_that_cannot_be_written_leaves_the_job_for_later(world: World) -> None:
    world.add("job-1")
    world.table.fail("update_item", client_error("InternalServerError", "try again", 500))

    reply = world.poll({"jobId": "job-1"})

    assert (reply["outcome"], reply["reason"]) == ("unreached", "InternalServerError: try again")


def test_an_answer_that_is_throttled_is_tried_again_after_a_pause(world: World) -> None:
    world.status = lambda _: COMPLETED
    world.answers = FakeStepFunctions([client_error("ThrottlingException")])

    assert world.poll({"jobId": world.add("job-1")})["status"] == "COMPLETED"
    assert len(world.answers.sent) == 2
    assert world.slept == [pytest.approx(0.1)]


def test_an_answer_that_never_gets_through_is_kept_in_the_row(world: World) -> None:
    world.status = lambda _: COMPLETED
    unreachable = EndpointConnectionError(endpoint_url="http://states")
    world.answers = FakeStepFunctions([unreachable] * 3)

    reply = world.poll({"jobId": world.add("job-1")})

    assert (reply["status"], reply["outcome"]) == ("IN_PROGRESS", "deferred")
    assert world.row("job-1")["status"] == "POLLING"


def test_an_answer_without_a_reply_may_have_arrived(world: World) -> None:
    world.status = lambda _: COMPLETED
    world.answers = FakeStepFunctions(
        [ReadTimeoutError(endpoint_url="http://states"), client_error("TaskTimedOut", "closed")]
    )

    assert world.poll({"jobId": world.add("job-1")})["status"] == "CLOSED"


def test_a_closed_token_ends_the_row_as_closed(world: World) -> None:
    world.status = lambda _: COMPLETED
    world.answers = FakeStepFunctions([client_error("TaskDoesNotExist", f"no task {TOKEN}")])

    assert world.poll({"jobId": world.add("job-1")}) == {"status": "CLOSED"}
    assert TOKEN not in world.row("job-1")["lastError"]


def test_a_call_that_the_sdk_refuses_to_send_is_never_sent_again(world: World) -> None:
    world.status = lambda _: FAILED
    world.answers = FakeStepFunctions([ParamValidationError(report=f"bad {TOKEN}")])

    assert world.poll({"jobId": world.add("job-1")}) == {"status": "QUARANTINED"}
    assert TOKEN not in world.row("job-1")["lastError"]


def test_a_heartbeat_is_sent_where_the_row_asks_for_it(world: World) -> None:
    world.poll({"jobId": world.add("job-1", heartbeat=True)})

    assert world.answers.sent == [("heartbeat", {"taskToken": TOKEN})]


def test_many_jobs_are_replied_to_in_the_order_they_were_asked_for(world: World) -> None:
    states = {"job-a": IN_PROGRESS, "job-b": COMPLETED, "job-c": FAILED}
    for job_id in states:
        world.add(job_id)
    world.status = lambda request: states[request["jobId"]]

    reply = world.poll({"jobIds": ["job-c", "missing", "job-a", 5, "job-b"]})

    assert [result.get("status") or result["error"][:8] for result in reply["results"]] == [
        "FAILED",
        "Token no",
        "IN_PROGRESS",
        "a job id",
        "COMPLETED",
    ]


def test_no_jobs_get_no_results(world: World) -> None:
    assert world.poll({"jobIds": []}) == {"results": []}


def test_one_poll_that_crashes_is_an_error_of_its_own_among_many(world: World) -> None:
    for job_id in ("job-a", "job-b"):
        world.add(job_id)
    world.status = lambda request: RuntimeError(f"crash {TOKEN}") if request["jobId"] == "job-a" else COMPLETED

    crashed, completed = world.poll({"jobIds": ["job-a", "job-b"]})["results"]

    assert "RuntimeError" in crashed["error"]
    assert TOKEN not in crashed["error"]
    assert completed == {"status": "COMPLETED", "reconnected": True}


def test_one_row_that_cannot_be_read_is_an_error_of_its_own_among_many(world: World) -> None:
    world.table.fail("get_item", client_error("ProvisionedThroughputExceededException"))

    (reply,) = world.poll({"jobIds": [world.add("job-1")]})["results"]

    assert "ProvisionedThroughputExceededException" in reply["error"]


def test_a_row_that_cannot_be_read_is_raised_where_it_is_the_only_one(world: World) -> None:
    world.table.fail("get_item", client_error("ResourceNotFoundException"))

    with pytest.raises(PollError, match=r"job 'job-1' could not be polled: .*ResourceNotFoundException"):
        world.poll({"jobId": world.add("job-1")})


def test_a_crash_shows_the_token_neither_in_its_message_nor_in_its_causes(world: World) -> None:
    world.status = lambda _: RuntimeError(f"crash {TOKEN}")

    with pytest.raises(PollError) as caught:
        world.poll({"jobId": world.add("job-1")})

    assert TOKEN not in "".join(traceback.format_exception(caught.value))


def test_the_handler_is_built_from_the_environment_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "SCHEDULER_TOKEN_TABLE": "t",
        "SCHEDULER_CHECK_TIMEOUT_SECONDS": "2.5",
        "SCHEDULER_INTERVAL_SECONDS": "7",
        "SCHEDULER_SHARDS": "9",
    }.items():
        monkeypatch.setenv(name, value)
    poller._poller.cache_clear()

    assert list(poller.handler({}, None)) == ["error"]

    made: Any = poller._poller()
    poller._poller.cache_clear()
    source: Any = made.sources.default
    assert (made.table, source.name) == ("t", "poc-simulated-api")
    assert (made.policy.interval_seconds, made.policy.shards, made.policy.lease_seconds) == (7, 9, 23.5)
    assert source.functions.meta.config.read_timeout == 2.5
    tries = {client.meta.config.retries["total_max_attempts"] for client in (source.functions, made.stepfunctions)}
    assert tries == {1}


def test_every_call_of_the_handler_ends_within_what_the_lease_allows_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_with(monkeypatch, AWS_DEFAULT_REGION="eu-north-1")
    clients = {"dynamodb": made.dynamodb, "states": made.stepfunctions, "lambda": made.sources.default.functions}
    limits = {
        name: (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"])
        for name, client in clients.items()
        for config in [client.meta.config]
    }
    assert limits == {"dynamodb": (1, 1, 2), "states": (1, SEND_TIMEOUT_SECONDS - 1, 1), "lambda": (1, 10, 1)}
    assert all(client.meta.config.retries["mode"] == "standard" for client in clients.values())
    assert all(client.meta.config.max_pool_connections >= POLLER_THREADS for client in clients.values())


def test_without_settings_the_handler_has_the_daemons_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_with(monkeypatch, AWS_DEFAULT_REGION="eu-north-1")
    defaults = Settings.load()
    source = made.sources.default
    assert (made.table, source.name, source.most) == (defaults.token_table, defaults.source_function, 1)
    assert made.policy.interval_seconds == defaults.interval_seconds
    assert made.policy.shards == defaults.shards
    assert made.policy.retention_seconds == defaults.retention_days * 86_400
    assert made.policy.home.region == "eu-north-1"


def test_the_source_and_the_retention_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_with(
        monkeypatch, AWS_DEFAULT_REGION="us-east-1", SCHEDULER_SOURCE_FUNCTION="ours", SCHEDULER_RETENTION_DAYS="2"
    )
    assert (made.sources.default.name, made.policy.retention_seconds) == ("ours", 172_800)


def test_the_handler_reads_the_time_in_whole_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_with(monkeypatch, AWS_DEFAULT_REGION="us-east-1")
    monkeypatch.setattr("time.time_ns", lambda: 1_767_225_600_123_999_999)
    assert made.clock() == 1_767_225_600_123
    assert isinstance(made.clock(), int)


def test_the_handler_answers_the_event_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    poller._poller.cache_clear()
    assert poller.handler({"jobIds": []}, None) == {"results": []}
    poller._poller.cache_clear()


def made_with(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Any:
    """Make the handler's poller with no settings but these."""
    for name in [name for name in os.environ if name.startswith(("SCHEDULER_", "AWS_"))]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return poller._made()


# --- events: delivered at least once, and perhaps late


def test_a_job_that_was_due_by_then_is_polled(world: World) -> None:
    world.add("job-1", version=3, nextPollAt=NOW - 5)
    world.add("job-2")  # of a foreign creator: due at once

    reply = world.poll({"jobIds": ["job-1", "job-2"], "dueBy": NOW - 5})

    assert [result["attempt"] for result in reply["results"]] == [1, 1]


def test_a_batch_that_is_delivered_twice_polls_its_jobs_once(world: World) -> None:
    for job_id in ("job-1", "job-2"):
        world.add(job_id, version=3, nextPollAt=NOW - 5)
    event = {"jobIds": ["job-1", "job-2"], "dueBy": NOW}

    first, second = (world.poll(event)["results"] for _ in range(2))

    assert [result["attempt"] for result in first] == [1, 1]
    assert [result["outcome"] for result in second] == ["lost", "lost"]
    assert world.row("job-2")["attemptCount"] == 1


def test_an_event_that_is_delivered_twice_polls_its_jobs_once(world: World) -> None:
    world.add("job-1", version=3, nextPollAt=NOW - 5)
    event = {"jobId": "job-1", "dueBy": NOW}

    replies = [world.poll(event) for _ in range(2)]

    assert replies[0] == {"status": "IN_PROGRESS", "attempt": 1, "maxAttempts": 3}
    assert (replies[1]["status"], replies[1]["outcome"]) == ("IN_PROGRESS", "lost")
    assert (world.row("job-1")["attemptCount"], world.row("job-1")["version"]) == (1, 4)


def test_a_late_event_for_a_job_that_has_ended_says_so(world: World) -> None:
    world.add("job-1", status="COMPLETED")
    assert world.poll({"jobId": "job-1", "dueBy": NOW}) == {"status": "COMPLETED"}


def test_a_row_that_cannot_be_understood_is_set_aside_whenever_it_was_due(world: World) -> None:
    world.add("job-1", maxAttempts="ten", nextPollAt=NOW + 99_000)
    assert world.poll({"jobId": "job-1", "dueBy": NOW}) == {"status": "QUARANTINED"}


@pytest.mark.parametrize("due_by", [None, "soon", 1.5, []])
def test_a_time_that_is_none_polls_due_or_not(world: World, due_by: Any) -> None:
    world.add("job-1", version=3, nextPollAt=NOW + 99_000)
    assert world.poll({"jobId": "job-1", "dueBy": due_by})["attempt"] == 1
