"""Workflows: starting executions and reading how they stand."""

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from scheduler.aws.arns import place_of
from scheduler.aws.clients import AdminClients
from scheduler.aws.sdk_errors import translated
from scheduler.core.service_calls import call_error

RUNNING = "RUNNING"


@dataclass(frozen=True, slots=True)
class Execution:
    """How an execution stands; `outcome` is the `status` of its output, `reason` its error and cause."""

    arn: str
    status: str
    outcome: str | None = None
    reason: str | None = None
    output: Any = None

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.status != RUNNING

    @property
    def succeeded(self) -> bool:
        """Whether the workflow's job came to a good end."""
        return self.status == "SUCCEEDED" and self.outcome in {"SUCCESS", None}

    def shown(self) -> dict[str, Any]:
        """Give what a program wants to know."""
        return {
            "executionArn": self.arn,
            "status": self.status,
            "outcome": self.outcome,
            "reason": self.reason,
            "output": self.output,
        }


class Workflows:
    """The executions of one state machine."""

    def __init__(self, clients: AdminClients, name: str) -> None:
        self._clients = clients
        self.name = name
        self._arn: str | None = None

    async def arn(self) -> str:
        """Give the state machine's ARN. Raises CloudError."""
        if self._arn is None:
            self._arn = (await place_of(self._clients)).state_machine(self.name)
        return self._arn

    async def probe(self) -> None:
        """Ask whether the state machine is there. Raises MissingError or CloudError."""
        arn = await self.arn()
        with translated("state machine", self.name):
            await self._clients.stepfunctions.describe_state_machine(stateMachineArn=arn)

    async def start(self, given: dict[str, Any], name: str) -> str:
        """Start an execution and give its ARN; asked again with the same name and input it gives the same one.

        Raises MissingError or CloudError.
        """
        arn = await self.arn()
        with translated("state machine", self.name):
            try:
                reply = await self._clients.stepfunctions.start_execution(
                    stateMachineArn=arn, name=name, input=json.dumps(given)
                )
            except ClientError as error:
                # AWS gives the one that runs already; not every emulator does.
                if call_error(error).code != "ExecutionAlreadyExists":
                    raise
                return f"{arn.replace(':stateMachine:', ':execution:')}:{name}"
        return reply["executionArn"]

    async def describe(self, arn: str) -> Execution:
        """Read how an execution stands. Raises CloudError."""
        with translated("execution", arn):
            held: Any = await self._clients.stepfunctions.describe_execution(executionArn=arn)
        output = _parsed(held.get("output"))
        said = output if isinstance(output, dict) else {}
        outcome = said.get("status")
        error, cause = held.get("error") or said.get("error"), held.get("cause") or said.get("cause")
        reason = ": ".join(str(part) for part in (error, cause) if part) or None
        return Execution(arn, held["status"], outcome, reason, output)

    async def latest(self, count: int) -> list[dict[str, Any]]:
        """List the newest executions, each with its name, status, start and stop. Raises MissingError or CloudError."""
        arn = await self.arn()
        with translated("state machine", self.name):
            reply: Any = await self._clients.stepfunctions.list_executions(stateMachineArn=arn, maxResults=count)
        executions: list[dict[str, Any]] = reply["executions"]
        return executions


def _parsed(output: str | None) -> Any:
    try:
        return None if output is None else json.loads(output)
    except ValueError:
        return output
