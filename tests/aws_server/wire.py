"""What travels: one call of an operation, and its reply or refusal in the form of its service."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NoReturn
from xml.sax.saxutils import escape

Service = Literal["states", "lambda", "dynamodb", "sts"]

THROTTLED: Mapping[Service, str] = {
    "states": "ThrottlingException",
    "lambda": "TooManyRequestsException",
    "dynamodb": "ProvisionedThroughputExceededException",
    "sts": "Throttling",
}
_NAMESPACES: Mapping[Service, str] = {
    "states": "com.amazonaws.swf.service.v2.model",
    "lambda": "",
    "dynamodb": "com.amazonaws.dynamodb.v20120810",
}
_STATUSES = {
    "TooManyRequestsException": 429,
    "InternalServerError": 500,
    "InternalFailure": 500,
    "InternalServerException": 500,
    "ServiceException": 500,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
}
_LAMBDA_STATUSES = {"ResourceNotFoundException": 404, "AccessDeniedException": 403, "ExpiredTokenException": 403}


class Dropped(Exception):  # noqa: N818 - no error of the server: it was told to close the connection without a reply
    """The connection closes, and no reply is sent."""


class RefusedError(Exception):
    """The service refuses the call, by its own rules."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


def refuse(code: str, message: str) -> NoReturn:
    """Raise RefusedError."""
    raise RefusedError(code, message)


@dataclass(frozen=True)
class Call:
    """One request: `target` is the function's name for Lambda."""

    service: Service
    operation: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    target: str = ""

    @cached_property
    def json(self) -> Any:
        """Give the body as JSON. Raises RefusedError."""
        try:
            return json.loads(self.body or b"{}")
        except ValueError:
            refuse("SerializationException", "the body is not JSON")


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply; `code` is that of a refusal, `cut` says that half of the body is sent and the connection closed."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str | None = None
    cut: bool = False


def reply(call: Call, given: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """Give a reply of success with a JSON body."""
    return Reply(200, json.dumps(given).encode(), {"Content-Type": _content_type(call.service)} | dict(headers or {}))


def refusal(call: Call, code: str, message: str, status: int | None = None) -> Reply:
    """Give a refusal as the call's service words it; without a status, the one that the code usually has."""
    headers = {"Content-Type": _content_type(call.service), "x-amzn-ErrorType": code}
    if call.service == "sts":
        text = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
        return Reply(
            status or 400, f"<ErrorResponse>{text}</ErrorResponse>".encode(), {"Content-Type": "text/xml"}, code
        )
    if call.service == "lambda":
        usual = _LAMBDA_STATUSES.get(code)
        body = {"Type": "User", "Message": message}
    else:
        usual = None
        body = {"__type": f"{_NAMESPACES[call.service]}#{code}", "message": message}
        del headers["x-amzn-ErrorType"]
    status = status or usual or _STATUSES.get(code, 400)
    return Reply(status, json.dumps(body).encode(), headers, code)


def _content_type(service: Service) -> str:
    return "application/json" if service == "lambda" else "application/x-amz-json-1.0"
