"""Deploying state machines: the one with functions, and the one that needs none."""

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from scheduler.assets import asset
from scheduler.aws.clients import AdminClients
from scheduler.aws.deployed import Deployed
from scheduler.aws.sdk_errors import is_missing, translated
from scheduler.aws.usable import until_usable, with_new_role
from scheduler.settings import Settings

WITHOUT_LAMBDA = "without-lambda"


@dataclass(frozen=True, slots=True)
class Workflow:
    """A state machine as it should be."""

    name: str
    definition: dict[str, Any]


def with_functions(settings: Settings) -> Workflow:
    """Give the workflow whose function creates its jobs, with the function's name put in."""
    machine = _read("definition")
    machine["States"]["CreateJobAndWait"]["Parameters"]["FunctionName"] = settings.create_job_function
    return Workflow(settings.state_machine, machine)


def without_functions(settings: Settings) -> Workflow:
    """Give the workflow that calls no function, with the names of the two tables put in."""
    machine = _read(WITHOUT_LAMBDA)
    for state, table in (("StartJob", settings.jobs_table), ("WaitForJob", settings.token_table)):
        machine["States"][state]["Parameters"]["TableName"] = table
    return Workflow(settings.state_machine_without_lambda, machine)


def _read(name: str) -> dict[str, Any]:
    machine: dict[str, Any] = json.loads(asset("state-machine", f"{name}.json").read_text("utf-8"))
    return machine


async def deploy_workflow(clients: AdminClients, workflow: Workflow, arn: str, role: str) -> Deployed:
    """Create a state machine or bring it up to date, and wait for it. Raises CloudError."""
    client = clients.stepfunctions
    name, text = workflow.name, json.dumps(workflow.definition)
    changes = []
    with translated("state machine", name):
        try:
            held: Any = await client.describe_state_machine(stateMachineArn=arn)
        except ClientError as error:
            if not is_missing(error):
                raise
            held = None
            await with_new_role(lambda: client.create_state_machine(name=name, definition=text, roleArn=role))
        else:
            same = {
                "definition": json.loads(held["definition"]) == workflow.definition,
                "roleArn": held["roleArn"] == role,
            }
            changes = [part for part, unchanged in same.items() if not unchanged]
            if changes:
                await with_new_role(
                    lambda: client.update_state_machine(stateMachineArn=arn, definition=text, roleArn=role)
                )

        async def usable() -> bool:
            held = await client.describe_state_machine(stateMachineArn=arn)
            return held.get("status", "ACTIVE") == "ACTIVE"

        await until_usable(usable, f"state machine {name}")
    if held is None:
        return Deployed("state machine", name, "created")
    return Deployed.found("state machine", name, changes)
