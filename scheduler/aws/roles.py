"""The IAM roles, one for each function and one for the workflow: each may do what it does, and nothing more.

IAM knows no regions, so that a role's name must: two deployments share a role only where they share what takes it.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from scheduler.aws.arns import Place, function_arn, function_name
from scheduler.aws.poller_sources import NONE, Entries
from scheduler.aws.source_rights import source_statements
from scheduler.settings import Settings

POLICY_NAME = "callback-scheduler"
_LONGEST_NAME = 64  # characters of a role's name
_DIGEST_LENGTH = 8

Statement = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Role:
    """A role: who may take it, and what it allows."""

    name: str
    service: str
    statements: list[Statement]

    def trust(self) -> dict[str, Any]:
        """Give the policy that says who may take the role."""
        statement = {"Effect": "Allow", "Principal": {"Service": self.service}, "Action": "sts:AssumeRole"}
        return {"Version": "2012-10-17", "Statement": [statement]}

    def policy(self) -> dict[str, Any]:
        """Give the policy that says what the role allows."""
        return {"Version": "2012-10-17", "Statement": self.statements}


def simulated_api_role(settings: Settings, place: Place) -> Role:
    """Give the role of the simulated API: its own table of jobs."""
    return _function_role(
        settings.simulated_api_function,
        place,
        [_on_table(settings.jobs_table, place, "GetItem", "PutItem", "UpdateItem")],
    )


def create_job_role(settings: Settings, place: Place) -> Role:
    """Give the role of the function that creates jobs: token rows, and the simulated API."""
    return _function_role(
        settings.create_job_function,
        place,
        [
            _on_table(settings.token_table, place, "GetItem", "PutItem", "UpdateItem"),
            _invoking(settings.simulated_api_function, place),
        ],
    )


def poller_role(settings: Settings, place: Place, entries: Entries = NONE) -> Role:
    """Give the role of the poller Lambda: token rows that are there, the sources, and answers."""
    return _function_role(
        settings.poller_function,
        place,
        [
            _on_table(settings.token_table, place, "GetItem", "UpdateItem"),
            _invoking(settings.source_function, place),
            # These three take no resource: whoever holds the token may answer.
            _allow(["states:SendTaskSuccess", "states:SendTaskFailure", "states:SendTaskHeartbeat"], ["*"]),
            *source_statements(entries, place),
        ],
    )


def workflow_role(settings: Settings, place: Place) -> Role:
    """Give the role of the state machine."""
    target = function_arn(place, settings.create_job_function)
    return Role(
        role_name(settings.state_machine, "workflow", place.region),
        "states.amazonaws.com",
        [_allow(["lambda:InvokeFunction"], [target, f"{target}:*"])],
    )


def workflow_without_lambda_role(settings: Settings, place: Place) -> Role:
    """Give the role of the state machine that calls no function: it puts orders of jobs, and token rows."""
    return Role(
        role_name(settings.state_machine_without_lambda, "workflow", place.region),
        "states.amazonaws.com",
        [_on_table(settings.jobs_table, place, "PutItem"), _on_table(settings.token_table, place, "PutItem")],
    )


def earlier_names(settings: Settings) -> list[str]:
    """Give the names of the two roles that version 0.1.0 made, the same ones in every region."""
    return [f"{settings.create_job_function}-functions", f"{settings.state_machine}-workflow"]


def role_name(name: str, kind: Literal["function", "workflow"], region: str) -> str:
    """Give a role's name: of what takes it, and where.

    One that is too long is cut, and told apart by a digest of the whole. So is one with capitals: to IAM, and to nobody
    else, `Poller` and `poller` are the same name.
    """
    end = f"-{kind}-{region}"
    if len(name + end) <= _LONGEST_NAME and name == name.lower():
        return name + end
    end = f"-{hashlib.sha256((name + end).encode()).hexdigest()[:_DIGEST_LENGTH]}{end}"
    return name[: _LONGEST_NAME - len(end)] + end


def _function_role(function: str, place: Place, statements: list[Statement]) -> Role:
    name = function_name(function)
    logs = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
    own_group = place.arn("logs", f"log-group:/aws/lambda/{name}:*")
    return Role(
        role_name(name, "function", place.region), "lambda.amazonaws.com", [*statements, _allow(logs, [own_group])]
    )


def _on_table(table: str, place: Place, *operations: str) -> Statement:
    return _allow([f"dynamodb:{operation}" for operation in operations], [place.arn("dynamodb", f"table/{table}")])


def _invoking(function: str, place: Place) -> Statement:
    return _allow(["lambda:InvokeFunction"], [function_arn(place, function)])


def _allow(actions: list[str], resources: list[str]) -> Statement:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}
