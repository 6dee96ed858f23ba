"""Jobs behind an HTTP API and of AWS's services, waited for by the real daemon: a file of sources, and no Lambda."""

import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract import test_aws_sources_on_moto as on_moto
from tests.e2e.cloud import Cloud, until
from tests.e2e.job_systems import ROLE, SECRET, SMALL, TEN_LINES, Sources
from tests.http_jobs.auth import needs
from tests.http_jobs.server import HttpJobs
from tests.moto_server import Moto

ELSEWHERE = "E2E_ENDPOINT_URL" in os.environ
MORE = {
    "batch": {"preset": "batch-job", "interval_seconds": 1},
    "builds": {"preset": "codebuild-build", "interval_seconds": 1},
    "snapshots": {
        "waiter": {
            "service": "rds", "name": "DBSnapshotAvailable", "parameters": {"DBSnapshotIdentifier": "{jobId}"},
        },
        "interval_seconds": 1,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def bare(endpoint: str) -> Cloud:
    """The workflow that needs no function, a smaller one, and nothing else."""
    cloud = Cloud(endpoint, prefix=f"e2e-{uuid.uuid4().hex[:8]}")
    del cloud.environment["SCHEDULER_SOURCE_FUNCTION"]  # nobody named a function, and there is none
    cloud.succeed("deploy", "--workflow", "without-lambda")
    cloud.states.create_state_machine(
        name=f"{cloud.state_machine}-small",
        definition=json.dumps(SMALL).replace("TOKENS", cloud.token_table),
        roleArn=ROLE,
    )
    return cloud


@pytest.fixture
def sources(bare: Cloud, moto: Moto, tmp_path: Path) -> Iterator[Sources]:
    bare.clear()
    with HttpJobs.running() as http:
        http.gate = needs("Authorization", f"Bearer {SECRET}")
        yield Sources(bare, http, moto, tmp_path)
    bare.clear()


def test_in_ten_lines_a_job_of_an_http_api_and_one_of_glue_are_waited_for_and_answered_with_no_lambda(
    sources: Sources,
) -> None:
    assert len(TEN_LINES.splitlines()) == 10
    report, run = sources.job(3), sources.etl_run()
    waiting = [sources.waits(report, "reports", "without-lambda"), sources.waits(run, "nightly-etl", "without-lambda")]
    with sources.daemon() as daemon:
        done = [sources.cloud.outcome(each) for each in waiting]
        assert daemon.readiness()[1]["status"] == "ready"
        assert [line for line in daemon.lines() if line["level"] != "info"] == []
    assert [each["status"] for each in done] == ["SUCCESS", "SUCCESS"]
    of_http, of_glue = [each["result"] for each in done]
    assert (of_http["jobId"], of_http["attempts"]) == (report, 3)
    assert of_http["result"] == {"output": f"s3://reports/{report}.csv"}
    assert of_glue["jobId"] == of_glue["result"]["JobRunId"] == run
    assert of_glue["attempts"] > 1
    names = [each["FunctionName"] for each in sources.cloud.functions.list_functions()["Functions"]]
    assert [name for name in names if name.startswith(sources.cloud.state_machine.removesuffix("-workflow"))] == []


def test_a_row_of_four_attributes_is_enough(sources: Sources) -> None:
    execution = sources.waits("report-1", "reports")
    (row,) = sources.cloud.rows()
    assert row.keys() == {"jobId", "taskToken", "status", "source"}
    sources.http.polls["report-1"] = 2
    with sources.daemon():
        answer = sources.cloud.outcome(execution)
    assert (answer["attempts"], answer["result"]) == (2, {"output": "s3://reports/report-1.csv"})


def test_a_job_that_its_source_does_not_know_is_asked_for_three_times(sources: Sources) -> None:
    execution = sources.waits("nobody", "reports")
    with sources.daemon():
        error, _ = sources.failure(execution)
    assert error == "JobUnknown"
    assert [each.target for each in sources.http.seen if each.method == "GET"] == ["/jobs/nobody"] * 3


def test_a_source_that_nobody_knows_is_told_once_and_the_daemon_stays_ready(sources: Sources) -> None:
    sources.waits("lost-1", "nowhere")
    sources.waits("lost-2", "nowhere")
    with sources.daemon() as daemon:
        assert sources.cloud.outcome(sources.waits(sources.job(1), "reports"))["status"] == "COMPLETED"
        ticks = len(daemon.events("tick.finished"))
        until(lambda: len(daemon.events("tick.finished")) > ticks + 3)
        (told,) = daemon.events("source.unknown")
        assert told["job_id"] in {"lost-1", "lost-2"}
        assert "nowhere" in told["error"]
        assert daemon.readiness()[0] == 200
    left = [sources.rows()[job_id] for job_id in ("lost-1", "lost-2")]
    assert [row.keys() for row in left] == [{"jobId", "taskToken", "status", "source"}] * 2


def test_jobs_of_presets_that_ask_in_batches_and_of_a_waiter_are_waited_for(sources: Sources) -> None:
    batch, build = on_moto._batch(sources.moto), on_moto._codebuild(sources.moto)
    jobs = {batch.job_id: "batch", build.job_id: "builds", sources.snapshot(): "snapshots"}
    executions = [sources.waits(job_id, source) for job_id, source in jobs.items()]
    with sources.daemon(SCHEDULER_SOURCES=json.dumps(MORE)):
        answers = [sources.cloud.outcome(execution) for execution in executions]
    assert [answer["jobId"] for answer in answers] == list(jobs)
    assert [answer["status"] for answer in answers] == ["COMPLETED"] * 3
    assert answers[0]["result"].keys() >= {"startedAt", "stoppedAt"}
    assert answers[1]["result"]["arn"]
    assert answers[2]["result"]["DBSnapshots"][0]["Status"] == "available"


def test_a_tick_and_a_poll_ask_the_sources_of_the_file(sources: Sources) -> None:
    report, run = sources.job(2), sources.etl_run()
    executions = [sources.waits(report, "reports"), sources.waits(run, "nightly-etl")]
    ticked = sources.run("tick", "--json")
    told = json.loads(ticked.stdout)
    assert (ticked.returncode, told["due"], told["polled"], told["errors"]) == (0, 2, 2, 0)
    polled = sources.run("poll", report, "--json")
    assert (polled.returncode, json.loads(polled.stdout)) == (0, {"status": "COMPLETED", "reconnected": True})
    assert sources.cloud.outcome(executions[0])["attempts"] == 2
    polled = sources.run("poll", run)
    assert (polled.returncode, polled.stdout.split("  ")[0]) == (0, "status=IN_PROGRESS")


def test_check_misses_no_function_where_nobody_named_one(sources: Sources) -> None:
    workflow = f"{sources.cloud.state_machine}-without-lambda"
    done = sources.run("check", "--json", SCHEDULER_STATE_MACHINE=workflow)
    told = {each["what"]: each for each in json.loads(done.stdout)}
    assert [each for each in told.values() if not each["ok"]] == []
    assert told.keys() >= {"source reports", "source nightly-etl", f"table {sources.cloud.token_table}"}
    function = told["function poc-simulated-api"]["detail"]
    assert function in {"reachable", "not reachable; only rows that name no source need it"}
    named = sources.run("check", SCHEDULER_STATE_MACHINE=workflow, SCHEDULER_SOURCE_FUNCTION="mine")
    assert (named.returncode, "FAILED  function mine" in named.stdout) == (1, True)


def test_a_source_is_tried_without_a_row(sources: Sources) -> None:
    def tried(source: str, job_id: str, **settings: str) -> tuple[int, dict[str, Any]]:
        done = sources.run("sources", "test", source, job_id, "--json", **settings)
        return done.returncode, json.loads(done.stdout)

    run = sources.etl_run()
    code, told = tried("nightly-etl", run)
    assert (code, told["report"], told["rule"]) == (0, "InProgress", "STARTING is in in_progress")
    assert told["request"]["parameters"] == {"JobName": sources.etl, "RunId": run}
    assert told["answer"] == {"action": "none", "why": "the job goes on"}
    # As its paths see it, and as a poll would tell it.
    assert told["reply"]["JobRun"]["StartedOn"].endswith("Z")
    code, told = tried("snapshots", sources.snapshot(), SCHEDULER_SOURCES=json.dumps(MORE))
    assert (code, told["report"], told["answer"]["action"]) == (0, "Completed", "SendTaskSuccess")
    assert told["rule"] == "each of DBSnapshots[].Status is available"
    code, told = tried("reports", sources.job(1))
    assert (code, told["report"], told["request"]["auth"]) == (0, "Completed", "bearer")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["answer"]["output"]["completedAt"])
    code, told = tried("reports", "nobody")
    assert (code, told["report"]) == (1, "Unanswered")


@pytest.mark.skipif(ELSEWHERE, reason="a function in a container reaches no local service")
def test_in_lambda_mode_the_poller_asks_the_sources_of_aws_too(sources: Sources) -> None:
    entry = {"preset": "glue-job-run", "with": {"JobName": sources.etl}, "interval_seconds": 1}
    settings = {"SCHEDULER_MODE": "lambda", "SCHEDULER_SOURCES": json.dumps({"nightly-etl": entry})}
    for kind in ("POLLER", "CREATE_JOB", "SIMULATED_API"):
        settings[f"SCHEDULER_{kind}_FUNCTION"] = f"{sources.etl}-{kind}"
    assert sources.run("deploy", **settings).returncode == 0
    functions, poller = sources.cloud.functions, settings["SCHEDULER_POLLER_FUNCTION"]
    variables = functions.get_function_configuration(FunctionName=poller)["Environment"]["Variables"]
    led = variables | sources.moto.environment("glue")
    functions.update_function_configuration(FunctionName=poller, Environment={"Variables": led})
    run = sources.etl_run()
    execution = sources.waits(run, "nightly-etl")
    with sources.daemon(**settings):
        answer = sources.cloud.outcome(execution)
    assert (answer["status"], answer["result"]["JobRunId"]) == ("COMPLETED", run)
