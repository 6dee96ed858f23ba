"""The operations of Step Functions that a callback workflow needs, with AWS's documented answers."""

import json
from typing import Any, NoReturn

from tests.aws_server.ledger import Answer
from tests.aws_server.tasks import Tokens, describe
from tests.aws_server.wire import Call, Reply, refuse, reply

MOST_OUTPUT_BYTES = 262_144
_MOST = {"taskToken": 2_048, "error": 256, "cause": 32_768, "output": MOST_OUTPUT_BYTES, "input": MOST_OUTPUT_BYTES}
_IN_BYTES = {"output", "input"}  # their quota is documented in bytes of UTF-8, the others' in characters
_REQUIRED = {
    "SendTaskSuccess": ("taskToken", "output"),
    "SendTaskFailure": ("taskToken",),
    "SendTaskHeartbeat": ("taskToken",),
    "StartExecution": ("stateMachineArn",),
    "StopExecution": ("executionArn",),
    "DescribeExecution": ("executionArn",),
}


class States:
    """Answers calls of Step Functions over the waiting tasks."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def apply(self, call: Call) -> Reply:
        """Apply one call. Raises RefusedError."""
        if call.operation not in _REQUIRED:
            refuse("UnknownOperationException", f"no such operation here: {call.operation}")
        _validate(call.operation, call.json)
        return reply(call, self._answer(call.operation, call.json))

    def _answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        match operation:
            case "SendTaskSuccess":
                self._tokens.task(given["taskToken"])  # a token that is none comes before an output that is none
                if not _is_json(given["output"]):
                    refuse("InvalidOutput", "Invalid Output: 'SendTaskSuccess: output is not valid JSON'")
                self._tokens.answer(given["taskToken"], Answer(operation, 0, output=given["output"]))
            case "SendTaskFailure":
                answer = Answer(operation, 0, error=given.get("error"), cause=given.get("cause"))
                self._tokens.answer(given["taskToken"], answer)
            case "SendTaskHeartbeat":
                self._tokens.heartbeat(given["taskToken"])
            case "StartExecution":
                return self._start(given)
            case "StopExecution":
                token = self._tokens.of(given["executionArn"])
                return {"stopDate": self._tokens.stop(token, given.get("error"), given.get("cause"))}
            case _:
                return describe(self._tokens.execution(given["executionArn"]))
        return {}

    def _start(self, given: dict[str, Any]) -> dict[str, Any]:
        arn, text = given["stateMachineArn"], given.get("input", "{}")
        if ":stateMachine:" not in arn:
            refuse("InvalidArn", f"Invalid Arn: {arn!r}")
        if not _is_json(text):
            refuse("InvalidExecutionInput", "Invalid State Machine Execution Input")
        wanted = json.loads(text)
        names = {"timeoutSeconds": "timeout_seconds", "heartbeatSeconds": "heartbeat_seconds"}
        limits = {names[name]: wanted[name] for name in names if isinstance(wanted, dict) and wanted.get(name)}
        task = self._tokens.start(arn, given.get("name"), text, **limits)
        return {"executionArn": task.execution_arn, "startDate": task.started}


def _validate(operation: str, given: Any) -> None:
    if not isinstance(given, dict):
        refuse("SerializationException", "the body is no object")
    for name in _REQUIRED[operation]:
        if given.get(name) is None:
            _invalid(name, "Member must not be null")
    for name, most in _MOST.items():
        value = given.get(name, "")
        if not isinstance(value, str):
            refuse("SerializationException", f"{name} is no string")
        if (len(value.encode()) if name in _IN_BYTES else len(value)) > most:
            _invalid(name, f"Member must have length less than or equal to {most}")
    if given.get("taskToken") == "":
        _invalid("taskToken", "Member must have length greater than or equal to 1")


def _invalid(name: str, constraint: str) -> NoReturn:
    message = f"1 validation error detected: Value at '{name}' failed to satisfy constraint: {constraint}"
    refuse("ValidationException", message)


def _is_json(text: str) -> bool:
    def refuse(name: str) -> NoReturn:
        message = f"{name} is not JSON"
        raise ValueError(message)

    try:
        json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return True
