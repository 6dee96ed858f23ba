"""The workflow that needs no function: it starts its job and puts its token row itself."""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from scheduler.core.attributes import from_item
from scheduler.job_service import job_service, source
from tests.e2e.cloud import Cloud, until

ELSEWHERE = "E2E_ENDPOINT_URL" in os.environ


@pytest.fixture
def workflow(cloud: Cloud) -> Cloud:
    cloud.succeed("deploy", "--workflow", "without-lambda")
    return cloud


def started(cloud: Cloud, given: dict[str, Any]) -> str:
    arn = f"arn:aws:states:us-east-1:000000000000:stateMachine:{cloud.state_machine}-without-lambda"
    execution: str = cloud.states.start_execution(stateMachineArn=arn, input=json.dumps(given))["executionArn"]
    return execution


def row_of(cloud: Cloud, execution: str) -> dict[str, Any]:
    def found() -> Any:
        return [row for row in cloud.rows() if row["executionId"] == execution]

    (row,) = until(found)
    return dict(row)


def test_an_execution_without_an_input_orders_its_job_and_waits_in_a_row_of_its_own(workflow: Cloud) -> None:
    execution = started(workflow, {})
    row = row_of(workflow, execution)
    name = execution.rpartition(":")[2]
    entry = f"{execution}/WaitForJob/{row['createdAt']}#0"
    assert {key: value for key, value in row.items() if key not in {"taskToken", "createdAt"}} == {
        "jobId": name,
        "status": "POLLING",
        "executionId": execution,
        "timeoutSeconds": 900,
        "source": {"name": "reports", "input": {"record": "test-001"}},
        "entry": entry,
    }
    ((job_id, record),) = [(job["jobId"], json.loads(job["record"])) for job in workflow.jobs()]
    assert (job_id, record) == (name, {"id": "test-001"})


def test_the_answer_is_the_result_of_the_workflow(workflow: Cloud) -> None:
    execution = started(workflow, {"record": {"id": 7, "size": 3}, "source": "exports", "timeoutSeconds": 60})
    row = row_of(workflow, execution)
    assert (row["timeoutSeconds"], row["source"]) == (60, {"name": "exports", "input": {"record": "7"}})
    workflow.states.send_task_success(taskToken=row["taskToken"], output='{"jobId": "j", "status": "COMPLETED"}')
    assert workflow.outcome(execution) == {
        "status": "SUCCESS",
        "record": {"id": 7, "size": 3},
        "result": {"jobId": "j", "status": "COMPLETED"},
    }


def test_of_two_workflows_that_wait_for_one_job_the_second_is_told_so_and_the_first_goes_on_waiting(
    workflow: Cloud,
) -> None:
    first = started(workflow, {"jobId": "job-1"})
    row = row_of(workflow, first)
    second = workflow.outcome(started(workflow, {"jobId": "job-1"}))
    assert (second["status"], second["error"]) == ("FAILED", "JobAwaited")
    assert second["cause"] == "another task waits for job job-1 already, and its token is never replaced"
    assert workflow.rows() == [row]
    assert workflow.jobs() == [], "its job was started by somebody else"


def test_a_job_whose_row_is_over_is_waited_for_again(workflow: Cloud) -> None:
    workflow.put_row("job-1", status={"S": "CLOSED"}, purgeAt={"N": "1800000000"})
    execution = started(workflow, {"jobId": "job-1"})
    row = row_of(workflow, execution)
    assert row["status"] == "POLLING"
    assert "purgeAt" not in row


@pytest.mark.skipif(ELSEWHERE, reason="LocalStack fails the second attempt of a waiting state at once")
def test_a_state_that_is_tried_again_puts_its_newer_token_in_place_of_the_older(workflow: Cloud) -> None:
    execution = started(workflow, {"jobId": "job-1"})
    first = row_of(workflow, execution)
    workflow.states.send_task_failure(
        taskToken=first["taskToken"], error="DynamoDb.ThrottlingException", cause="as the test has it"
    )
    until(lambda: row_of(workflow, execution)["entry"].endswith("#1"))
    again = row_of(workflow, execution)
    assert again == first | {"entry": first["entry"][:-1] + "1", "taskToken": again["taskToken"]}


@pytest.fixture
def service(workflow: Cloud) -> Iterator[str]:
    """Run the job service that takes its orders from the table of jobs, and give its address."""

    async def order(job_id: str) -> Mapping[str, Any] | None:
        key = {"jobId": {"S": job_id}}
        item = workflow.dynamodb.get_item(TableName=workflow.jobs_table, Key=key, ConsistentRead=True).get("Item")
        return from_item(item) if item else None

    running = job_service(order)
    with asyncio.Runner() as runner, ThreadPoolExecutor(1) as thread:
        url = thread.submit(runner.run, running.__aenter__()).result()
        stopped = asyncio.Event()
        serving = thread.submit(runner.run, stopped.wait())
        try:
            yield url
        finally:
            runner.get_loop().call_soon_threadsafe(stopped.set)
            serving.result()
            thread.submit(runner.run, running.__aexit__(None, None, None)).result()


@pytest.mark.parametrize(
    "mode",
    [
        "direct",
        pytest.param(
            "lambda", marks=pytest.mark.skipif(ELSEWHERE, reason="a function in a container reaches no local service")
        ),
    ],
)
def test_a_job_of_an_http_api_is_waited_for_and_answered_with_no_function_of_its_own(
    workflow: Cloud, service: str, tmp_path: Path, mode: str
) -> None:
    settings = {"SCHEDULER_SOURCES": json.dumps({"reports": source(service, 1.0)}), "SCHEDULER_MODE": mode}
    if mode == "lambda":
        workflow.succeed("deploy", **settings)
    good = started(workflow, {"record": {"id": "r-1"}})
    bad = started(workflow, {"record": {"id": "r-2", "failWith": "no disk"}})
    unknown = started(workflow, {"jobId": "nobody-ordered-it"})
    with workflow.daemon(tmp_path / "log", **settings):
        done = workflow.outcome(good)
        assert (done["status"], done["result"]["attempts"]) == ("SUCCESS", 3)
        job_id = good.rpartition(":")[2]
        assert done["result"]["result"] == {"output": f"https://example.com/output/{job_id}"}
        failed = workflow.outcome(bad)
        assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "JobFailed", "no disk")
        assert workflow.outcome(unknown)["error"] == "JobUnknown"
    assert {row["status"] for row in workflow.rows()} == {"COMPLETED", "FAILED"}


def test_deploy_tells_a_program_what_it_did(workflow: Cloud) -> None:
    done = json.loads(workflow.succeed("deploy", "--workflow", "without-lambda", "--json"))
    assert [(each["kind"], each["action"]) for each in done] == [
        ("table", "unchanged"),
        ("table", "unchanged"),
        ("role", "unchanged"),
        ("state machine", "unchanged"),
    ]


def test_its_name_is_not_given_to_the_other_workflow(cloud: Cloud) -> None:
    done = cloud.run("deploy", SCHEDULER_STATE_MACHINE="mine-without-lambda")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "callback-scheduler: SCHEDULER_STATE_MACHINE='mine-without-lambda' is the name of the workflow without a"
        " Lambda: say --workflow without-lambda, or another name\n"
    )
