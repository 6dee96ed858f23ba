"""What a source's reply to a check of several jobs says of each of them, and when it says nothing of any."""

import json
from typing import Any

import pytest

from scheduler.core.check_replies import (
    Completed,
    Failed,
    InProgress,
    NotTogether,
    Unanswered,
    Unasked,
    read_reply,
    read_results,
)
from scheduler.core.invocation import Invocation, NoInvocation, batch_payload, not_invoked, read_batch
from scheduler.core.service_calls import CallError, Refusal

ODD: list[Any] = [None, [], "COMPLETED", 5, {}, {"status": "DONE"}, {"status": "NOT_FOUND"}, {"error": "JobNotFound"}]


def test_several_jobs_are_asked_for_by_their_ids() -> None:
    assert json.loads(batch_payload(("b", 'a"é'))) == {"action": "CHECK_STATUS", "jobIds": ["b", 'a"é']}


def test_each_result_is_read_for_its_own_job_in_the_order_of_the_request() -> None:
    done = {"status": "COMPLETED", "pages": 2}
    results = [{"status": "IN_PROGRESS"}, done, {"status": "FAILED", "reason": "no paper"}]
    assert read_batch(Invocation(json.dumps({"results": results}).encode()), 3) == [
        InProgress(),
        Completed(done),
        Failed("no paper"),
    ]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_an_odd_result_is_read_as_a_single_reply_would_be_and_concerns_its_own_job_alone(odd: Any) -> None:
    good = {"status": "IN_PROGRESS"}
    reports = read_results(json.dumps({"results": [good, odd, good]}).encode(), 3)
    assert reports == [InProgress(), read_reply(json.dumps(odd).encode()), InProgress()]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_json_concerns_its_own_job_alone(number: str) -> None:
    odd = f'{{"status": "COMPLETED", "n": {number}}}'
    reports = read_results(f'{{"results": [{{"status": "IN_PROGRESS"}}, {odd}]}}'.encode(), 2)
    assert isinstance(reports, list)
    assert reports[0] == InProgress()
    assert isinstance(reports[1], Unanswered)
    assert reports[1].error.startswith('the source\'s reply is not JSON: b\'{"status": "COMPLETED"')


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"<html>", "the source's reply is not JSON: b'<html>'"),
        (b"", "the source's reply is not JSON: b''"),
        (b"\xff\xfe", "the source's reply is not JSON: b'\\xff\\xfe'"),
        (b'{"results": [{"status": "IN_PROGRESS"}', "the source's reply is not JSON: "),
        (b'{"status": "COMPLETED"}', "the source's reply has no list of \"results\": {'status': 'COMPLETED'}"),
        (b'{"results": {"a": 1, "b": 2}}', 'the source\'s reply has no list of "results": '),
        (b'[{"status": "COMPLETED"}, {"status": "COMPLETED"}]', 'the source\'s reply has no list of "results": '),
        (b"null", 'the source\'s reply has no list of "results": None'),
        (b'{"error": "unknown action"}', "the source's reply has no list of \"results\": {'error': "),
        (b'{"results": []}', "the source's reply has 0 results for 2 jobs"),
        (b'{"results": [{"status": "COMPLETED"}]}', "the source's reply has 1 results for 2 jobs"),
        (b'{"results": [1, 2, NaN]}', "the source's reply has 3 results for 2 jobs"),
        (b'{"results": ' + b"[" * 200_000, "the source's reply is not JSON: "),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_reply_of_another_shape_says_nothing_of_any_job(payload: bytes, error: str) -> None:
    reports = read_batch(Invocation(payload), 2)
    assert isinstance(reports, NotTogether)
    assert reports.error.startswith(error)
    assert len(reports.error) < 300


def test_a_function_that_raised_over_several_jobs_says_nothing_of_any() -> None:
    raised = Invocation(b'{"errorType": "KeyError", "errorMessage": "jobId"}', failed=True)
    assert read_batch(raised, 2) == NotTogether("the source raised KeyError: jobId")


def test_a_refusal_of_the_invocation_is_one_for_each_job() -> None:
    refused = NoInvocation("too many", Refusal.THROTTLED)
    assert read_batch(refused, 2) == [Unasked("too many", Refusal.THROTTLED)] * 2


def test_a_lost_reply_is_an_attempt_of_each_job_for_the_function_may_have_run() -> None:
    assert read_batch(NoInvocation("no reply in time"), 2) == [Unanswered("no reply in time")] * 2


@pytest.mark.parametrize("code", ["RequestTooLargeException", "InvalidRequestContentException"])
def test_a_request_that_lambda_does_not_take_is_made_for_each_job_by_itself(code: str) -> None:
    refused = not_invoked("jobs", CallError(code, "as it is", status=413))
    reports = read_batch(refused, 2)
    assert reports == NotTogether(f"function jobs could not be invoked: {code}: as it is")
