import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

import simulated_api
from simulated_api import SimulatedApi
from tests.unit.lambdas.lambda_fakes import FakeDynamoDB, client_error


class Api:
    """The API over a table in memory; remembers how long it slept."""

    def __init__(self) -> None:
        self.table = FakeDynamoDB()
        self.slept: list[float] = []
        dynamodb: Any = self.table
        self._api = SimulatedApi(dynamodb, "jobs", self.slept.append)

    def create(self, **payload: Any) -> dict[str, Any]:
        return self._api.answer({"action": "CREATE_JOB", "payload": payload})

    def check(self, job_id: str) -> dict[str, Any]:
        return self._api.answer({"action": "CHECK_STATUS", "jobId": job_id})

    def check_together(self, *job_ids: Any) -> dict[str, Any]:
        return self._api.answer({"action": "CHECK_STATUS", "jobIds": list(job_ids)})

    def answer(self, event: Any) -> dict[str, Any]:
        return self._api.answer(event)


@pytest.fixture
def api() -> Api:
    return Api()


def test_a_job_completes_at_the_check_it_was_told(api: Api) -> None:
    job_id = api.create(completionPolls=2)["jobId"]

    first, second = api.check(job_id), api.check(job_id)

    assert first == {"jobId": job_id, "status": "IN_PROGRESS", "pollCount": 1, "completionPolls": 2}
    assert second == {"jobId": job_id, "status": "COMPLETED", "pollCount": 2, "completionPolls": 2}


@pytest.mark.parametrize("event", [{"action": "CREATE_JOB"}, {"action": "CREATE_JOB", "payload": None}])
def test_a_job_takes_two_or_three_checks_where_nothing_is_asked_for(api: Api, event: dict[str, Any]) -> None:
    replies = [api.answer(event) for _ in range(40)]

    assert {reply["completionPolls"] for reply in replies} == {2, 3}
    assert {reply["status"] for reply in replies} == {"IN_PROGRESS"}
    assert len({reply["jobId"] for reply in replies}) == 40
    assert all(re.fullmatch(r"job-[0-9a-f]{20}", reply["jobId"]) for reply in replies)


def test_the_end_is_written_into_the_job_at_the_check_that_reaches_it(api: Api) -> None:
    job_id = api.create(completionPolls=1)["jobId"]
    before = dict(api.table.items[job_id])

    api.check(job_id)

    assert before["status"] == {"S": "IN_PROGRESS"}
    assert api.table.items[job_id]["status"] == {"S": "COMPLETED"}
    assert "endedAt" in api.table.items[job_id]


def test_checks_are_counted_after_the_end_too(api: Api) -> None:
    job_id = api.create(completionPolls=1)["jobId"]

    replies = [api.check(job_id) for _ in range(3)]

    assert [reply["pollCount"] for reply in replies] == [1, 2, 3]
    assert [reply["status"] for reply in replies] == ["COMPLETED"] * 3


def test_a_job_that_is_to_fail_gives_its_reason_at_every_check_from_its_end_on(api: Api) -> None:
    job_id = api.create(completionPolls=2, failWith="disk full")["jobId"]

    replies = [api.check(job_id) for _ in range(3)]

    assert [(reply["status"], reply.get("reason")) for reply in replies] == [
        ("IN_PROGRESS", None),
        ("FAILED", "disk full"),
        ("FAILED", "disk full"),
    ]


def test_a_slow_job_sleeps_at_each_check(api: Api) -> None:
    job_id = api.create(completionPolls=2, delaySeconds=1.5)["jobId"]

    api.check(job_id)
    api.check(job_id)

    assert api.slept == [1.5, 1.5]


def test_throttled_checks_are_errors_and_do_not_count(api: Api) -> None:
    job_id = api.create(completionPolls=2, throttledChecks=2, delaySeconds=1)["jobId"]

    replies = [api.check(job_id) for _ in range(4)]

    assert [set(reply) for reply in replies[:2]] == [{"error"}, {"error"}]
    assert [reply["pollCount"] for reply in replies[2:]] == [1, 2]
    assert replies[3]["status"] == "COMPLETED"
    assert api.slept == [1, 1]


def test_the_same_key_means_the_same_job(api: Api) -> None:
    first = api.create(idempotencyKey="a", completionPolls=7)
    again = api.create(idempotencyKey="a", completionPolls=9)
    other = api.create(idempotencyKey="b")

    assert again == first
    assert other["jobId"] != first["jobId"]
    assert len(api.table.items) == 2


def test_a_repeat_does_not_start_an_ended_job_again(api: Api) -> None:
    job_id = api.create(idempotencyKey="a", completionPolls=1)["jobId"]
    api.check(job_id)

    assert api.create(idempotencyKey="a") == {"jobId": job_id, "status": "COMPLETED", "completionPolls": 1}


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        ("text", "payload"),
        ([], "payload"),
        ({"completionPolls": 0}, "completionPolls"),
        ({"completionPolls": 1001}, "completionPolls"),
        ({"completionPolls": 2.5}, "completionPolls"),
        ({"completionPolls": True}, "completionPolls"),
        ({"completionPolls": "2"}, "completionPolls"),
        ({"failWith": ""}, "failWith"),
        ({"failWith": 5}, "failWith"),
        ({"failWith": "x" * 100_001}, "failWith"),
        ({"delaySeconds": -1}, "delaySeconds"),
        ({"delaySeconds": 60.5}, "delaySeconds"),
        ({"delaySeconds": float("nan")}, "delaySeconds"),
        ({"delaySeconds": None}, "delaySeconds"),
        ({"delaySeconds": True}, "delaySeconds"),
        ({"throttledChecks": -1}, "throttledChecks"),
        ({"idempotencyKey": ""}, "idempotencyKey"),
        ({"idempotencyKey": "\ud800"}, "idempotencyKey"),
    ],
)
def test_options_that_make_no_sense_are_answered_with_an_error_and_create_nothing(
    api: Api, payload: Any, complaint: str
) -> None:
    reply = api.answer({"action": "CREATE_JOB", "payload": payload})

    assert list(reply) == ["error"]
    assert complaint in reply["error"]
    assert api.table.items == {}


@pytest.mark.parametrize("event", [None, [], "CREATE_JOB", {}, {"action": "DELETE"}, {"action": {"a": 1}}])
def test_an_unknown_action_is_answered_with_an_error(api: Api, event: Any) -> None:
    assert "unknown action" in api.answer(event)["error"]


@pytest.mark.parametrize("job_id", [None, "", 5, "x" * 2_049, "\ud800"])
def test_a_job_id_that_cannot_exist_is_answered_with_an_error(api: Api, job_id: Any) -> None:
    assert "jobId must be" in api.answer({"action": "CHECK_STATUS", "jobId": job_id})["error"]


def test_an_unknown_job_is_answered_with_an_error_and_not_created(api: Api) -> None:
    assert api.check("job-none") == {"error": "JobNotFound: there is no job 'job-none'"}
    assert api.table.items == {}


@pytest.mark.parametrize("operation", ["put_item", "update_item"])
def test_a_table_that_cannot_be_used_is_no_reply_of_the_api(api: Api, operation: str) -> None:
    job_id = api.create()["jobId"]
    api.table.fail(operation, client_error("ResourceNotFoundException"))

    with pytest.raises(ClientError):
        _ = api.create() if operation == "put_item" else api.check(job_id)


def test_the_handler_makes_its_client_once_and_not_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    simulated_api._dynamodb.cache_clear()

    replies = [simulated_api.handler({}, None) for _ in range(2)]

    assert all("unknown action" in reply["error"] for reply in replies)
    assert simulated_api._dynamodb.cache_info().misses == 1
    simulated_api._dynamodb.cache_clear()


def test_several_jobs_are_checked_as_each_alone_would_be_and_in_the_order_asked(api: Api) -> None:
    fails = api.create(completionPolls=1, failWith="disk full")["jobId"]
    goes_on = api.create(completionPolls=2)["jobId"]

    reply = api.check_together(goes_on, fails, goes_on)

    assert list(reply) == ["results"]
    assert [(each["jobId"], each["status"], each["pollCount"]) for each in reply["results"]] == [
        (goes_on, "IN_PROGRESS", 1),
        (fails, "FAILED", 1),
        (goes_on, "COMPLETED", 2),
    ]
    assert api.table.items[fails]["status"] == {"S": "FAILED"}


def test_what_is_wrong_with_one_of_several_jobs_is_its_own_result(api: Api) -> None:
    job_id = api.create(completionPolls=1)["jobId"]

    results = api.check_together("job-none", "", None, job_id)["results"]

    assert results[0] == {"error": "JobNotFound: there is no job 'job-none'"}
    assert all("jobId must be" in each["error"] for each in results[1:3])
    assert results[3]["status"] == "COMPLETED"


def test_several_jobs_are_as_late_as_the_slowest_of_them(api: Api) -> None:
    slow, slower, quick = (api.create(delaySeconds=seconds)["jobId"] for seconds in (1, 1.5, 0))

    api.check_together(slow, slower, quick)
    api.check_together(quick)

    assert api.slept == [1.5]


@pytest.mark.parametrize("job_ids", [None, [], "job-1", {"a": 1}, ["x"] * 101])
def test_a_list_of_jobs_that_is_none_is_answered_with_an_error(api: Api, job_ids: Any) -> None:
    event = {"action": "CHECK_STATUS", "jobIds": job_ids}
    assert api.answer(event) == {"error": "jobIds must be a list of 1 to 100 job ids"}


def test_a_hundred_jobs_are_checked_at_once(api: Api) -> None:
    job_id = api.create(completionPolls=1_000)["jobId"]
    assert [each["pollCount"] for each in api.check_together(*[job_id] * 100)["results"]] == [*range(1, 101)]
