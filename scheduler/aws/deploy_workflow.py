"""Deploying the state machine."""

import json
from typing import Any

from botocore.exceptions import ClientError

from scheduler.assets import asset
from scheduler.aws.clients import AdminClients
from scheduler.aws.deployed import Deployed
from scheduler.aws.sdk_errors import is_missing, translated
from scheduler.aws.usable import until_usable, with_new_role
from scheduler.settings import Settings


def definition(settings: Settings) -> dict[str, Any]:
    """Give the state machine's definition with the name of the function that creates jobs put in."""
    text = asset("state-machine", "definition.json").read_text("utf-8")
    machine: dict[str, Any] = json.loads(text)
    machine["States"]["CreateJobAndWait"]["Parameters"]["FunctionName"] = settings.create_job_function
    return machine


async def deploy_workflow(clients: AdminClients, settings: Settings, arn: str, role: str) -> Deployed:
    """Create the state machine or bring it up to date, and wait for it. Raises CloudError."""
    client = clients.stepfunctions
    wanted = definition(settings)
    text = json.dumps(wanted)
    changes = []
    with translated("state machine", settings.state_machine):
        try:
            held: Any = await client.describe_state_machine(stateMachineArn=arn)
        except ClientError as error:
            if not is_missing(error):
                raise
            held = None
            await with_new_role(
                lambda: client.create_state_machine(name=settings.state_machine, definition=text, roleArn=role)
            )
        else:
            same = {"definition": json.loads(held["definition"]) == wanted, "roleArn": held["roleArn"] == role}
            changes = [name for name, unchanged in same.items() if not unchanged]
            if changes:
                await with_new_role(
                    lambda: client.update_state_machine(stateMachineArn=arn, definition=text, roleArn=role)
                )

        async def usable() -> bool:
            held = await client.describe_state_machine(stateMachineArn=arn)
            return held.get("status", "ACTIVE") == "ACTIVE"

        await until_usable(usable, f"state machine {settings.state_machine}")
    if held is None:
        return Deployed("state machine", settings.state_machine, "created")
    return Deployed.found("state machine", settings.state_machine, changes)
