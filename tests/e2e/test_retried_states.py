"""A waiting state that Step Functions tries again, by the state machine's own Retry."""

import os
from pathlib import Path

import pytest

from tests.e2e.cloud import Cloud, until

pytestmark = pytest.mark.skipif(
    "E2E_ENDPOINT_URL" in os.environ, reason="LocalStack fails the second attempt of a waiting state at once"
)


async def test_a_state_that_is_tried_again_keeps_its_job_and_comes_to_its_end(cloud: Cloud, tmp_path: Path) -> None:
    given = {"record": {"id": "r-1", "data": {"completionPolls": 2}}, "pollingConfig": {"intervalSeconds": 1}}
    (arn,) = cloud.start(given)
    (first,) = cloud.rows()
    key, _, retry = first["entry"].partition("#")
    assert (len(key), retry) == (32, "0")

    cloud.states.send_task_failure(taskToken=first["taskToken"], error="UnavailableError", cause="as the test has it")
    until(lambda: cloud.rows()[0]["entry"] == f"{key}#1")

    (again,) = cloud.rows()
    assert (again["jobId"], again["status"], again["version"]) == (first["jobId"], "POLLING", 1)
    assert again["nextPollAt"] > first["nextPollAt"]
    with cloud.daemon(tmp_path / "log"):
        assert cloud.outcome(arn)["status"] == "SUCCESS"
    assert len(cloud.jobs()) == 1
    history = cloud.states.get_execution_history(executionArn=arn)["events"]
    entered = [event for event in history if event["type"] == "TaskStateEntered"]
    assert (len(entered), len([event for event in history if event["type"] == "TaskScheduled"])) == (1, 2)


async def test_two_executions_with_the_same_input_have_a_job_each(cloud: Cloud) -> None:
    given = {"record": {"id": "r-1"}}
    cloud.start(given, given)
    assert len(cloud.rows()) == len(cloud.jobs()) == 2
    assert len({row["entry"] for row in cloud.rows()}) == 2
