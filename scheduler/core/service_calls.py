"""Calls of AWS's services as values: a request, how one failed, and what its error code says of the service.

The core knows no SDK: whoever drives a poll makes the calls, with boto3 or aioboto3, and brings back what came of them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from scheduler.core.attributes import Item

NOT_FROM_AWS = "the reply is not the service's own: it is no JSON"
REFUSED_CODES = frozenset({"InvalidOutput", "ValidationException", "ParamValidationError"})
CONDITION_FAILED = "ConditionalCheckFailedException"
_MISSING = frozenset({"ResourceNotFoundException", "StateMachineDoesNotExist", "TableNotFoundException"})
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_CREDENTIALS = frozenset(
    {
        # What services say of credentials that have run out or were never theirs,
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
        # and what the SDK raises where it finds none.
        "ConfigNotFound",
        "CredentialRetrievalError",
        "InvalidConfigError",
        "MetadataRetrievalError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "SSOTokenLoadError",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
    }
)
_UNREACHABLE = frozenset({"ConnectTimeoutError", "EndpointConnectionError", "ProxyConnectionError", "SSLError"})
_THROTTLED = frozenset(
    {
        "EC2ThrottledException",
        "KmsThrottlingException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_TOO_MANY, _SERVER_FAULT = 429, 500
# Of aiohttp, which the SDK takes for endpoints that cannot be reached: the connection stood, and the request may have
# been served before it broke.
_BROKEN = frozenset({"ClientOSError", "ClientConnectionResetError", "ServerDisconnectedError"})


class Refusal(StrEnum):
    """Why a service did not do what it was asked, where that says nothing of the one thing it was asked about."""

    MISSING = "does not exist"
    DENIED = "access is denied"
    CREDENTIALS = "the credentials are refused"
    UNREACHABLE = "out of reach"
    THROTTLED = "throttled"
    UNAVAILABLE = "not available"

    @property
    def stops(self) -> bool:
        """Whether whatever else is asked of the same resource would fare alike, for now."""
        return self not in {Refusal.THROTTLED, Refusal.UNAVAILABLE}


@dataclass(frozen=True, slots=True)
class Call:
    """One request: an operation of a low-level client, by its Python name, and its parameters."""

    service: Literal["dynamodb", "stepfunctions"]
    operation: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallError:
    """How a request failed, and `where`.

    `status` is the reply's HTTP status, `item` the one that a condition did not hold for.
    """

    code: str
    message: str
    item: Item | None = None
    status: int | None = None
    where: str = ""

    @property
    def refusal(self) -> Refusal | None:
        """Why the service served nobody; None where it spoke of this very request, or where its reply was lost."""
        for refusal, codes in _REFUSALS.items():
            if self.code in codes:
                return refusal
        if self.status == _TOO_MANY:
            return Refusal.THROTTLED
        return Refusal.UNAVAILABLE if self.status is not None and self.status >= _SERVER_FAULT else None

    @property
    def answered(self) -> bool:
        """Whether it is the service's own reply, and not a connection that broke or a time-out."""
        return self.status is not None


_REFUSALS = {
    Refusal.MISSING: _MISSING,
    Refusal.DENIED: _DENIED,
    Refusal.CREDENTIALS: _CREDENTIALS,
    Refusal.UNREACHABLE: _UNREACHABLE,
    Refusal.THROTTLED: _THROTTLED,
}


def call_error(error: BaseException) -> CallError:
    """Give what an SDK raised as the protocol understands it.

    boto3 and aioboto3 raise the same errors: a refusal carries the service's `response`, anything else is told apart by
    the name of its class, since the core knows no SDK. Where the request went stands in a note, if anywhere.
    """
    where = " ".join(getattr(error, "__notes__", ()))
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        detail = response["Error"]
        message = detail.get("Message") or detail.get("message") or str(error)
        item = response.get("Item") or detail.get("Item")
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        return CallError(str(detail.get("Code", "Unknown")), message, item, int(status), where)
    cause = getattr(error, "kwargs", {}).get("error")
    name = "ConnectionClosedError" if type(cause).__name__ in _BROKEN else type(error).__name__
    return CallError(name, str(error) or "no reply in time", where=where)


def missing_line(kind: str, name: str, where: str = "") -> str:
    """Give the line that a person needs where a resource does not exist."""
    if where:
        return f"{kind} {name} does not exist {where}; if that is the place, `callback-scheduler deploy` makes it there"
    return f"{kind} {name} does not exist; `callback-scheduler deploy` makes it"


def from_aws(reply: dict[str, Any]) -> bool:
    """Tell whether a reply can be AWS's own.

    The SDKs take any 200 for a success, a proxy's page of HTML too, and an answer has an empty reply that shows no
    difference. What shows it is that AWS's services always say that they send JSON.
    """
    headers = reply.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return "json" in headers.get("content-type", "json")
