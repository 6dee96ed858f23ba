"""Roles: what each may do is what its code calls, and its name is its own."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler.assets import asset
from scheduler.aws.arns import Place, function_name
from scheduler.aws.roles import Role, create_job_role, poller_role, role_name, simulated_api_role, workflow_role
from scheduler.settings import Settings

ROOT = Path(__file__).parents[3]
PLACE = Place("aws", "eu-central-1", "123456789012")
LOGS = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
SERVICES = {"dynamodb": "dynamodb", "functions": "lambda", "stepfunctions": "states"}
OPERATIONS = {"invoke": "InvokeFunction"}


@pytest.fixture
def settings(no_settings: pytest.MonkeyPatch) -> Settings:
    del no_settings
    return Settings.load(source_function="my-source")


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:eu-central-1:123456789012:{resource}"


def logs(function: str) -> dict[str, list[str]]:
    return {action: [arn("logs", f"log-group:/aws/lambda/{function}:*")] for action in LOGS}


def allowed(role: Role) -> dict[str, list[str]]:
    """Give the resources of each action."""
    assert {statement["Effect"] for statement in role.statements} == {"Allow"}
    pairs = [(action, statement["Resource"]) for statement in role.statements for action in statement["Action"]]
    assert len(pairs) == len(dict(pairs)), "an action that stands twice hides what it may be done to"
    return dict(pairs)


def calls_of(files: set[Path]) -> set[str]:
    """Give the actions that sources call: on a client that they name after its service, or as a `Call` of the core."""
    return {action for file in files for node in ast.walk(ast.parse(file.read_text("utf-8"))) for action in calls(node)}


def calls(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Attribute(attr=client), attr=operation)) if client in SERVICES:
            yield action(client, operation)
        case ast.Call(func=ast.Name("Call"), args=[ast.Constant(str(service)), ast.Constant(str(operation)), *_]):
            yield action(service, operation)


def action(client: str, operation: str) -> str:
    name = OPERATIONS.get(operation) or re.sub(r"(?:^|_)([a-z])", lambda found: found[1].upper(), operation)
    return f"{SERVICES[client]}:{name}"


def sources(folder: str) -> set[Path]:
    """Give the files of a function, with the files of the core that they import."""
    found: set[Path] = set()
    new = set(asset("lambdas", folder).glob("*.py"))
    while new:
        found |= new
        trees = [ast.parse(file.read_text("utf-8")) for file in new]
        names = {node.module for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        core = (name for name in names if name and name.startswith("scheduler.core."))
        new = {(ROOT / name.replace(".", "/")).with_suffix(".py") for name in core} - found
    return found


def test_the_simulated_api_has_its_own_table_alone(settings: Settings) -> None:
    table = [arn("dynamodb", "table/poc-jobs")]
    assert allowed(simulated_api_role(settings, PLACE)) == {
        "dynamodb:GetItem": table,
        "dynamodb:PutItem": table,
        "dynamodb:UpdateItem": table,
        **logs("poc-simulated-api"),
    }


def test_create_job_writes_tokens_and_asks_the_simulated_api(settings: Settings) -> None:
    table = [arn("dynamodb", "table/poc-task-tokens")]
    assert allowed(create_job_role(settings, PLACE)) == {
        "dynamodb:GetItem": table,
        "dynamodb:PutItem": table,
        "dynamodb:UpdateItem": table,
        "lambda:InvokeFunction": [arn("lambda", "function:poc-simulated-api")],
        **logs("poc-create-job"),
    }


def test_the_poller_makes_no_row_asks_its_source_and_answers(settings: Settings) -> None:
    table = [arn("dynamodb", "table/poc-task-tokens")]
    assert allowed(poller_role(settings, PLACE)) == {
        "dynamodb:GetItem": table,
        "dynamodb:UpdateItem": table,
        "lambda:InvokeFunction": [arn("lambda", "function:my-source")],
        "states:SendTaskSuccess": ["*"],
        "states:SendTaskFailure": ["*"],
        "states:SendTaskHeartbeat": ["*"],
        **logs("poc-poller"),
    }


def test_the_workflow_invokes_the_function_that_creates_jobs(settings: Settings) -> None:
    target = arn("lambda", "function:poc-create-job")
    assert allowed(workflow_role(settings, PLACE)) == {"lambda:InvokeFunction": [target, f"{target}:*"]}


@pytest.mark.parametrize(
    ("role", "folder"),
    [(simulated_api_role, "simulated-api"), (create_job_role, "create-job"), (poller_role, "poller")],
)
def test_a_function_may_call_what_its_code_calls_and_nothing_else(settings: Settings, role: Any, folder: str) -> None:
    assert {name for name in allowed(role(settings, PLACE)) if name not in LOGS} == calls_of(sources(folder))


def test_who_may_take_a_role(settings: Settings) -> None:
    services = {
        statement["Principal"]["Service"]
        for role in (simulated_api_role, create_job_role, poller_role)
        for statement in role(settings, PLACE).trust()["Statement"]
    }
    assert services == {"lambda.amazonaws.com"}
    (statement,) = workflow_role(settings, PLACE).trust()["Statement"]
    assert statement["Principal"] == {"Service": "states.amazonaws.com"}


def test_a_source_in_another_account_is_named_as_it_is_given(no_settings: pytest.MonkeyPatch) -> None:
    del no_settings
    elsewhere = "arn:aws:lambda:eu-west-1:999999999999:function:theirs:prod"
    role = poller_role(Settings.load(source_function=elsewhere), PLACE)
    assert allowed(role)["lambda:InvokeFunction"] == [elsewhere]


@pytest.mark.parametrize(
    "given",
    [
        "poller",
        "poller:prod",
        "arn:aws:lambda:eu-west-1:1:function:poller",
        "arn:aws:lambda:eu-west-1:1:function:poller:7",
        "1:function:poller",
    ],
)
def test_a_function_is_known_by_its_name_however_it_is_given(given: str) -> None:
    assert function_name(given) == "poller"


def test_a_roles_name_says_whose_it_is_and_where(settings: Settings) -> None:
    roles = [role(settings, PLACE).name for role in (simulated_api_role, create_job_role, poller_role, workflow_role)]
    assert roles == [
        "poc-simulated-api-function-eu-central-1",
        "poc-create-job-function-eu-central-1",
        "poc-poller-function-eu-central-1",
        "poc-callback-workflow-workflow-eu-central-1",
    ]


def test_a_long_name_is_cut_to_what_iam_takes_and_keeps_its_region() -> None:
    # Lambda takes 64 characters, Step Functions 80; this is the longest name of a region.
    names = {length: role_name("x" * length, "function", "ap-southeast-1") for length in range(1, 81)}
    assert {length for length, name in names.items() if name == f"{'x' * length}-function-ap-southeast-1"} == set(
        range(1, 41)
    )
    assert max(map(len, names.values())) == 64
    assert all(name.endswith("-function-ap-southeast-1") for name in names.values())
    assert all(re.fullmatch(r"[\w+=,.@-]{1,64}", name) for name in names.values())
    assert len(set(names.values())) == len(names)


def test_a_cut_name_is_the_same_with_every_deploy() -> None:
    assert role_name("x" * 60, "workflow", "us-east-1") == f"{'x' * 36}-b5eb1b44-workflow-us-east-1"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("x" * 60 + "-a", "function", "us-east-1"), ("x" * 60 + "-b", "function", "us-east-1")),
        (("x" * 60, "function", "us-east-1"), ("x" * 60, "function", "us-east-2")),
        (("x" * 60, "function", "us-east-1"), ("x" * 60, "workflow", "us-east-1")),
        (("a", "function", "us-east-1"), ("a", "workflow", "us-east-1")),
        (("Poller", "function", "us-east-1"), ("poller", "function", "us-east-1")),
        (("POLLER", "function", "us-east-1"), ("Poller", "function", "us-east-1")),
    ],
)
def test_no_two_of_them_share_a_role_though_iam_takes_capitals_for_small_letters(one: Any, other: Any) -> None:
    assert role_name(*one).lower() != role_name(*other).lower()
