"""Waiting tasks, each of an execution of its own, with time-outs that the server's clock enforces."""

import base64
import binascii
import math
import secrets
import uuid
from dataclasses import dataclass, replace
from typing import Any

from tests.aws_server.gate import Clock
from tests.aws_server.ledger import Answer, Ledger
from tests.aws_server.wire import refuse

_HEADER = b"\x00\x00\x00\x2a\x00\x00\x00\x02"  # what tokens of Step Functions begin with: "AAAAKgAAAA" in base64
_TOKEN_BYTES = 480  # makes 652 characters, of which some are +, / and =
STATE_MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:poc-callback-workflow"
CLOSED = "Task Timed Out: 'Provided task does not exist anymore'"


@dataclass(frozen=True, slots=True)
class End:
    """How an execution ended, and when."""

    status: str
    time: float
    output: str | None = None
    error: str | None = None
    cause: str | None = None


@dataclass(slots=True)
class Task:
    """A waiting task and its execution."""

    token: str
    execution_arn: str
    state_machine_arn: str
    name: str
    input: str
    started: float
    timeout_seconds: float = math.inf
    heartbeat_seconds: float = math.inf
    last_heartbeat: float = 0.0
    end: End | None = None

    def deadline(self) -> float:
        """Give the moment at which it times out."""
        return min(self.started + self.timeout_seconds, self.last_heartbeat + self.heartbeat_seconds)


class Tokens:
    """Makes waiting tasks, and takes what is answered to them as Step Functions does."""

    def __init__(self, clock: Clock, ledger: Ledger) -> None:
        self._clock = clock
        self._ledger = ledger
        self._by_token: dict[str, Task] = {}
        self._by_arn: dict[str, Task] = {}

    def waiting(self, *, timeout_seconds: float = math.inf, heartbeat_seconds: float = math.inf) -> str:
        """Start an execution whose task waits, and give the task's token."""
        return self.start(STATE_MACHINE, timeout_seconds=timeout_seconds, heartbeat_seconds=heartbeat_seconds).token

    def unknown(self) -> str:
        """Give a token of the right form that was never issued."""
        return base64.b64encode(_HEADER + secrets.token_bytes(_TOKEN_BYTES)).decode()

    def of(self, execution_arn: str) -> str:
        """Give the token of an execution's task. Raises RefusedError."""
        return self.execution(execution_arn).token

    def task(self, token: str) -> Task:
        """Give a task as it is now; a task that has timed out by now has ended. Raises RefusedError."""
        if not _well_formed(token):
            refuse("InvalidToken", "Invalid Token: 'Invalid token'")
        if token not in self._by_token:
            refuse("TaskDoesNotExist", "Task does not exist")
        return self._settled(self._by_token[token])

    def execution(self, arn: str) -> Task:
        """Give an execution's task as it is now. Raises RefusedError."""
        if not arn.startswith("arn:"):
            refuse("InvalidArn", f"Invalid Arn: {arn!r}")
        if arn not in self._by_arn:
            refuse("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
        return self._settled(self._by_arn[arn])

    def status(self, token: str) -> str:
        """Give the status of a token's execution: RUNNING, SUCCEEDED, FAILED or ABORTED."""
        end = self.task(token).end
        return end.status if end else "RUNNING"

    def start(
        self,
        state_machine_arn: str,
        name: str | None = None,
        given: str = "{}",
        *,
        timeout_seconds: float = math.inf,
        heartbeat_seconds: float = math.inf,
    ) -> Task:
        """Start an execution. Raises RefusedError where another one has its name."""
        name = name or str(uuid.uuid4())
        arn = f"{state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"
        if known := self._by_arn.get(arn):
            if self._settled(known).end is None and known.input == given:
                return known
            refuse("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")
        now = self._clock.now()
        task = Task(self.unknown(), arn, state_machine_arn, name, given, now, timeout_seconds, heartbeat_seconds, now)
        self._by_token[task.token] = self._by_arn[arn] = task
        return task

    def stop(self, token: str, error: str | None = None, cause: str | None = None) -> float:
        """Stop the execution of a token and give when it ended; one that has ended stays as it is."""
        task = self.task(token)
        task.end = task.end or End("ABORTED", self._clock.now(), error=error, cause=cause)
        return task.end.time

    def answer(self, token: str, answer: Answer) -> None:
        """End a waiting task. Raises RefusedError where it waits no more."""
        task = self._open(token)
        answer = replace(answer, time=self._clock.now())
        status = "SUCCEEDED" if answer.operation == "SendTaskSuccess" else "FAILED"
        task.end = End(status, answer.time, answer.output, answer.error, answer.cause)
        self._ledger.note_answer(token, answer)

    def heartbeat(self, token: str) -> None:
        """Take a heartbeat. Raises RefusedError where the task waits no more."""
        self._open(token).last_heartbeat = self._clock.now()

    def _open(self, token: str) -> Task:
        task = self.task(token)
        if task.end:
            refuse("TaskTimedOut", CLOSED)
        return task

    def _settled(self, task: Task) -> Task:
        if task.end is None and self._clock.now() >= task.deadline():
            silent = task.last_heartbeat + task.heartbeat_seconds <= task.started + task.timeout_seconds
            error = "States.HeartbeatTimeout" if silent else "States.Timeout"
            task.end = End("FAILED", task.deadline(), error=error)
        return task


def describe(task: Task) -> dict[str, Any]:
    """Give an execution as DescribeExecution does."""
    known = {
        "executionArn": task.execution_arn,
        "stateMachineArn": task.state_machine_arn,
        "name": task.name,
        "status": task.end.status if task.end else "RUNNING",
        "startDate": task.started,
        "input": task.input,
    }
    if task.end:
        known |= {"stopDate": task.end.time, "output": task.end.output}
        known |= {"error": task.end.error, "cause": task.end.cause}
    return {name: value for name, value in known.items() if value is not None}


def _well_formed(token: str) -> bool:
    try:
        return base64.b64decode(token, validate=True).startswith(_HEADER)
    except (binascii.Error, ValueError):
        return False
