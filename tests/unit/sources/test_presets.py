"""The presets, against botocore's models of the services and what AWS documents beside them."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from scheduler.aws.service_models import ServiceModels
from scheduler.checks.findings import Findings
from scheduler.checks.spec import AskAws, spec_of
from scheduler.sources.plain_yaml import read_yaml
from scheduler.sources.presets import Preset, expand_preset, overridden, presets
from tests.unit.sources.documented import ERRORS, STATUSES
from tests.unit.sources.status_values import entry_of, operation_of, status_values

MODELS = ServiceModels()
LISTS = ("in_progress", "completed", "failed")
EACH = pytest.mark.parametrize("preset", presets().values(), ids=presets())
PARTIAL = re.compile(r"PARTIAL|WITH.?ERROR|tables in error", re.IGNORECASE)
TURNED = re.compile(r"`(completed: \[[^]]+\])`")
TABLE = Path(__file__).parents[3] / "docs/presets.md"


def listed(entry: dict[str, Any]) -> Counter[str]:
    return Counter(status for key in LISTS for status in entry[key])


def test_the_well_known_job_systems_have_presets() -> None:
    asked = {(spec.service, spec.operation) for spec in (asks(each) for each in presets().values())}

    assert asked >= {
        ("glue", "GetJobRun"),
        ("glue", "GetCrawler"),
        ("athena", "GetQueryExecution"),
        ("emr", "DescribeStep"),
        ("emr-serverless", "GetJobRun"),
        ("emr-containers", "DescribeJobRun"),
        ("batch", "DescribeJobs"),
        ("ecs", "DescribeTasks"),
        ("sagemaker", "DescribeTrainingJob"),
        ("sagemaker", "DescribeProcessingJob"),
        ("sagemaker", "DescribeTransformJob"),
        ("sagemaker", "DescribeHyperParameterTuningJob"),
        ("sagemaker", "DescribePipelineExecution"),
        ("bedrock", "GetModelInvocationJob"),
        ("bedrock", "GetModelCustomizationJob"),
        ("bedrock-runtime", "GetAsyncInvoke"),
        ("bedrock-data-automation-runtime", "GetDataAutomationStatus"),
        ("textract", "GetDocumentAnalysis"),
        ("textract", "GetDocumentTextDetection"),
        ("rekognition", "GetLabelDetection"),
        ("transcribe", "GetTranscriptionJob"),
        ("translate", "DescribeTextTranslationJob"),
        ("comprehend", "DescribeEntitiesDetectionJob"),
        ("mediaconvert", "GetJob"),
        ("datasync", "DescribeTaskExecution"),
        ("dms", "DescribeReplicationTasks"),
        ("redshift-data", "DescribeStatement"),
        ("codebuild", "BatchGetBuilds"),
        ("codepipeline", "GetPipelineExecution"),
        ("stepfunctions", "DescribeExecution"),
        ("ssm", "GetCommandInvocation"),
        ("backup", "DescribeBackupJob"),
        ("rds", "DescribeDBSnapshots"),
        ("rds", "DescribeExportTasks"),
        ("dynamodb", "DescribeExport"),
        ("cloudformation", "DescribeStacks"),
        ("logs", "GetQueryResults"),
        ("quicksight", "DescribeIngestion"),
        ("s3control", "DescribeJob"),
        ("iot", "DescribeJob"),
        ("databrew", "DescribeJobRun"),
    }


def asks(preset: Preset) -> AskAws:
    ask = spec_of(preset.name, entry_of(preset)).ask
    assert isinstance(ask, AskAws)
    return ask


@EACH
def test_the_model_knows_all_that_a_preset_names(preset: Preset) -> None:
    found = MODELS.check(entry_of(preset))

    assert (found.faults, found.warnings) == ([], [])


@EACH
def test_each_status_that_there_can_be_is_in_exactly_one_list(preset: Preset) -> None:
    entry = entry_of(preset)
    values, is_open = status_values(entry)

    assert is_open == (preset.name in STATUSES)
    assert listed(entry) == Counter(values | STATUSES.get(preset.name, set()))


@EACH
def test_a_preset_says_what_the_job_is_and_asks_for_it(preset: Preset) -> None:
    entry = entry_of(preset)

    assert preset.about
    assert preset.job_id
    assert "{jobId}" in str(entry["aws"]["parameters"])
    assert "{with." not in str(entry)
    assert entry["completed"]
    assert entry["failed"]


@EACH
def test_a_preset_asks_at_an_interval_of_its_own_and_leaves_the_account_to_its_user(preset: Preset) -> None:
    entry = entry_of(preset)

    assert 5 <= entry["interval_seconds"] <= 60
    assert not entry["aws"].keys() & {"region", "role_arn"}


@EACH
def test_unknown_errors_are_the_operations_own_or_documented(preset: Preset) -> None:
    entry = entry_of(preset)
    own = {getattr(error, "error_code", error.name) for error in operation_of(entry).error_shapes}
    documented = {code for service, code in ERRORS if service == entry["aws"]["service"]}

    assert set(entry.get("unknown_errors", ())) <= own | documented
    # Who asks in batches sees that a job is unknown where the reply has no item of it.
    assert entry.get("unknown_errors") or "batch" in entry["aws"]


@EACH
def test_a_partial_success_is_a_failure_that_the_preset_tells_and_an_entry_turns(preset: Preset) -> None:
    entry = entry_of(preset)
    partial = {status for status in listed(entry) if PARTIAL.search(status)}

    assert not partial & set(entry["completed"])
    assert all(status in (preset.partial or "") for status in partial)
    for turning in TURNED.findall(preset.partial or ""):
        turned = overridden(entry, read_yaml(turning))
        assert turned["completed"] != entry["completed"]
        assert not set(turned["completed"]) & set(turned["failed"])
        assert listed(turned) == listed(entry)


def test_operations_that_take_many_ids_are_asked_in_batches() -> None:
    batches = {name: batch for name, each in presets().items() if (batch := asks(each).batch)}

    assert {name: (batch.items, batch.id, batch.most) for name, batch in batches.items()} == {
        "batch-job": ("jobs", "[jobId, jobArn]", 100),
        "codebuild-build": ("builds", "[id, arn]", 100),
        "codebuild-build-batch": ("buildBatches", "[id, arn]", 100),
        "ecs-task": ("tasks", "taskArn", 100),
    }


def test_the_examples_of_the_documentation_name_presets_and_what_they_need() -> None:
    example = TABLE.read_text("utf-8").split("```yaml\n")[1].split("```")[0]

    for entry in read_yaml(example).values():
        found = Findings()
        expand_preset(entry["preset"], entry.get("with", {}), found)
        assert found.faults == []


def test_the_table_of_the_documentation_is_what_the_presets_say() -> None:
    rows = [line for line in TABLE.read_text("utf-8").splitlines() if line.startswith("| `")]

    assert rows == [row_of(each) for each in presets().values()]


def row_of(preset: Preset) -> str:
    given = "; ".join(
        f"`{name}`{'' if each.needed else ' (optional)'}: {each.about}" for name, each in preset.parameters.items()
    )
    return f"| `{preset.name}` | {preset.about} | {preset.job_id} | {given} | {preset.partial or ''} |"
