import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from statelint.linter import Linter

from create_job import UnavailableError

PATH = Path(__file__).parents[2] / "state-machine" / "definition.json"
TERMINAL = ("SuccessState", "TimeoutState", "FailedState")


@pytest.fixture(scope="module")
def definition() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return loaded


def texts(value: Any) -> Iterator[str]:
    """Give every string within a JSON value, values only."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def test_the_definition_is_valid_amazon_states_language() -> None:
    assert Linter.validate(str(PATH)) == []


def test_the_linter_would_find_a_fault(definition: dict[str, Any]) -> None:
    assert Linter.validate(definition | {"StartAt": "Nowhere"}) != []


def test_the_defaults_are_those_that_the_design_names(definition: dict[str, Any]) -> None:
    defaults = definition["States"][definition["StartAt"]]["Result"]

    assert defaults["record"] == {"id": "test-001", "data": {}}
    assert defaults["pollingConfig"] == {
        "intervalMinutes": 1,
        "maxAttempts": 10,
        "timeoutMinutes": 15,
        "heartbeat": False,
    }


def test_passes_lead_to_the_one_task_and_from_there_to_three_ends(definition: dict[str, Any]) -> None:
    states = definition["States"]
    tasks = [name for name, state in states.items() if state["Type"] != "Pass"]
    ends = [name for name, state in states.items() if state.get("End")]
    name, walked = definition["StartAt"], []
    while name != "CreateJobAndWait":
        walked.append(name)
        name = states[name]["Next"]

    assert tasks == ["CreateJobAndWait"]
    assert sorted(ends) == sorted(TERMINAL)
    assert sorted([*walked, *tasks, *ends]) == sorted(states)


def test_the_task_waits_for_its_token_and_sends_what_the_function_takes(definition: dict[str, Any]) -> None:
    task = definition["States"]["CreateJobAndWait"]

    assert task["Resource"] == "arn:aws:states:::lambda:invoke.waitForTaskToken"
    assert task["TimeoutSecondsPath"] == "$.timeoutSeconds"
    assert task["Parameters"]["FunctionName"] == "poc-create-job"
    assert {name.removesuffix(".$") for name in task["Parameters"]["Payload"]} == {
        "taskToken",
        "executionId",
        "record",
        "pollingConfig",
        "timeoutSeconds",
        "entry",
    }


def test_the_entry_is_what_stays_the_same_when_the_state_is_tried_again_and_the_count_of_the_tries(
    definition: dict[str, Any],
) -> None:
    payload = definition["States"]["CreateJobAndWait"]["Parameters"]["Payload"]

    assert payload["executionId.$"] == "$$.Execution.Id"
    assert payload["entry"] == {
        "state.$": "$$.State.Name",
        "time.$": "$$.State.EnteredTime",
        "retryCount.$": "$$.State.RetryCount",
    }


@pytest.mark.parametrize(
    ("error", "end"),
    [
        ("States.Timeout", "TimeoutState"),
        ("States.HeartbeatTimeout", "TimeoutState"),
        ("PollingExpired", "TimeoutState"),
        ("States.DataLimitExceeded", "FailedState"),
        ("States.ALL", "FailedState"),
    ],
)
def test_every_error_has_its_end(definition: dict[str, Any], error: str, end: str) -> None:
    task = definition["States"]["CreateJobAndWait"]
    ends = {name: catcher["Next"] for catcher in task["Catch"] for name in catcher["ErrorEquals"]}

    assert ends[error] == end
    assert task["Catch"][-1]["ErrorEquals"] == ["States.ALL"], "AWS wants States.ALL alone and last"


def test_a_caught_error_keeps_the_input_beside_it(definition: dict[str, Any]) -> None:
    catchers = definition["States"]["CreateJobAndWait"]["Catch"]

    assert {catcher["ResultPath"] for catcher in catchers} == {"$.failure"}


def test_what_passes_by_itself_is_tried_again_and_nothing_that_the_job_or_its_input_is_to_blame_for(
    definition: dict[str, Any],
) -> None:
    (retrier,) = definition["States"]["CreateJobAndWait"]["Retry"]

    assert set(retrier["ErrorEquals"]) == {
        # The Lambda service's own, as AWS's best practices list them.
        "Lambda.ClientExecutionTimeoutException",
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.TooManyRequestsException",
        # What the function raises: Lambda names an error by its class.
        UnavailableError.__name__,
        # The SDK's own classes, as a creator that translates nothing raises them.
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TooManyRequestsException",
        "InternalServerError",
    }


def test_it_is_tried_again_later_and_later_each_time_at_another_moment(definition: dict[str, Any]) -> None:
    (retrier,) = definition["States"]["CreateJobAndWait"]["Retry"]

    assert {name: value for name, value in retrier.items() if name != "ErrorEquals"} == {
        "IntervalSeconds": 2,
        "BackoffRate": 2.0,
        "MaxAttempts": 6,
        "MaxDelaySeconds": 30,
        "JitterStrategy": "FULL",
    }


def test_the_ends_say_how_it_ended(definition: dict[str, Any]) -> None:
    outputs = {name: definition["States"][name]["Parameters"] for name in TERMINAL}

    assert [output["status"] for output in outputs.values()] == ["SUCCESS", "TIMEOUT", "FAILED"]
    assert outputs["SuccessState"]["result.$"] == "$.result"
    for name in ("TimeoutState", "FailedState"):
        assert (outputs[name]["error.$"], outputs[name]["cause.$"]) == ("$.failure.Error", "$.failure.Cause")


def test_the_computed_time_out_is_a_minute_behind_the_jobs_own(definition: dict[str, Any]) -> None:
    expression = definition["States"]["ComputeTimeout"]["Parameters"]["timeoutSeconds.$"]
    given = expression.count("$.merged.pollingConfig.timeoutMinutes")
    (added,) = re.findall(r"MathAdd\((\d+),", expression)

    assert "States.Format('{}0'" in expression
    assert [10 * (given * minutes + int(added)) for minutes in (1, 15)] == [120, 960]


def test_no_field_nests_more_intrinsic_functions_than_aws_allows(definition: dict[str, Any]) -> None:
    most = max(len(re.findall(r"States\.\w+\(", text)) for text in texts(definition))

    assert 1 < most <= 10


def test_every_state_keeps_to_jsonpath(definition: dict[str, Any]) -> None:
    assert "QueryLanguage" not in definition
    assert all("QueryLanguage" not in state for state in definition["States"].values())


def test_every_state_says_why_it_is_there(definition: dict[str, Any]) -> None:
    assert [name for name, state in definition["States"].items() if not state.get("Comment")] == []
