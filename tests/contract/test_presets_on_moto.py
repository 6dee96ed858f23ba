"""Presets, as they travel with the program, against jobs that run on moto's server."""

from typing import Any

import pytest

from scheduler.aws.api_clients import ApiClients
from scheduler.aws.api_source import AwsSource
from scheduler.checks.spec import AskAws, spec_of
from scheduler.core.check_replies import Completed, Failed, InProgress, Report, Unanswered
from scheduler.sources.presets import expand_preset
from tests.contract import test_aws_sources_on_moto as on_moto
from tests.fakes import token_row
from tests.moto_server import Moto

clients = on_moto.clients


def source_of(preset: str, clients: ApiClients, **given: Any) -> AwsSource:
    entry = expand_preset(preset, given)
    assert entry
    spec = spec_of(preset, entry)
    assert isinstance(spec.ask, AskAws)
    return AwsSource(spec.ask, spec.reading, clients)


@pytest.mark.parametrize(
    ("preset", "given", "start"),
    [
        ("glue-job-run", {"JobName": "{input.job}"}, on_moto._glue),
        ("athena-query", {}, on_moto._athena),
        ("batch-job", {}, on_moto._batch),
        ("codebuild-build", {}, on_moto._codebuild),
        ("sagemaker-training-job", {}, on_moto._sagemaker),
        ("textract-text-detection", {}, on_moto._textract),
        ("transcribe-job", {}, on_moto._transcribe),
        ("emr-serverless-job-run", {"applicationId": "{input.application}"}, on_moto._emr_serverless),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
async def test_a_preset_waits_until_the_job_has_completed(
    preset: str, given: dict[str, str], start: Any, moto: Moto, clients: ApiClients
) -> None:
    job = start(moto)
    source = source_of(preset, clients, **given)
    row = token_row(job.job_id, source_input=job.input)
    report: Report = InProgress()

    for _ in range(10):
        report = await source.check(row)
        if report != InProgress():
            break

    assert isinstance(report, Completed)
    assert report.result


async def test_an_execution_that_was_stopped_has_failed(moto: Moto, clients: ApiClients) -> None:
    job = on_moto._step_functions(moto)
    source = source_of("step-functions-execution", clients)

    before = await source.check(token_row(job.job_id))
    moto.client("stepfunctions").stop_execution(executionArn=job.job_id)

    assert (before, await source.check(token_row(job.job_id))) == (
        InProgress(),
        Failed("the job has failed with status ABORTED"),
    )


@pytest.mark.parametrize(
    ("preset", "given"),
    [
        ("glue-job-run", {"JobName": "nobody"}),
        ("batch-job", {}),
        ("codebuild-build", {}),
        ("sagemaker-training-job", {}),
        ("sagemaker-processing-job", {}),
        ("textract-text-detection", {}),
        ("transcribe-job", {}),
        ("redshift-data-statement", {}),
        ("rds-snapshot", {}),
        ("rds-cluster-snapshot", {}),
        ("rds-export-task", {}),
        ("cloudformation-stack", {}),
        ("iot-job", {}),
        ("glue-crawler", {}),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
async def test_a_job_that_nobody_knows_is_an_unknown_job(
    preset: str, given: dict[str, str], moto: Moto, clients: ApiClients
) -> None:
    del moto  # it runs, and is where the clients lead
    report = await source_of(preset, clients, **given).check(token_row("nobody:00000000-0000-0000-0000-000000000000"))

    assert isinstance(report, Unanswered)
    assert report.unknown_job, report.error
