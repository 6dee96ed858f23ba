"""The definition of the workflow that needs no function."""

import json
from pathlib import Path
from typing import Any

import pytest
from statelint.linter import Linter

from scheduler.core.states import EndState

PATH = Path(__file__).parents[2] / "state-machine" / "without-lambda.json"
ENTRY = "$$.Execution.Id, $$.State.Name, $$.State.EnteredTime"


@pytest.fixture(scope="module")
def states() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))["States"]
    return loaded


def test_the_definition_is_valid_amazon_states_language() -> None:
    assert Linter.validate(str(PATH)) == []


def test_no_state_calls_a_function_and_every_state_keeps_to_jsonpath(states: dict[str, Any]) -> None:
    resources = {name: state["Resource"] for name, state in states.items() if state["Type"] == "Task"}
    assert resources == {
        "StartJob": "arn:aws:states:::aws-sdk:dynamodb:putItem",
        "WaitForJob": "arn:aws:states:::aws-sdk:dynamodb:putItem.waitForTaskToken",
    }
    assert "lambda" not in json.dumps(states).lower()
    assert "QueryLanguage" not in json.dumps(states)


def test_the_row_has_what_a_row_must_have_and_says_whose_it_is_and_until_when(states: dict[str, Any]) -> None:
    item = states["WaitForJob"]["Parameters"]["Item"]
    assert item["taskToken"] == {"S.$": "$$.Task.Token"}
    assert item["status"] == {"S": "POLLING"}
    assert item["jobId"] == {"S.$": "$.started.jobId"}
    assert set(item) == {
        *("jobId", "taskToken", "status", "executionId", "createdAt", "timeoutSeconds", "source", "entry"),
    }


def test_a_row_that_is_over_may_be_replaced_and_one_that_is_set_aside_may_not(states: dict[str, Any]) -> None:
    parameters = states["WaitForJob"]["Parameters"]
    values = [value["S"] for value in parameters["ExpressionAttributeValues"].values() if "S" in value]
    assert set(values) == {*EndState} - {EndState.QUARANTINED}


def test_the_entry_says_the_same_of_each_try_but_its_count(states: dict[str, Any]) -> None:
    parameters = states["WaitForJob"]["Parameters"]
    values = parameters["ExpressionAttributeValues"]
    this = {"S.$": f"States.Format('{{}}/{{}}/{{}}#{{}}', {ENTRY}, $$.State.RetryCount)"}
    assert parameters["Item"]["entry"] == values[":this"] == this
    assert values[":first"] == {"S.$": f"States.Format('{{}}/{{}}/{{}}#0', {ENTRY})"}


def test_the_tries_are_few_enough_to_be_compared_as_texts(states: dict[str, Any]) -> None:
    assert sum(retrier["MaxAttempts"] for retrier in states["WaitForJob"]["Retry"]) <= 9


def test_a_row_that_is_another_tasks_is_not_tried_again(states: dict[str, Any]) -> None:
    retried = {name for retrier in states["WaitForJob"]["Retry"] for name in retrier["ErrorEquals"]}
    assert not retried & {"States.ALL", "States.TaskFailed", "DynamoDb.ConditionalCheckFailedException"}


@pytest.mark.parametrize(
    ("error", "end"),
    [
        ("States.Timeout", "TimeoutState"),
        ("States.HeartbeatTimeout", "TimeoutState"),
        ("PollingExpired", "TimeoutState"),
        ("States.DataLimitExceeded", "FailedState"),
        ("States.ALL", "WhyItFailed"),
    ],
)
def test_every_error_of_the_wait_has_its_end(states: dict[str, Any], error: str, end: str) -> None:
    ends = {name: catcher["Next"] for catcher in states["WaitForJob"]["Catch"] for name in catcher["ErrorEquals"]}
    assert ends[error] == end
    assert states["WaitForJob"]["Catch"][-1]["ErrorEquals"] == ["States.ALL"], "AWS wants States.ALL alone and last"


def test_a_row_of_another_task_is_told_from_other_failures_where_every_cloud_can_tell_it(
    states: dict[str, Any],
) -> None:
    (choice,) = states["WhyItFailed"]["Choices"]
    assert (choice["Variable"], choice["StringEquals"], choice["Next"]) == (
        "$.failure.Error",
        "DynamoDb.ConditionalCheckFailedException",
        "AwaitedState",
    )
    assert states["WhyItFailed"]["Default"] == "FailedState"


def test_the_states_own_time_out_is_a_minute_behind_the_rows(states: dict[str, Any]) -> None:
    assert states["WaitForJob"]["TimeoutSecondsPath"] == "$.backstopSeconds"
    settled = states["MergeInput"]["Parameters"]
    assert settled["backstopSeconds.$"] == "States.MathAdd($.settled.timeoutSeconds, 60)"
    assert settled["timeoutSeconds.$"] == "$.settled.timeoutSeconds"


def test_every_state_says_why_it_is_there(states: dict[str, Any]) -> None:
    assert [name for name, state in states.items() if not state.get("Comment")] == []
