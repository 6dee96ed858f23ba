"""How calls fail: what an SDK raised, and what its code says of the service."""

from typing import Any

import aiohttp
import pytest
from botocore import exceptions

from scheduler.core.service_calls import CallError, Refusal, call_error, from_aws, missing_line

CODES: dict[Refusal | None, list[str]] = {
    Refusal.MISSING: ["ResourceNotFoundException", "StateMachineDoesNotExist", "TableNotFoundException"],
    Refusal.DENIED: ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"],
    Refusal.CREDENTIALS: [
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
    ],
    Refusal.UNREACHABLE: ["ConnectTimeoutError", "EndpointConnectionError", "ProxyConnectionError", "SSLError"],
    Refusal.THROTTLED: [
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
    ],
    None: [
        "ConditionalCheckFailedException",
        "ValidationException",
        "TaskTimedOut",
        "InvalidToken",
        "ReadTimeoutError",
        "ConnectionClosedError",
        "TimeoutError",
        "OfTheFuture",
    ],
}


@pytest.mark.parametrize(("refusal", "code"), [(refusal, code) for refusal in CODES for code in CODES[refusal]])
def test_each_code_says_why_a_service_served_nobody_or_that_it_spoke_of_one_request(
    refusal: Refusal | None, code: str
) -> None:
    assert CallError(code, "so").refusal is refusal
    assert CallError(code, "so", status=400).refusal is refusal


@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        (None, None),
        (200, None),
        (400, None),
        (404, None),
        (428, None),
        (429, Refusal.THROTTLED),
        (430, None),
        (499, None),
        (500, Refusal.UNAVAILABLE),
        (502, Refusal.UNAVAILABLE),
        (503, Refusal.UNAVAILABLE),
    ],
)
def test_where_the_code_says_nothing_the_status_does(status: int | None, refusal: Refusal | None) -> None:
    assert CallError("OfTheFuture", "so", status=status).refusal is refusal


def test_a_code_that_is_known_says_more_than_the_status() -> None:
    assert CallError("AccessDeniedException", "so", status=503).refusal is Refusal.DENIED
    assert CallError("ThrottlingException", "so", status=500).refusal is Refusal.THROTTLED


@pytest.mark.parametrize("refusal", Refusal)
def test_a_busy_service_slows_down_and_any_other_refusal_stops(refusal: Refusal) -> None:
    assert refusal.stops is (refusal not in {Refusal.THROTTLED, Refusal.UNAVAILABLE})


def test_only_what_has_a_status_is_the_service_s_own_reply() -> None:
    assert CallError("ServiceException", "so", status=500).answered
    assert not CallError("ReadTimeoutError", "so").answered


# --- what an SDK raised


def raised(**response: Any) -> exceptions.ClientError:
    return exceptions.ClientError(response, "Operation")  # type: ignore[arg-type]  # as services in truth reply


def test_a_refusal_carries_its_code_its_message_its_status_and_the_item() -> None:
    item = {"jobId": {"S": "job-1"}}
    error = raised(Error={"Code": "Slow", "Message": "down"}, ResponseMetadata={"HTTPStatusCode": 503}, Item=item)
    assert call_error(error) == CallError("Slow", "down", item, 503)


def test_a_message_and_an_item_are_found_where_batches_have_them() -> None:
    item = {"jobId": {"S": "job-1"}}
    error = raised(Error={"Code": "Slow", "message": "down", "Item": item}, ResponseMetadata={"HTTPStatusCode": 400})
    assert call_error(error) == CallError("Slow", "down", item, 400)


def test_a_refusal_without_a_status_or_a_code_is_a_refusal_all_the_same() -> None:
    error = call_error(raised(Error={"Message": "no"}))
    assert (error.code, error.message, error.status, error.answered) == ("Unknown", "no", 400, True)


def test_a_refusal_without_a_message_shows_the_sdk_s_own_text() -> None:
    error = call_error(raised(Error={"Code": "Slow"}))
    assert "Slow" in error.message
    assert "Operation" in error.message


@pytest.mark.parametrize(
    ("error", "code", "refusal"),
    [
        (exceptions.NoCredentialsError(), "NoCredentialsError", Refusal.CREDENTIALS),
        (exceptions.ProfileNotFound(profile="nope"), "ProfileNotFound", Refusal.CREDENTIALS),
        (exceptions.ConnectTimeoutError(endpoint_url="u", error="e"), "ConnectTimeoutError", Refusal.UNREACHABLE),
        (exceptions.ReadTimeoutError(endpoint_url="u", error="e"), "ReadTimeoutError", None),
        (exceptions.SSLError(endpoint_url="u", error=OSError("e")), "SSLError", Refusal.UNREACHABLE),
        (exceptions.ConnectionClosedError(endpoint_url="u"), "ConnectionClosedError", None),
        (TimeoutError(), "TimeoutError", None),
        (aiohttp.ClientPayloadError("cut"), "ClientPayloadError", None),
    ],
    ids=lambda case: type(case).__name__,
)
def test_what_never_became_a_reply_is_told_by_the_name_of_its_class(
    error: Exception, code: str, refusal: Refusal | None
) -> None:
    found = call_error(error)
    assert (found.code, found.status, found.answered) == (code, None, False)
    assert found.refusal is refusal
    assert found.message


def test_a_time_out_says_so_though_python_s_says_nothing() -> None:
    assert call_error(TimeoutError()).message == "no reply in time"


@pytest.mark.parametrize(
    ("cause", "refusal"),
    [
        (aiohttp.ServerDisconnectedError(), None),
        (aiohttp.ClientOSError(104, "Connection reset by peer"), None),
        (aiohttp.ClientConnectionResetError("Cannot write to closing transport"), None),
        (ConnectionRefusedError(111, "Connection refused"), Refusal.UNREACHABLE),
        (aiohttp.ClientConnectionError("no route"), Refusal.UNREACHABLE),
        (None, Refusal.UNREACHABLE),
    ],
    ids=lambda case: type(case).__name__,
)
def test_a_connection_that_broke_is_no_endpoint_out_of_reach(cause: Exception | None, refusal: Refusal | None) -> None:
    """The SDK calls both an endpoint that it cannot reach; one that broke may have served the request."""
    found = call_error(exceptions.EndpointConnectionError(endpoint_url="http://there", error=cause))
    assert found.refusal is refusal
    assert found.code == ("EndpointConnectionError" if refusal else "ConnectionClosedError")


@pytest.mark.parametrize(
    ("headers", "aws"),
    [
        ({}, True),
        ({"content-type": "application/x-amz-json-1.0"}, True),
        ({"content-type": "application/json"}, True),
        ({"content-type": "text/html"}, False),
        ({"content-type": ""}, False),
    ],
    ids=str,
)
def test_a_reply_that_is_no_json_is_not_aws_s_own(headers: dict[str, str], *, aws: bool) -> None:
    assert from_aws({"ResponseMetadata": {"HTTPHeaders": headers}}) is aws
    assert from_aws({})


def test_what_is_missing_is_named_with_the_command_that_makes_it() -> None:
    assert missing_line("table", "tokens") == "table tokens does not exist; `callback-scheduler deploy` makes it"
