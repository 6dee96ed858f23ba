"""The poller Lambda asks AWS APIs with boto3; what it is told is held to botocore's own models."""

from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from aws_checks import LARGEST_STREAM, AwsChecks
from aws_clients import AwsClients
from scheduler.checks.spec import AskAws, Batch, Reading
from scheduler.core.check_replies import Completed, InProgress, NotTogether, Unanswered, Unasked
from scheduler.core.service_calls import Refusal
from scheduler.core.token import TaskToken
from scheduler.core.token_row import TokenRow

GLUE = AskAws("glue", "GetJobRun", {"JobName": "{input.job}", "RunId": "{jobId}"})
GLUE_READING = Reading(
    status="JobRun.JobRunState",
    in_progress=["RUNNING"],
    completed=["SUCCEEDED"],
    unknown_errors=["EntityNotFoundException"],
)
BUILDS = AskAws("codebuild", "BatchGetBuilds", {"ids": ["{jobId}"]}, batch=Batch("builds", "id", 3))
BUILDS_READING = Reading(status="buildStatus", in_progress=["IN_PROGRESS"], completed=["SUCCEEDED"], result="id")


def row(job_id: str, **given: Any) -> TokenRow:
    return TokenRow(job_id, TaskToken("t"), None, None, 0, None, source="s", source_input={"job": "etl"} | given)


def client(service: str) -> Any:
    make: Any = boto3.Session("AKID", "key", region_name="us-east-1").client
    return make(service)


def test_a_job_is_asked_for_by_its_id_and_input_and_its_output_is_json() -> None:
    glue = client("glue")
    with Stubber(glue) as stub:
        started = datetime(2026, 1, 2, tzinfo=UTC)
        told = {"JobRun": {"JobRunState": "SUCCEEDED", "StartedOn": started}}
        stub.add_response("get_job_run", told, {"JobName": "etl", "RunId": "jr_1"})
        report = AwsChecks(GLUE, GLUE_READING, glue).check(row("jr_1"))
    assert report == Completed({"JobRun": {"JobRunState": "SUCCEEDED", "StartedOn": "2026-01-02T00:00:00Z"}})


@pytest.mark.parametrize(
    ("code", "status", "refusal"),
    [
        ("ThrottlingException", 400, Refusal.THROTTLED),
        ("AccessDeniedException", 400, Refusal.DENIED),
        ("X", 503, Refusal.UNAVAILABLE),
    ],
)
def test_a_refusal_of_the_service_spends_no_attempt(code: str, status: int, refusal: Refusal) -> None:
    glue = client("glue")
    with Stubber(glue) as stub:
        stub.add_client_error("get_job_run", code, http_status_code=status)
        report = AwsChecks(GLUE, GLUE_READING, glue).check(row("jr_1"))
    assert isinstance(report, Unasked)
    assert report.refusal is refusal


def test_a_job_that_the_service_does_not_know_is_told_of_as_such() -> None:
    glue = client("glue")
    with Stubber(glue) as stub:
        stub.add_client_error("get_job_run", "EntityNotFoundException")
        report = AwsChecks(GLUE, GLUE_READING, glue).check(row("jr_1"))
    assert isinstance(report, Unanswered)
    assert report.unknown_job


def test_a_job_whose_input_is_missing_is_not_asked_for() -> None:
    report = AwsChecks(GLUE, GLUE_READING, client("glue")).check(
        TokenRow("jr_1", TaskToken("t"), None, None, 0, None, source="s")
    )
    assert isinstance(report, Unanswered)


def test_jobs_are_asked_for_together_and_each_gets_its_own_report() -> None:
    builds = client("codebuild")
    with Stubber(builds) as stub:
        told = {"builds": [{"id": "b", "buildStatus": "SUCCEEDED"}, {"id": "a", "buildStatus": "IN_PROGRESS"}]}
        stub.add_response("batch_get_builds", told, {"ids": ["a", "b", "c"]})
        asks = AwsChecks(BUILDS, BUILDS_READING, builds)
        reports = asks.check_together([row("a"), row("b"), row("c")])
    assert (asks.most, AwsChecks(GLUE, GLUE_READING, client("glue")).most) == (3, 1)
    assert isinstance(reports, list)
    assert reports[:2] == [InProgress(), Completed("b")]
    assert isinstance(reports[2], Unanswered)
    assert reports[2].unknown_job


def test_jobs_whose_inputs_make_their_requests_differ_are_asked_for_by_themselves() -> None:
    ask = AskAws("batch", "DescribeJobs", {"jobs": ["{jobId}"]}, batch=Batch("jobs", "jobId", 1))
    asks = AwsChecks(ask, BUILDS_READING, client("batch"))
    assert isinstance(asks.check_together([row("a"), row("b")]), NotTogether)


def test_one_clients_calls_are_sent_once_and_end_with_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    clients = AwsClients()
    made = clients.client("glue", "eu-west-1", None, 7.0)
    assert made is clients.client("glue", "eu-west-1", None, 7.0)
    assert made is not clients.client("glue", None, None, 7.0)
    config: Any = made.meta.config
    assert (config.read_timeout, config.connect_timeout, config.retries["total_max_attempts"]) == (7.0, 1, 1)
    assert (made.meta.region_name, clients.client("glue", None, None, 7.0).meta.region_name) == (
        "eu-west-1",
        "us-east-1",
    )


LAMBDA = AskAws("lambda", "Invoke", {"FunctionName": "jobs", "Payload": "{input.asked}"})


@pytest.mark.parametrize(("length", "fits"), [(LARGEST_STREAM, True), (LARGEST_STREAM + 1, False)])
def test_a_stream_of_an_output_is_read_up_to_a_megabyte(length: int, fits: bool) -> None:  # noqa: FBT001
    made = client("lambda")
    payload = b'{"state": "DONE", "pad": "' + b"x" * (length - 28) + b'"}'
    assert len(payload) == length
    with Stubber(made) as stub:
        body = StreamingBody(BytesIO(payload), length)
        stub.add_response("invoke", {"StatusCode": 200, "Payload": body}, {"FunctionName": "jobs", "Payload": "{}"})
        reading = Reading(status="Payload.state", completed=["DONE"], result="Payload.state")
        report = AwsChecks(LAMBDA, reading, made).check(row("j", asked="{}"))
    assert isinstance(report, Completed if fits else Unanswered)


def test_a_reply_that_is_not_what_the_services_model_says_costs_its_own_job_alone() -> None:
    class Odd:
        def get_job_run(self, **parameters: Any) -> Any:
            raise AttributeError(parameters["RunId"])

    report = AwsChecks(GLUE, GLUE_READING, Odd()).check(row("jr_1"))
    assert report == Unanswered("the reply of glue GetJobRun is not what its model says: jr_1")
