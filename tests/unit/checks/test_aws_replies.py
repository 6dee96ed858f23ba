"""What the replies of AWS's APIs say of each job."""

import datetime as dt
import io
from typing import Any

import pytest

from scheduler.checks.aws_replies import AwsReplies
from scheduler.checks.aws_requests import Asked, AwsCall
from scheduler.checks.spec import Acceptor, AskAws, Batch, Reading
from scheduler.core.check_replies import Completed, Failed, InProgress, NotTogether, Report, Unanswered, Unasked
from scheduler.core.service_calls import CallError, Refusal

_LISTS = Reading("state", ["RUNNING"], ["DONE"], ["FAILED"], unknown_errors=["JobNotFound"])
_BATCH = Batch("jobs", "id")


def _read(reply: Any, *ids: str, reading: Reading = _LISTS, batch: Batch | None = _BATCH) -> list[Report] | NotTogether:
    ask = AskAws("service", "Describe", batch=batch)
    names = tuple(frozenset({each}) for each in ids)
    return AwsReplies(ask, reading).read(
        Asked(AwsCall("service", "Describe", {}), tuple(range(len(ids))), names), reply
    )


def _alone(reply: Any, reading: Reading = _LISTS) -> Report:
    reports = _read(reply, "a", reading=reading, batch=None)
    assert isinstance(reports, list)
    assert len(reports) == 1
    return reports[0]


def _error(code: str, status: int | None = 400) -> CallError:
    return CallError(code, "as the test asked for", status=status)


def test_an_output_is_the_result_without_what_the_sdk_adds_and_as_json() -> None:
    moment = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    reply = {"state": "DONE", "endedAt": moment, "ResponseMetadata": {"HTTPStatusCode": 200}}
    assert _alone(reply) == Completed({"state": "DONE", "endedAt": "2026-01-02T00:00:00Z"})


def test_an_output_with_a_stream_that_nobody_read_is_no_answer() -> None:
    report = _alone({"state": "DONE", "Body": io.BytesIO()})
    assert isinstance(report, Unanswered)
    assert "a BytesIO is no value of JSON" in report.error


@pytest.mark.parametrize(
    ("code", "status", "refusal"),
    [
        ("ThrottlingException", 400, Refusal.THROTTLED),
        ("SomethingNew", 429, Refusal.THROTTLED),
        ("InternalFailure", 500, Refusal.UNAVAILABLE),
        ("503", 503, Refusal.UNAVAILABLE),
        ("AccessDeniedException", 400, Refusal.DENIED),
        ("SomethingNew", 403, Refusal.DENIED),
        ("ExpiredTokenException", 403, Refusal.CREDENTIALS),
        ("NoCredentialsError", None, Refusal.CREDENTIALS),
        ("EndpointConnectionError", None, Refusal.UNREACHABLE),
        ("ConnectTimeoutError", None, Refusal.UNREACHABLE),
    ],
)
def test_what_says_nothing_of_the_job_spends_nothing(code: str, status: int | None, refusal: Refusal) -> None:
    expected = Unasked(f"service Describe: {code}: as the test asked for", refusal)
    assert _alone(_error(code, status)) == expected
    anything = Reading(acceptors=[Acceptor("failure", "error", True)])  # noqa: FBT003  botocore's own format
    assert _alone(_error(code, status), anything) == expected


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ValidationException", 400),
        ("ResourceNotFoundException", 400),  # of which thing, only the entry knows
        ("ReadTimeoutError", None),
        ("ConnectionClosedError", None),
        ("ParamValidationError", None),
    ],
)
def test_any_other_error_spends_an_attempt_and_ends_nothing(code: str, status: int | None) -> None:
    assert _alone(_error(code, status)) == Unanswered(f"service Describe: {code}: as the test asked for")


def test_the_codes_that_the_entry_names_say_that_the_job_is_unknown() -> None:
    report = _alone(_error("JobNotFound"))
    assert isinstance(report, Unanswered)
    assert report.unknown_job


def test_acceptors_come_before_all_that_is_otherwise_made_of_an_error() -> None:
    reading = Reading(
        acceptors=[
            Acceptor("success", "error", "JobNotFound"),
            Acceptor("retry", "error", "ThrottlingException"),
            Acceptor("failure", "error", "AccessDeniedException"),
            Acceptor("failure", "status", 404),
        ],
        unknown_errors=["JobNotFound"],
        reason="Error.Message",
    )
    assert _alone(_error("JobNotFound"), reading) == Completed(
        {"Error": {"Code": "JobNotFound", "Message": "as the test asked for"}}
    )
    assert _alone(_error("ThrottlingException"), reading) == InProgress()
    assert _alone(_error("AccessDeniedException"), reading) == Failed("as the test asked for")
    assert _alone(_error("404", 404), reading) == Failed("as the test asked for")


def test_each_job_of_a_batch_has_its_own_item_whatever_their_order() -> None:
    jobs = [{"id": "b", "state": "FAILED"}, {"id": "a", "state": "DONE"}, {"id": "c", "state": "RUNNING"}]
    assert _read({"jobs": jobs}, "a", "b", "c", "a") == [
        Completed({"id": "a", "state": "DONE"}),
        Failed("the job has failed with status FAILED"),
        InProgress(),
        Completed({"id": "a", "state": "DONE"}),
    ]


def test_a_job_that_is_not_in_the_reply_is_unknown() -> None:
    unknown = Unanswered("service Describe knows no such job", unknown_job=True)
    assert _read({"jobs": [{"id": "b", "state": "DONE"}]}, "a", "b") == [
        unknown,
        Completed({"id": "b", "state": "DONE"}),
    ]
    assert _read({}, "a") == [unknown]
    assert _read({"jobs": [None, 3, {"state": "DONE"}, {"id": {"x": 1}}]}, "a") == [unknown]


def test_a_job_that_may_be_on_the_next_page_is_not_unknown() -> None:
    reports = _read({"jobs": [], "nextToken": "more"}, "a")
    assert isinstance(reports, list)
    report = reports[0]
    assert isinstance(report, Unanswered)
    assert not report.unknown_job


def test_an_item_may_go_by_several_ids_and_by_the_end_of_an_arn() -> None:
    batch = Batch("jobs", "[id, arn]")
    items = [{"id": 7, "arn": "arn:aws:ecs:r:1:task/main/x", "state": "DONE"}]
    for name in ("7", "arn:aws:ecs:r:1:task/main/x", "x"):
        assert _read({"jobs": items}, name, batch=batch) == [Completed(items[0])]


def test_the_end_of_an_arn_takes_no_other_job_s_place() -> None:
    items = [{"id": "arn:aws:ecs:r:1:task/main/x", "state": "RUNNING"}, {"id": "x", "state": "DONE"}]
    assert _read({"jobs": items}, "x") == [Completed(items[1])]


@pytest.mark.parametrize("jobs", ["text", {"a": {}}, 3])
def test_a_reply_without_a_list_says_nothing_of_any_job(jobs: Any) -> None:
    assert _read({"jobs": jobs}, "a", "b") == [Unanswered("the output of service Describe has no list at jobs")] * 2


@pytest.mark.parametrize("code", ["ValidationException", "JobNotFound", "ParamValidationError", "AccessDenied"])
def test_an_error_that_may_be_one_job_s_fault_is_nobody_else_s(code: str) -> None:
    status = None if code == "ParamValidationError" else 400
    assert _read(_error(code, status), "a", "b") == NotTogether(f"service Describe: {code}: as the test asked for")
    reports = _read(_error(code, status), "a")
    assert isinstance(reports, list)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [("Throttling", 400, Unasked), ("X", 500, Unasked), ("ReadTimeoutError", None, Unanswered)],
)
def test_an_error_of_the_service_or_the_way_to_it_is_the_same_for_all(
    code: str, status: int | None, kind: type[Report]
) -> None:
    reports = _read(_error(code, status), "a", "b", "c")
    assert isinstance(reports, list)
    assert [type(report) for report in reports] == [kind] * 3
