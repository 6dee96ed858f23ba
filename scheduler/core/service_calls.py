"""Calls of AWS's services as values: a request, how one failed, and what its error code says of the service.

The core knows no SDK: whoever drives a poll makes the calls, with boto3 or aioboto3, and brings back what came of them.
"""

from dataclasses import dataclass
from typing import Any, Literal

from scheduler.core.attributes import Item

NOT_FROM_AWS = "the reply is not the service's own: it is no JSON"
REFUSED_CODES = frozenset({"InvalidOutput", "ValidationException", "ParamValidationError"})
CONDITION_FAILED = "ConditionalCheckFailedException"
MISSING_CODES = frozenset({"ResourceNotFoundException", "StateMachineDoesNotExist", "TableNotFoundException"})
DENIED_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)
NO_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"})
_UNREACHABLE = frozenset({"EndpointConnectionError", "ConnectTimeoutError"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request: an operation of a low-level client, by its Python name, and its parameters."""

    service: Literal["dynamodb", "stepfunctions"]
    operation: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallError:
    """How a request failed; `item` is the one that a condition did not hold for."""

    code: str
    message: str
    item: Item | None = None

    @property
    def unusable(self) -> bool:
        """Whether any other request to the same resource would fail alike: it is missing, denied or out of reach."""
        return self.code in MISSING_CODES | DENIED_CODES | NO_CREDENTIALS | _UNREACHABLE


def call_error(error: BaseException) -> CallError:
    """Give what an SDK raised as the protocol understands it.

    boto3 and aioboto3 raise the same errors: a refusal carries the service's `response`, anything else is told apart by
    the name of its class, since the core knows no SDK.
    """
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        detail = response["Error"]
        message = detail.get("Message") or detail.get("message") or str(error)
        return CallError(str(detail.get("Code", "Unknown")), message, response.get("Item") or detail.get("Item"))
    return CallError(type(error).__name__, str(error) or "no reply in time")


def missing_line(kind: str, name: str) -> str:
    """Give the line that a person needs where a resource does not exist."""
    return f"{kind} {name} does not exist; `callback-scheduler deploy` makes it"


def from_aws(reply: dict[str, Any]) -> bool:
    """Tell whether a reply can be AWS's own.

    The SDKs take any 200 for a success, a proxy's page of HTML too, and an answer has an empty reply that shows no
    difference. What shows it is that AWS's services always say that they send JSON.
    """
    headers = reply.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return "json" in headers.get("content-type", "json")
