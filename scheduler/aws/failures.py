"""The SDK's errors, translated once: for the protocol into data, for people into one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from scheduler.core.wire import CallError
from scheduler.errors import CloudError, MissingError

SDK_ERRORS = (ClientError, BotoCoreError, aiohttp.ClientError, TimeoutError, OSError)
"""All that a call of the SDK raises: refusals, its own faults, time-outs and broken connections."""

_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)
_NEVER_SENT = (ParamValidationError, EndpointConnectionError, ConnectTimeoutError, *_NO_CREDENTIALS)
_BAD_REQUEST = 400
_MISSING = frozenset({"ResourceNotFoundException", "StateMachineDoesNotExist", "TableNotFoundException"})


def code_of(error: BaseException) -> str:
    """Give AWS's error code, or the name of the SDK's exception where no reply came."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return type(error).__name__


def call_error(error: BaseException) -> CallError:
    """Give the error of a call as the protocol understands it."""
    if isinstance(error, ClientError):
        response: Any = error.response
        detail = response.get("Error", {})
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        message = detail.get("Message") or detail.get("message") or str(error)
        return CallError(code_of(error), message, status, response.get("Item") or detail.get("Item"))
    if isinstance(error, _NEVER_SENT):
        return CallError(type(error).__name__, str(error), status=_BAD_REQUEST)
    return CallError(code_of(error), str(error) or "no reply in time")


def is_missing(error: BaseException) -> bool:
    """Tell whether the resource asked for does not exist."""
    return code_of(error) in _MISSING


@contextmanager
def translated(kind: str, name: str) -> Iterator[None]:
    """Raise the SDK's errors from within as MissingError of this resource or as CloudError, with the cause kept."""
    try:
        yield
    except SDK_ERRORS as error:
        if is_missing(error):
            raise MissingError(kind, name) from error
        failure = call_error(error)
        message = " ".join(f"{kind} {name} could not be used: {failure.code}: {failure.message}".split())
        if isinstance(error, _NO_CREDENTIALS):
            message += " (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role)"
        raise CloudError(message) from error
