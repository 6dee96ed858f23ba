"""Jobs of AWS's own services, started through boto3 on moto's server and asked for until they have ended."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest

from scheduler.aws.api_clients import ApiClients
from scheduler.aws.api_source import AwsSource
from scheduler.checks.spec import Acceptor, AskAws, Batch, Reading
from scheduler.core.check_replies import Completed, Failed, InProgress, Report, Unanswered, Unasked
from tests.fakes import token_row
from tests.moto_server import REGION, Moto

_ROLE = "arn:aws:iam::123456789012:role/service"


@pytest.fixture
async def clients(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiClients]:
    for name in ("AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.endpoint)
    made = ApiClients(4, 10.0)
    yield made
    await made.aclose()


@dataclass
class _Job:
    """A job that was started, and how it is asked for."""

    job_id: str
    ask: AskAws
    reading: Reading
    input: dict[str, Any] | None = None


def _name() -> str:
    return f"job-{uuid4().hex[:12]}"


def _glue(moto: Moto) -> _Job:
    moto.moves("glue::job_run", 2)
    glue, name = moto.client("glue"), _name()
    glue.create_job(Name=name, Role=_ROLE, Command={"Name": "glueetl", "ScriptLocation": "s3://scripts/etl"})
    ask = AskAws("glue", "GetJobRun", {"JobName": "{input.job}", "RunId": "{jobId}"})
    reading = Reading(
        "JobRun.JobRunState", ["STARTING", "RUNNING"], ["SUCCEEDED"], ["FAILED"], result="JobRun.{job: JobName}"
    )
    return _Job(glue.start_job_run(JobName=name)["JobRunId"], ask, reading, {"job": name})


def _athena(moto: Moto) -> _Job:
    query = moto.client("athena").start_query_execution(
        QueryString="select 1", ResultConfiguration={"OutputLocation": "s3://results/"}
    )
    ask = AskAws("athena", "GetQueryExecution", {"QueryExecutionId": "{jobId}"})
    return _Job(
        query["QueryExecutionId"],
        ask,
        Reading("QueryExecution.Status.State", ["QUEUED", "RUNNING"], ["SUCCEEDED"], ["FAILED", "CANCELLED"]),
    )


def _batch(moto: Moto) -> _Job:
    batch, name = moto.client("batch"), _name()
    moto.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    role = f"arn:aws:iam::123456789012:role/{name}"
    environment = batch.create_compute_environment(
        computeEnvironmentName=name, type="UNMANAGED", state="ENABLED", serviceRole=role
    )
    order = [{"order": 1, "computeEnvironment": environment["computeEnvironmentArn"]}]
    queue = batch.create_job_queue(jobQueueName=name, state="ENABLED", priority=1, computeEnvironmentOrder=order)
    container = {"image": "busybox", "vcpus": 1, "memory": 128, "command": ["true"]}
    what = batch.register_job_definition(jobDefinitionName=name, type="container", containerProperties=container)
    started = batch.submit_job(jobName=name, jobQueue=queue["jobQueueArn"], jobDefinition=what["jobDefinitionArn"])
    return _Job(
        started["jobId"],
        AskAws("batch", "DescribeJobs", {"jobs": ["{jobId}"]}, batch=Batch("jobs", "jobId")),
        Reading(
            "status",
            ["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"],
            ["SUCCEEDED"],
            ["FAILED"],
            result="{name: jobName}",
        ),
    )


def _codebuild(moto: Moto) -> _Job:
    builds, name = moto.client("codebuild"), _name()
    builds.create_project(
        name=name,
        source={"type": "S3", "location": "bucket/source.zip"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole=_ROLE,
    )
    return _Job(
        builds.start_build(projectName=name)["build"]["id"],
        AskAws("codebuild", "BatchGetBuilds", {"ids": ["{jobId}"]}, batch=Batch("builds", "[id, arn]")),
        Reading("buildStatus", ["IN_PROGRESS"], ["SUCCEEDED"], ["FAILED", "FAULT", "TIMED_OUT", "STOPPED"]),
    )


def _sagemaker(moto: Moto) -> _Job:
    name = _name()
    moto.client("sagemaker").create_training_job(
        TrainingJobName=name,
        RoleArn=_ROLE,
        AlgorithmSpecification={"TrainingImage": "x", "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": "s3://models/"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )
    return _Job(
        name,
        AskAws("sagemaker", "DescribeTrainingJob", {"TrainingJobName": "{jobId}"}),
        # As botocore's own waiter has it.
        Reading(
            acceptors=[
                Acceptor("success", "path", "Completed", "TrainingJobStatus"),
                Acceptor("success", "path", "Stopped", "TrainingJobStatus"),
                Acceptor("failure", "path", "Failed", "TrainingJobStatus"),
                Acceptor("failure", "error", "ValidationException"),
            ]
        ),
    )


def _textract(moto: Moto) -> _Job:
    bucket = _name()
    moto.client("s3").create_bucket(Bucket=bucket)
    place = {"S3Object": {"Bucket": bucket, "Name": "page.pdf"}}
    started = moto.client("textract").start_document_text_detection(DocumentLocation=place)
    return _Job(
        started["JobId"],
        AskAws("textract", "GetDocumentTextDetection", {"JobId": "{jobId}", "MaxResults": 1}),
        Reading("JobStatus", ["IN_PROGRESS"], ["SUCCEEDED"], ["FAILED"], result="DocumentMetadata"),
    )


def _transcribe(moto: Moto) -> _Job:
    name = _name()
    moto.client("transcribe").start_transcription_job(
        TranscriptionJobName=name, LanguageCode="en-US", Media={"MediaFileUri": "s3://sound/a.wav"}
    )
    return _Job(
        name,
        AskAws("transcribe", "GetTranscriptionJob", {"TranscriptionJobName": "{jobId}"}),
        Reading("TranscriptionJob.TranscriptionJobStatus", ["QUEUED", "IN_PROGRESS"], ["COMPLETED"], ["FAILED"]),
    )


def _emr_serverless(moto: Moto) -> _Job:
    emr = moto.client("emr-serverless")
    application = emr.create_application(name=_name(), releaseLabel="emr-6.6.0", type="SPARK")["applicationId"]
    driver = {"sparkSubmit": {"entryPoint": "s3://scripts/etl.py"}}
    run = emr.start_job_run(applicationId=application, executionRoleArn=_ROLE, jobDriver=driver)
    return _Job(
        run["jobRunId"],
        AskAws("emr-serverless", "GetJobRun", {"applicationId": "{input.application}", "jobRunId": "{jobId}"}),
        Reading("jobRun.state", ["SUBMITTED", "PENDING", "SCHEDULED", "RUNNING"], ["SUCCESS"], ["FAILED", "CANCELLED"]),
        {"application": application},
    )


def _redshift_data(moto: Moto) -> _Job:
    redshift = moto.client("redshift-data")
    statement = redshift.execute_statement(Database="dev", Sql="select 1", ClusterIdentifier="cluster")["Id"]
    return _Job(
        statement,
        AskAws("redshift-data", "DescribeStatement", {"Id": "{jobId}"}),
        Reading("Status", ["SUBMITTED", "PICKED", "STARTED"], ["FINISHED"], ["FAILED", "ABORTED"]),
    )


def _step_functions(moto: Moto) -> _Job:
    states = moto.client("stepfunctions")
    definition = json.dumps({"StartAt": "Only", "States": {"Only": {"Type": "Wait", "Seconds": 600, "End": True}}})
    machine = states.create_state_machine(name=_name(), definition=definition, roleArn=_ROLE)["stateMachineArn"]
    return _Job(
        states.start_execution(stateMachineArn=machine)["executionArn"],
        AskAws("stepfunctions", "DescribeExecution", {"executionArn": "{jobId}"}),
        Reading(
            "status",
            ["RUNNING", "PENDING_REDRIVE"],
            ["SUCCEEDED"],
            ["FAILED", "TIMED_OUT", "ABORTED"],
            reason="join(' ', [name, status])",
            unknown_errors=["ExecutionDoesNotExist"],
        ),
    )


async def _reports(source: AwsSource, job: _Job) -> list[Report]:
    """Ask until the job has ended, ten times at most."""
    row = token_row(job.job_id, source_input=job.input)
    reports: list[Report] = []
    while len(reports) < 10:
        reports.append(await source.check(row))
        if not isinstance(reports[-1], InProgress):
            break
    return reports


@pytest.mark.parametrize(
    "start",
    [_glue, _athena, _batch, _codebuild, _sagemaker, _textract, _transcribe, _emr_serverless],
    ids=lambda start: start.__name__.strip("_"),
)
async def test_a_job_is_asked_for_until_it_has_completed(start: Any, moto: Moto, clients: ApiClients) -> None:
    job = start(moto)
    source = AwsSource(job.ask, job.reading, clients)
    reports = await _reports(source, job)
    assert isinstance(reports[-1], Completed), reports
    assert all(report == InProgress() for report, _ in pairwise(reports))
    assert json.loads(json.dumps(reports[-1].result, allow_nan=False)) == reports[-1].result
    assert reports[-1].result


async def test_a_job_run_of_glue_goes_through_its_states(moto: Moto, clients: ApiClients) -> None:
    job = _glue(moto)
    assert job.input
    source = AwsSource(job.ask, job.reading, clients)
    reports = await _reports(source, job)
    assert len(reports) > 1
    assert reports[-1] == Completed({"job": job.input["job"]})


async def test_a_statement_of_redshift_that_was_cancelled_has_failed(moto: Moto, clients: ApiClients) -> None:
    job = _redshift_data(moto)
    source = AwsSource(job.ask, job.reading, clients)
    assert await source.check(token_row(job.job_id)) == InProgress()
    moto.client("redshift-data").cancel_statement(Id=job.job_id)
    assert await source.check(token_row(job.job_id)) == Failed("the job has failed with status ABORTED")


async def test_an_execution_that_was_stopped_has_failed(moto: Moto, clients: ApiClients) -> None:
    job = _step_functions(moto)
    source = AwsSource(job.ask, job.reading, clients)
    assert await source.check(token_row(job.job_id)) == InProgress()
    moto.client("stepfunctions").stop_execution(executionArn=job.job_id)
    assert await source.check(token_row(job.job_id)) == Failed(f"{job.job_id.rpartition(':')[2]} ABORTED")


async def test_an_execution_that_nobody_knows_is_an_unknown_job(moto: Moto, clients: ApiClients) -> None:
    job = _step_functions(moto)
    report = await AwsSource(job.ask, job.reading, clients).check(token_row(f"{job.job_id}-other"))
    assert isinstance(report, Unanswered)
    assert report.unknown_job


async def test_builds_are_asked_for_together_and_one_that_is_not_there_is_unknown(
    moto: Moto, clients: ApiClients
) -> None:
    first, second = _codebuild(moto), _codebuild(moto)
    source = AwsSource(first.ask, first.reading, clients)
    ids = [second.job_id, "nothing:00000000-0000-0000-0000-000000000000", first.job_id, second.job_id]
    reports = await source.check_together([token_row(job_id) for job_id in ids])
    assert isinstance(reports, list)
    missing = reports[1]
    assert isinstance(missing, Unanswered)
    assert missing.unknown_job
    found = [report.result["id"] for report in reports if isinstance(report, Completed)]
    assert found == [second.job_id, first.job_id, second.job_id]


async def test_a_role_is_assumed_to_ask_with(moto: Moto, clients: ApiClients) -> None:
    job = _athena(moto)
    ask = AskAws(job.ask.service, job.ask.operation, job.ask.parameters, REGION, _ROLE)
    source = AwsSource(ask, job.reading, clients)
    await source.probe()
    # A role of moto's own account, so that its credentials lead to the same jobs.
    assert isinstance(await source.check(token_row(job.job_id)), Completed)


async def test_single_services_are_led_to_another_endpoint_than_the_rest(
    moto: Moto, clients: ApiClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _emr_serverless(moto)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    for name, endpoint in moto.environment("emr_serverless").items():
        monkeypatch.setenv(name, endpoint)
    report = await AwsSource(job.ask, job.reading, clients).check(token_row(job.job_id, source_input=job.input))
    assert isinstance(report, Completed)
    other = _athena(moto)
    assert isinstance(await AwsSource(other.ask, other.reading, clients).check(token_row(other.job_id)), Unasked)
