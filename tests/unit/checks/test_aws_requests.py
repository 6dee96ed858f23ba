"""Requests of AWS's APIs: where jobs stand in the parameters, and which are asked for together."""

from typing import Any

import pytest

from scheduler.checks.aws_requests import AwsRequests, Plan, batch_fault
from scheduler.checks.spec import AskAws, Batch
from scheduler.checks.templates import JobRef
from scheduler.core.check_replies import Unanswered


def _planned(parameters: dict[str, Any], *jobs: JobRef, most: int | None = None) -> Plan:
    batch = None if most is None else Batch("jobs", "id", most)
    return AwsRequests(AskAws("service", "Operation", parameters, batch=batch)).planned(jobs)


def _jobs(*ids: str, **given: Any) -> list[JobRef]:
    return [JobRef(each, given) for each in ids]


def _sent(plan: Plan) -> list[tuple[dict[str, Any], tuple[int, ...]]]:
    return [(asked.call.parameters, asked.places) for asked in plan.asked]


def test_each_job_has_a_request_of_its_own_where_there_are_no_batches() -> None:
    plan = _planned({"Name": "{input.name}", "Run": {"Id": "run-{jobId}"}}, *_jobs("a", "b", name="n"))
    assert _sent(plan) == [
        ({"Name": "n", "Run": {"Id": "run-a"}}, (0,)),
        ({"Name": "n", "Run": {"Id": "run-b"}}, (1,)),
    ]
    call = plan.asked[0].call
    assert (call.service, call.operation) == ("service", "Operation")


def test_an_input_keeps_its_type() -> None:
    assert _sent(_planned({"Most": "{input.most}"}, *_jobs("a", most=3))) == [({"Most": 3}, (0,))]


def test_a_job_without_the_input_that_is_needed_cannot_be_asked_for_and_the_others_are() -> None:
    jobs = [*_jobs("a"), *_jobs("b", x=1)]
    for most in (None, 10):
        plan = _planned({"ids": ["{jobId}"], "x": "{input.x}"}, *jobs, most=most)
        assert _sent(plan) == [({"ids": ["b"], "x": 1}, (1,))]
        unfit = plan.unfit[0]
        assert isinstance(unfit, Unanswered)
        assert unfit.error.startswith("this job cannot be asked for: ")
        assert not unfit.unknown_job


def test_the_ids_stand_in_the_one_list_that_takes_them() -> None:
    parameters = {"cluster": "main", "filters": [{"Name": "id", "Values": ["{jobId}"]}, {"Name": "x", "Values": ["y"]}]}
    assert _sent(_planned(parameters, *_jobs("a", "b"), most=10)) == [
        ({"cluster": "main", "filters": [{"Name": "id", "Values": ["a", "b"]}, {"Name": "x", "Values": ["y"]}]}, (0, 1))
    ]


def test_an_element_may_be_more_than_the_id_and_the_list_may_hold_others() -> None:
    parameters = {"keys": ["first", {"id": "{jobId}", "of": "{input.of}"}]}
    plan = _planned(parameters, JobRef("a", {"of": 1}), JobRef("b", {"of": 2}), most=10)
    assert _sent(plan) == [({"keys": ["first", {"id": "a", "of": 1}, {"id": "b", "of": 2}]}, (0, 1))]


def test_a_job_goes_by_its_id_and_by_what_that_was_put_into() -> None:
    plan = _planned({"arns": ["arn:aws:x:{input.region}:1:job/{jobId}"]}, *_jobs("a", region="r"), most=10)
    assert plan.asked[0].names == (frozenset({"a", "arn:aws:x:r:1:job/a"}),)


def test_an_id_that_is_there_twice_is_sent_once() -> None:
    plan = _planned({"ids": ["{jobId}"]}, *_jobs("a", "b", "a"), most=2)
    assert plan.asked[0].call.parameters == {"ids": ["a", "b"]}
    assert [(place, *names) for place, names in zip(plan.asked[0].places, plan.asked[0].names, strict=True)] == [
        (0, "a"),
        (2, "a"),
        (1, "b"),
    ]


def test_jobs_whose_inputs_make_the_request_differ_are_in_requests_of_their_own() -> None:
    jobs = [JobRef("a", {"cluster": "x"}), JobRef("b", {"cluster": "y"}), JobRef("c", {"cluster": "x", "other": 1})]
    assert _sent(_planned({"cluster": "{input.cluster}", "tasks": ["{jobId}"]}, *jobs, most=10)) == [
        ({"cluster": "x", "tasks": ["a", "c"]}, (0, 2)),
        ({"cluster": "y", "tasks": ["b"]}, (1,)),
    ]


def test_no_request_holds_more_ids_than_the_operation_takes() -> None:
    assert _sent(_planned({"ids": ["{jobId}"]}, *_jobs("a", "b", "c", "d", "e"), most=2)) == [
        ({"ids": ["a", "b"]}, (0, 1)),
        ({"ids": ["c", "d"]}, (2, 3)),
        ({"ids": ["e"]}, (4,)),
    ]


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"id": "{jobId}"},
        {"ids": ["a"]},
        {"ids": ["{jobId}"], "more": ["{jobId}"]},
        {"ids": ["{jobId}"], "token": "{jobId}"},
        {"ids": ["{jobId}", "x-{jobId}"]},
        {"ids": [["{jobId}"], "{jobId}"]},
    ],
)
def test_a_batch_needs_one_list_for_the_ids_and_no_other_place(parameters: dict[str, Any]) -> None:
    assert batch_fault(parameters)
    with pytest.raises(ValueError, match="exactly one list"):
        AwsRequests(AskAws("service", "Operation", parameters, batch=Batch("jobs", "id")))


def test_a_placeholder_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="no placeholder"):
        AwsRequests(AskAws("service", "Operation", {"id": "{jobid}"}))
