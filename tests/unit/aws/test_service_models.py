"""Sources checked against botocore's models: names, parameters, paths and statuses, without network or credentials."""

import socket
from typing import Any

import pytest
from botocore.loaders import create_loader

from scheduler.aws.service_models import ServiceModels
from scheduler.checks.findings import Findings

MODELS = ServiceModels()
STATE = "QueryExecution.Status.State"
STATES = "QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED"
ATHENA: dict[str, Any] = {
    "aws": {"service": "athena", "operation": "GetQueryExecution", "parameters": {"QueryExecutionId": "{jobId}"}},
    "status": "QueryExecution.Status.State",
    "in_progress": ["QUEUED", "RUNNING"],
    "completed": ["SUCCEEDED"],
    "failed": ["FAILED", "CANCELLED"],
}
BATCH: dict[str, Any] = {
    "aws": {
        "service": "batch",
        "operation": "DescribeJobs",
        "parameters": {"jobs": ["{jobId}"]},
        "batch": {"items": "jobs", "id": "jobId"},
    },
    "status": "status",
    "in_progress": ["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"],
    "completed": ["SUCCEEDED"],
    "failed": ["FAILED"],
}


def aws(entry: dict[str, Any] = ATHENA, **given: Any) -> dict[str, Any]:
    return entry | {"aws": entry["aws"] | given}


def faults(entry: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each.key, each.text) for each in MODELS.check(entry).faults]


def warnings(entry: dict[str, Any]) -> list[tuple[str, str]]:
    found = MODELS.check(entry)
    assert found.faults == []
    return [(each.key, each.text) for each in found.warnings]


def test_what_is_right_is_right() -> None:
    assert warnings(ATHENA) == []
    assert warnings(BATCH) == []


def test_nothing_is_asked_of_the_network_and_no_credentials_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_PROFILE", "there-is-no-such-profile")

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert ServiceModels().check(ATHENA) == Findings()


@pytest.mark.parametrize(
    ("entry", "key", "text"),
    [
        (aws(service="athna"), "aws.service", "botocore has no service 'athna'; did you mean 'athena'?"),
        (
            aws(operation="get_query_execution"),
            "aws.operation",
            "athena has no operation 'get_query_execution'; did you mean 'GetQueryExecution'?",
        ),
        (
            aws(parameters={"QueryExecutionId": "a", "Name": "b"}),
            "aws.parameters.Name",
            "there is no such parameter; allowed are QueryExecutionId",
        ),
        (aws(parameters={}), "aws.parameters.QueryExecutionId", "the operation needs it"),
        (
            aws(parameters={"QueryExecutionId": 7}),
            "aws.parameters.QueryExecutionId",
            "it takes a text; put it in quotes",
        ),
        (
            ATHENA | {"status": "QueryExecution.Status"},
            "status",
            "it finds an object, and must find one text, number or boolean",
        ),
        (
            ATHENA | {"completed": ["SUCCEDED"]},
            "completed",
            f"'SUCCEDED' is no status that {STATE} can have, but {STATES}; did you mean 'SUCCEEDED'?",
        ),
        (
            aws(BATCH, parameters={"jobs": "{jobId}"}),
            "aws.parameters.jobs",
            "it takes a list",
        ),
        (
            aws(BATCH, parameters={"jobs": ["a"]}),
            "aws.parameters",
            "a batch needs exactly one list with {jobId} in it, for the ids; there are 0",
        ),
        (
            aws(BATCH, batch={"items": "jobs[0].status", "id": "jobId"}),
            "aws.batch.items",
            "it must find a list, with an item for each job",
        ),
    ],
)
def test_a_fault_says_what_the_model_has(entry: dict[str, Any], key: str, text: str) -> None:
    assert (key, text) in faults(entry)


def test_paths_are_looked_up_in_the_output() -> None:
    found = dict(faults(ATHENA | {"status": "QueryExecution.State", "reason": "Why"}))
    assert found["status"].startswith("QueryExecution has no 'State', but QueryExecutionId, Query,")
    assert found["reason"] == "GetQueryExecutionOutput has no 'Why', but QueryExecution"


def test_in_a_batch_paths_are_looked_up_in_the_jobs_own_item() -> None:
    assert [key for key, _ in faults(BATCH | {"status": "jobs[0].status"})] == ["status"]
    assert [key for key, _ in faults(aws(BATCH, batch={"items": "jobs", "id": "jobID"}))] == ["aws.batch.id"]


def test_a_batch_holds_no_more_ids_than_the_operation_takes() -> None:
    most = {"service": "ecs", "operation": "DescribeTasks", "parameters": {"tasks": ["{jobId}"]}}
    assert faults({"aws": most | {"batch": {"items": "tasks", "id": "taskArn", "most": 100}}}) == []
    builds = {"service": "codebuild", "operation": "BatchGetBuilds", "parameters": {"ids": ["{jobId}"]}}
    assert faults({"aws": builds | {"batch": {"items": "builds", "id": "id", "most": 101}}}) == [
        ("aws.batch.most", "the operation takes at most 100 ids")
    ]


def test_a_status_in_no_list_is_named_in_a_warning() -> None:
    assert warnings({key: value for key, value in ATHENA.items() if key != "in_progress"}) == [
        ("status", "in none of the lists, and so never an end: QUEUED, RUNNING")
    ]


def test_where_it_cannot_be_decided_nothing_is_said() -> None:
    entry = ATHENA | {"status": "to_string(QueryExecution.Status.State)", "completed": ["A_NEW_ONE"]}
    assert warnings(entry) == []


def test_nested_parameters_are_checked_and_an_input_may_have_any_type() -> None:
    filters = [{"Name": "state", "Valuse": ["a"]}]
    entry = {"service": "ec2", "operation": "DescribeInstances", "parameters": {"Filters": filters, "MaxResults": "5"}}
    assert faults({"aws": entry}) == [
        (
            "aws.parameters.Filters[0].Valuse",
            "there is no such parameter; allowed are Name, Values; did you mean 'Values'?",
        ),
        ("aws.parameters.MaxResults", "it takes a whole number"),
    ]
    assert faults({"aws": entry | {"parameters": {"Filters": "{input.filters}", "MaxResults": "{input.most}"}}}) == []


def test_a_token_that_the_sdk_makes_is_not_missed() -> None:
    entry = {"service": "athena", "operation": "StartQueryExecution", "parameters": {"QueryString": "{jobId}"}}
    assert faults({"aws": entry}) == []


def acceptors(*given: tuple[str, str, str, Any]) -> dict[str, Any]:
    made = [dict(zip(("state", "matcher", "argument", "expected"), each, strict=True)) for each in given]
    return {"aws": ATHENA["aws"], "acceptors": made}


def test_what_no_acceptor_names_is_a_warning() -> None:
    given = acceptors(("success", "path", STATE, "SUCCEEDED"), ("failure", "path", STATE, "FAILED"))
    assert warnings(given) == [
        ("acceptors", f"of {STATE} none names, and so they are taken for in progress: QUEUED, RUNNING, CANCELLED")
    ]


def test_acceptors_are_held_to_the_output() -> None:
    given = acceptors(("success", "path", STATE, "Succeeded"), ("retry", "pathAll", STATE, "QUEUED"))
    assert faults(given) == [
        (
            "acceptors[0].expected",
            f"{STATE} is never 'Succeeded', but {STATES}; did you mean 'SUCCEEDED'?",
        ),
        ("acceptors[1].argument", "pathAll needs a path that finds a list"),
    ]


def waiter(service: str, name: str, **parameters: Any) -> tuple[dict[str, Any] | None, Findings]:
    found = Findings()
    return MODELS.waiter({"service": service, "name": name, "parameters": parameters}, found), found


def test_a_waiter_of_botocores_is_an_entry() -> None:
    entry, _ = waiter("ecs", "TasksStopped", tasks=["{jobId}"])
    assert entry == {
        "aws": {"service": "ecs", "operation": "DescribeTasks", "parameters": {"tasks": ["{jobId}"]}},
        "acceptors": [
            {"state": "success", "matcher": "pathAll", "expected": "STOPPED", "argument": "tasks[].lastStatus"}
        ],
        "interval_seconds": 6,
        "max_attempts": 100,
    }


def test_a_waiter_that_there_is_not_is_told_with_those_that_there_are() -> None:
    known = "ServicesInactive, ServicesStable, TasksRunning, TasksStopped"
    _, found = waiter("ecs", "TaskStopped")
    assert [(each.key, each.text) for each in found.faults] == [
        (
            "waiter.name",
            f"botocore has no such waiter of ecs, but {known}; did you mean 'TasksStopped'?",
        )
    ]
    assert waiter("athena", "X")[1].faults[0].text == "botocore has no such waiter of athena, but none"
    assert waiter("esc", "X")[1].faults[0].key == "waiter.service"


def test_every_waiter_of_botocores_can_be_read() -> None:
    """Of some 300 a few expect what the service never says; that is a warning, for it is nobody's fault here."""
    loader = create_loader()
    wrong = set()
    count = 0
    for service in loader.list_available_services("waiters-2"):
        for name in loader.load_service_model(service, "waiters-2")["waiters"]:
            entry, found = waiter(service, name)
            assert entry is not None
            assert found == Findings()
            checked = MODELS.check(entry, lenient=True)
            assert {each.text for each in checked.faults} <= {"the operation needs it"}
            wrong |= {f"{service} {name}" for each in checked.warnings if "is never" in each.text}
            count += 1
    assert count > 250
    assert "appconfig EnvironmentReadyForDeployment" in wrong
