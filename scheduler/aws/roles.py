"""The two IAM roles: what the functions may do, and what the workflow may do. Nothing more than they need."""

from dataclasses import dataclass
from typing import Any

from scheduler.aws.arns import Place
from scheduler.settings import Settings

POLICY_NAME = "callback-scheduler"


@dataclass(frozen=True, slots=True)
class Role:
    """A role: who may take it, and what it allows."""

    name: str
    service: str
    statements: list[dict[str, Any]]

    def trust(self) -> dict[str, Any]:
        """Give the policy that says who may take the role."""
        statement = {"Effect": "Allow", "Principal": {"Service": self.service}, "Action": "sts:AssumeRole"}
        return {"Version": "2012-10-17", "Statement": [statement]}

    def policy(self) -> dict[str, Any]:
        """Give the policy that says what the role allows."""
        return {"Version": "2012-10-17", "Statement": self.statements}


def function_role(settings: Settings, place: Place) -> Role:
    """Give the role of the three functions."""
    tables = [place.arn("dynamodb", f"table/{name}") for name in (settings.token_table, settings.jobs_table)]
    sources = {settings.simulated_api_function, settings.source_function}
    return Role(
        f"{settings.create_job_function}-functions",
        "lambda.amazonaws.com",
        [
            _allow(["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], tables),
            _allow(["lambda:InvokeFunction"], sorted(function_arn(place, name) for name in sources)),
            # These three take no resource: whoever holds the token may answer.
            _allow(["states:SendTaskSuccess", "states:SendTaskFailure", "states:SendTaskHeartbeat"], ["*"]),
            _allow(
                ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                [place.arn("logs", "log-group:/aws/lambda/*")],
            ),
        ],
    )


def workflow_role(settings: Settings, place: Place) -> Role:
    """Give the role of the state machine."""
    target = function_arn(place, settings.create_job_function)
    return Role(
        f"{settings.state_machine}-workflow",
        "states.amazonaws.com",
        [_allow(["lambda:InvokeFunction"], [target, f"{target}:*"])],
    )


def function_arn(place: Place, name: str) -> str:
    """Give a function's ARN; one that is given as an ARN stays as it is."""
    return name if name.startswith("arn:") else place.arn("lambda", f"function:{name}")


def _allow(actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}
