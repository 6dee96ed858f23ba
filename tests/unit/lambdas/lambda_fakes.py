"""Fakes of the three boto3 clients that the functions use: in memory, synchronous, and strict about what they know."""

import io
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

Item = dict[str, dict[str, Any]]


CONDITION_FAILED = "ConditionalCheckFailedException"


def client_error(code: str, message: str = "", status: int = 400, **more: Any) -> ClientError:
    """Give an error as a client raises it for a reply of AWS."""
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response | more, "Operation")


class FakeDynamoDB:
    """Tables keyed by jobId, with the few expressions that the functions and the protocol write."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.failures: dict[str, deque[Exception]] = {}

    def fail(self, operation: str, *errors: Exception) -> None:
        """Let the next calls of an operation raise these."""
        self.failures[operation] = deque(errors)

    def get_item(self, *, TableName: str, Key: Item, ConsistentRead: bool) -> dict[str, Any]:  # noqa: N803
        self._raise("get_item")
        assert TableName
        assert ConsistentRead, "a row that is about to be judged must be read as it is now"
        item = self.items.get(Key["jobId"]["S"])
        return {"Item": dict(item)} if item else {}

    def put_item(self, *, TableName: str, Item: Item, ConditionExpression: str) -> dict[str, Any]:  # noqa: N803
        self._raise("put_item")
        assert TableName
        job_id = Item["jobId"]["S"]
        self._require(ConditionExpression, self.items.get(job_id, {}), {}, {})
        self.items[job_id] = dict(Item)
        return {}

    def update_item(self, **call: Any) -> dict[str, Any]:
        self._raise("update_item")
        assert call["TableName"]
        job_id = call["Key"]["jobId"]["S"]
        names: dict[str, str] = call.get("ExpressionAttributeNames", {})
        values: dict[str, Any] = call["ExpressionAttributeValues"]
        item = dict(self.items.get(job_id, {}))
        self._require(call.get("ConditionExpression", ""), item, names, values)
        for action, clause in re.findall(r"(SET|ADD|REMOVE) (.*?)(?= (?:SET|ADD|REMOVE) |$)", call["UpdateExpression"]):
            # A comma within parentheses belongs to a function's arguments.
            for part in re.split(r", (?![^(]*\))", clause):
                _apply(action, part, item, names, values)
        self.items[job_id] = {"jobId": {"S": job_id}} | item
        return {"Attributes": item} if call.get("ReturnValues") == "ALL_NEW" else {}

    def _raise(self, operation: str) -> None:
        errors = self.failures.get(operation)
        if errors:
            raise errors.popleft()

    def _require(
        self, expression: str, item: Item, names: Mapping[str, str], values: Mapping[str, dict[str, Any]]
    ) -> None:
        for condition in filter(None, expression.split(" AND ")):
            if not _holds(condition, item, names, values):
                raise client_error(CONDITION_FAILED, Item=item)


def _holds(condition: str, item: Item, names: Mapping[str, str], values: Mapping[str, dict[str, Any]]) -> bool:
    if found := re.fullmatch(r"attribute_(not_)?exists\((\S+)\)", condition):
        present = names.get(found[2], found[2]) in item
        return present != bool(found[1])
    name, value = condition.split(" = ")
    return item.get(names[name]) == values[value]


def _apply(action: str, part: str, item: Item, names: Mapping[str, str], values: Mapping[str, dict[str, Any]]) -> None:
    if action == "REMOVE":
        item.pop(names[part], None)
    elif action == "ADD":
        name, value = part.split()
        item[name] = _sum(item.get(name, {"N": "0"}), values[value])
    elif given_back := re.fullmatch(r"(\S+) = (\S+) - (\S+)", part):
        name, held, less = given_back.groups()
        item[names[name]] = {"N": str(int(item[names[held]]["N"]) - int(values[less]["N"]))}
    elif counted := re.fullmatch(r"(\S+) = if_not_exists\((\S+), (\S+)\) \+ (\S+)", part):
        item[names[counted[1]]] = _sum(item.get(names[counted[2]], values[counted[3]]), values[counted[4]])
    else:
        name, value = part.split(" = ")
        item[names.get(name, name)] = values[value]


def _sum(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, str]:
    return {"N": str(int(first["N"]) + int(second["N"]))}


class FakeFunctions:
    """Lambda: one function's replies, each a JSON value, bytes, a raised error's payload or an exception."""

    def __init__(self, reply: Callable[[dict[str, Any]], Any]) -> None:
        self.requests: list[dict[str, Any]] = []
        self.names: list[str] = []
        self._reply = reply

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        assert FunctionName
        self.names.append(FunctionName)
        self.requests.append(json.loads(Payload))
        reply = self._reply(self.requests[-1])
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, Raised):
            return {"Payload": io.BytesIO(json.dumps(reply.payload).encode()), "FunctionError": "Unhandled"}
        return {"Payload": io.BytesIO(reply if isinstance(reply, bytes) else json.dumps(reply).encode())}


class Raised:
    """What a function that raised replies."""

    def __init__(self, kind: str, message: str) -> None:
        self.payload = {"errorType": kind, "errorMessage": message}


class FakeStepFunctions:
    """Step Functions: records what is sent, and answers each send with the next of some errors, then well."""

    def __init__(self, errors: Iterable[Exception] = ()) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self._errors = deque(errors)

    def send_task_success(self, **parameters: Any) -> dict[str, Any]:
        return self._send("success", parameters)

    def send_task_failure(self, **parameters: Any) -> dict[str, Any]:
        return self._send("failure", parameters)

    def send_task_heartbeat(self, **parameters: Any) -> dict[str, Any]:
        return self._send("heartbeat", parameters)

    def _send(self, kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self.sent.append((kind, parameters))
        if self._errors:
            raise self._errors.popleft()
        return {}
