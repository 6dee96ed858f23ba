"""What replies mean, by lists and by acceptors."""

from typing import Any

import pytest
from jmespath.exceptions import JMESPathError

from scheduler.checks.readings import Reader, Verdict
from scheduler.checks.spec import Acceptor, Reading
from scheduler.core.check_replies import Completed, Failed, InProgress, Report, Unanswered

_LISTS = Reading("body.state", ["QUEUED", "RUNNING"], ["DONE"], ["FAILED", "CANCELLED"])


def _read(reading: Reading, data: Any, **more: Any) -> Report:
    return Reader(reading).read(data, **more)


@pytest.mark.parametrize("state", ["QUEUED", "RUNNING"])
def test_a_status_of_the_first_list_says_that_the_job_goes_on(state: str) -> None:
    assert _read(_LISTS, {"body": {"state": state}}) == InProgress()


def test_a_completed_job_has_all_the_data_for_its_result_unless_another_is_given() -> None:
    data = {"status": 200, "body": {"state": "DONE"}}
    assert _read(_LISTS, data) == Completed(data)
    assert _read(_LISTS, data, jobs_own=data["body"]) == Completed({"state": "DONE"})


def test_the_result_is_what_its_path_leads_to() -> None:
    reading = Reading("body.state", completed=["DONE"], result="{url: body.links.output}")
    data = {"body": {"state": "DONE", "links": {"output": "s3://there"}}}
    assert _read(reading, data, jobs_own=data["body"]) == Completed({"url": "s3://there"})


@pytest.mark.parametrize("result", ["sum(body.state)", "&body"])
def test_a_result_that_cannot_be_read_is_no_answer_and_no_success(result: str) -> None:
    report = _read(Reading("body.state", completed=["DONE"], result=result), {"body": {"state": "DONE"}})
    assert isinstance(report, Unanswered)
    assert report.error.startswith("the job has completed, and its result cannot be read: ")


def test_a_failed_job_says_with_which_status() -> None:
    assert _read(_LISTS, {"body": {"state": "CANCELLED"}}) == Failed("the job has failed with status CANCELLED")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"message": "the disk is full"}, "the disk is full"),
        ({"message": {"code": 7, "say": "größer"}}, '{"code": 7, "say": "größer"}'),
        ({"message": ""}, "the job has failed with status FAILED"),
        ({}, "the job has failed with status FAILED"),
    ],
)
def test_the_reason_is_what_its_path_leads_to(error: Any, reason: str) -> None:
    reading = Reading("body.state", failed=["FAILED"], reason="body.error.message")
    assert _read(reading, {"body": {"state": "FAILED", "error": error}}) == Failed(reason)


def test_a_reason_that_cannot_be_read_leaves_the_job_failed() -> None:
    reading = Reading("state", failed=["FAILED"], reason="sum(state)")
    assert _read(reading, {"state": "FAILED"}) == Failed("the job has failed with status FAILED")


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("PAUSED", "the source's reply has an unknown status: 'PAUSED'"),
        ("done", "the source's reply has an unknown status: 'done'"),
        ("", "the source's reply has an unknown status: ''"),
        (None, "the source's reply has no status at body.state"),
        (["DONE"], "the source's reply has no single status: ['DONE']"),
        ({"DONE": 1}, "the source's reply has no single status: {'DONE': 1}"),
    ],
)
def test_whatever_is_no_known_status_ends_nothing(state: Any, error: str) -> None:
    assert _read(_LISTS, {"body": {"state": state}}) == Unanswered(error)


@pytest.mark.parametrize("data", [None, "<html>", [], {"body": "<html>"}, {"body": None}])
def test_a_reply_of_another_shape_ends_nothing(data: Any) -> None:
    assert _read(_LISTS, data) == Unanswered("the source's reply has no status at body.state")


def test_a_status_path_that_a_reply_does_not_allow_ends_nothing() -> None:
    report = _read(Reading("length(jobs)", completed=["1"]), {"jobs": 3})
    assert isinstance(report, Unanswered)
    assert report.error.startswith("the source's reply cannot be understood: length(jobs) cannot be read: ")


@pytest.mark.parametrize(("value", "report"), [(True, Completed), (False, InProgress), ("true", Completed)])
def test_a_status_that_is_no_text_is_compared_as_json_writes_it(value: object, report: type[Report]) -> None:
    assert isinstance(_read(Reading("done", ["false"], ["true"]), {"done": value}), report)


def test_a_number_of_the_lists_is_as_good_as_its_text() -> None:
    numbers: Any = [3]
    assert _read(Reading("state", completed=numbers), {"state": 3}) == Completed({"state": 3})


def test_an_error_of_the_service_has_no_status_whatever_it_holds() -> None:
    report = _read(Reading("Error.Code", completed=["Done"]), {"Error": {"Code": "Done"}}, error="Done")
    assert isinstance(report, Unanswered)


def _accepting(*acceptors: Acceptor, **more: Any) -> Reading:
    return Reading(acceptors=acceptors, **more)


_ALL = Acceptor("success", "pathAll", "stopped", "tasks[].state")
_ANY = Acceptor("failure", "pathAny", "MISSING", "failures[].reason")


@pytest.mark.parametrize(
    ("data", "report"),
    [
        ({"tasks": [{"state": "stopped"}, {"state": "stopped"}]}, Completed),
        ({"tasks": [{"state": "stopped"}, {"state": "running"}]}, InProgress),
        ({"tasks": []}, InProgress),
        ({}, InProgress),
        ({"failures": [{"reason": "OTHER"}, {"reason": "MISSING"}]}, Failed),
        ({"failures": [{"reason": "OTHER"}], "tasks": [{"state": "stopped"}]}, Completed),
    ],
)
def test_acceptors_look_at_all_or_any_of_a_list(data: Any, report: type[Report]) -> None:
    assert isinstance(_read(_accepting(_ANY, _ALL), data), report)


def test_the_first_acceptor_that_matches_decides() -> None:
    success = Acceptor("success", "path", "x", "state")
    failure = Acceptor("failure", "path", "x", "state")
    assert _read(_accepting(success, failure), {"state": "x"}) == Completed({"state": "x"})
    assert _read(_accepting(failure, success), {"state": "x"}) == Failed("the job has failed: state is x")


def test_a_failure_names_its_acceptor_where_the_entry_has_no_reason() -> None:
    data = {"failures": [{"reason": "MISSING"}]}
    assert _read(_accepting(_ANY), data) == Failed("the job has failed: one of failures[].reason is MISSING")
    assert _read(_accepting(_ANY, reason="failures[0].reason"), data) == Failed("MISSING")


def test_an_acceptor_of_the_status_looks_at_the_reply_s_own() -> None:
    reading = _accepting(Acceptor("success", "status", 200), Acceptor("retry", "status", 404))
    assert _read(reading, {}, status=200) == Completed({})
    assert _read(reading, {}, status=404, error="404") == InProgress()
    assert _read(reading, {}) == InProgress()


def test_acceptors_of_errors_and_those_of_paths_have_nothing_to_do_with_each_other() -> None:
    reading = _accepting(
        Acceptor("failure", "path", "Gone", "Error.Code"),
        Acceptor("success", "error", "Gone"),
        Acceptor("failure", "error", True),  # noqa: FBT003  botocore's own format
        Acceptor("retry", "error", False),  # noqa: FBT003
    )
    gone = {"Error": {"Code": "Gone"}}
    assert _read(reading, gone, error="Gone") == Completed(gone)
    assert _read(reading, {"Error": {"Code": "Other"}}, error="Other") == Failed("the job has failed: error is true")
    assert _read(reading, {}) == InProgress()


def test_an_acceptor_that_a_reply_does_not_allow_ends_nothing() -> None:
    report = _read(_accepting(Acceptor("success", "path", 1, "length(jobs)")), {"jobs": None})
    assert isinstance(report, Unanswered)


def test_a_reader_says_which_rule_matched() -> None:
    reader = Reader(_LISTS)
    assert reader.judge({"body": {"state": "DONE"}}) == Verdict("success", "DONE is in completed", "DONE")
    reader = Reader(_accepting(_ALL))
    assert reader.judge({"tasks": [{"state": "stopped"}]}) == Verdict("success", "each of tasks[].state is stopped")
    assert reader.judge({}) == Verdict("retry", "no acceptor matches: the job goes on")


@pytest.mark.parametrize(
    "reading",
    [
        Reading("a["),
        Reading("a", result="b["),
        Reading("a", reason="nothing(b)"),
        _accepting(Acceptor("success", "pathAll", "x", "a[")),
        _accepting(Acceptor("success", "path", "x")),
    ],
)
def test_a_path_that_is_none_is_refused_at_once(reading: Reading) -> None:
    with pytest.raises(JMESPathError):
        Reader(reading)


def _nested(levels: int) -> Any:
    data: Any = "deep"
    for _ in range(levels):
        data = [data]
    return data


def test_a_result_that_is_nested_too_deeply_is_no_answer_and_a_reason_that_is_so_is_left_out() -> None:
    report = _read(_LISTS, {"body": {"state": "DONE", "log": _nested(900)}})
    assert isinstance(report, Unanswered)
    reading = Reading("state", failed=["FAILED"], reason="why")
    assert _read(reading, {"state": "FAILED", "why": _nested(900)}) == Failed("the job has failed with status FAILED")


@pytest.mark.parametrize(
    ("status", "numbers"),
    [("avg(a)", [10**400, 1]), ("ceil(to_number(a))", "1e999"), ("sum(a)", [10**4299] * 20)],
)
def test_numbers_beyond_all_bounds_are_no_answer(status: str, numbers: Any) -> None:
    assert isinstance(_read(Reading(status, completed=["1"]), {"a": numbers}), Unanswered)
