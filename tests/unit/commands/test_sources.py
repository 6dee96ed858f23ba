"""The commands that look at sources: what they print, and how they end."""

import json
import subprocess
import sys

import pytest

from scheduler.asking import answer_of, is_clear
from scheduler.core.check_replies import Completed, Failed, InProgress, Report, Unanswered, Unasked
from scheduler.core.instant import parse_iso

AT = "callback-scheduler: SCHEDULER_SOURCES:"
FIT = "parameters, paths, status and lists fit botocore's model"
SOURCES = {
    "nightly": {"preset": "glue-job-run", "with": {"JobName": "nightly"}},
    "queries": {
        "aws": {"service": "athena", "operation": "GetQueryExecution", "parameters": {"QueryExecutionId": "{jobId}"}},
        "status": "QueryExecution.Status.State",
        "completed": ["SUCCEEDED"],
        "failed": ["FAILED", "CANCELLED"],
    },
    "function": {"lambda": {"function": "check-status"}},
}


def run(*arguments: str, sources: object = SOURCES) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": "/usr/bin:/bin", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    if sources is not None:
        environment["SCHEDULER_SOURCES"] = json.dumps(sources)
    command = [sys.executable, "-m", "scheduler", "sources", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_sources_are_listed_with_what_the_models_said() -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"nightly  preset glue-job-run  glue GetJobRun: {FIT}",
        f"queries  aws athena GetQueryExecution  athena GetQueryExecution: {FIT}",
        "  warning: status: in none of the lists, and so never an end: QUEUED, RUNNING",
        "function  lambda check-status  nothing to check but the names",
    ]
    assert [entry["name"] for entry in json.loads(run("--json").stdout)] == list(SOURCES)


def test_a_fault_ends_with_2_and_a_line_for_each() -> None:
    done = run(sources={"a": {"lambda": {}}, "b": 7})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"{AT} a: lambda.function: it is missing: the name or ARN of a Lambda function",
        f"{AT} b: it takes a mapping",
    ]


def test_without_a_file_that_is_said() -> None:
    done = run(sources=None)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "callback-scheduler: SCHEDULER_SOURCES is not set:"
        " it takes the path of a YAML file, or JSON that begins with {\n"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["test", "nightli", "job-1"], "did you mean 'nightly'?"),
        (["test", "nightly", "job-1", "--input", "[]"], "it is not a JSON object"),
        (["test", "nightly", "job-1", "--input", "{"], "it is not JSON"),
        (["show", "glue"], "there is no preset 'glue'; `callback-scheduler sources presets` lists them"),
    ],
)
def test_bad_usage_ends_with_2(arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_a_source_that_cannot_be_asked_ends_with_1_and_says_what_would_be_answered() -> None:
    done = run("test", "function", "job-1", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["request"] == {"function": "check-status", "payload": {"action": "CHECK_STATUS", "jobId": "job-1"}}
    assert (told["rule"], told["report"], told["answer"]["action"]) == ("none", "Unasked", "none")
    assert done.stderr == "callback-scheduler: source function did not say how job job-1 stands\n"


def test_presets_are_listed_and_shown_without_a_file() -> None:
    assert "glue-job-run" in run("presets", sources=None).stdout
    assert any(each["name"] == "glue-job-run" for each in json.loads(run("presets", "--json", sources=None).stdout))
    shown = run("show", "glue-job-run", sources=None).stdout.splitlines()
    assert shown[:3] == [
        "glue-job-run: A run of a Glue job",
        "jobId: the run's id, JobRunId of StartJobRun",
        "with JobName: the job's name (needed)",
    ]


@pytest.mark.parametrize("arguments", [[], ["test"], ["presets"], ["show"]])
def test_each_help_has_an_example(arguments: list[str]) -> None:
    assert "Example: " in run(*arguments, "--help", sources=None).stdout


NOW = parse_iso("2026-01-31T00:00:00Z")


@pytest.mark.parametrize(
    ("report", "action", "clear"),
    [
        (InProgress(), "none", True),
        (Completed({"rows": 3}), "SendTaskSuccess", True),
        (Completed("x" * 300_000), "SendTaskFailure", True),
        (Failed("no disk"), "SendTaskFailure", True),
        (Unanswered("HTTP 500"), "none", False),
        (Unasked("denied", None), "none", False),
    ],
)
def test_what_would_be_answered(report: Report, action: str, clear: bool) -> None:  # noqa: FBT001  it is an expectation
    assert answer_of(report, "job-1", NOW)["action"] == action
    assert is_clear(report) is clear


def test_the_answer_is_the_one_that_a_first_check_gives() -> None:
    assert answer_of(Completed({"rows": 3}), "job-1", NOW)["output"] == {
        "jobId": "job-1",
        "status": "COMPLETED",
        "completedAt": "2026-01-31T00:00:00.000Z",
        "attempts": 1,
        "result": {"rows": 3},
    }
    assert answer_of(Failed("no disk"), "job-1", NOW) == {
        "action": "SendTaskFailure",
        "error": "JobFailed",
        "cause": "no disk",
    }
    assert answer_of(Unanswered("gone", unknown_job=True), "job-1", NOW)["why"] == (
        "an attempt is spent; three such replies in a row end the job: gone"
    )
