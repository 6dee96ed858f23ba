"""Secrets that AWS keeps, in Secrets Manager and among the parameters of Systems Manager."""

from collections.abc import Awaitable, Callable
from typing import Any

from scheduler.aws.sdk_errors import SDK_ERRORS
from scheduler.core.service_calls import Refusal, call_error
from scheduler.errors import CloudError

_MISSING = frozenset({"ResourceNotFoundException", "ParameterNotFound"})

ClientOf = Callable[[str, str | None], Awaitable[Any]]
"""Gives the client of a service ("secretsmanager", "ssm"), in a region or in the one that is set."""


class AwsSecrets:
    """Reads secrets with the credentials that the process has."""

    def __init__(self, client_of: ClientOf) -> None:
        self._client_of = client_of

    async def secret(self, name: str) -> str:
        """Read a secret of Secrets Manager, by its name or ARN. Raises CloudError."""
        try:
            client = await self._client_of("secretsmanager", _region(name))
            reply = await client.get_secret_value(SecretId=name)
        except SDK_ERRORS as error:
            raise _unreadable(error, "secret", name) from error
        if "SecretString" not in reply:
            message = f"secret {name} holds no text"
            raise CloudError(message, Refusal.CREDENTIALS)
        return str(reply["SecretString"])

    async def parameter(self, name: str) -> str:
        """Read a parameter of Systems Manager, decrypted. Raises CloudError."""
        try:
            client = await self._client_of("ssm", _region(name))
            reply = await client.get_parameter(Name=name, WithDecryption=True)
        except SDK_ERRORS as error:
            raise _unreadable(error, "parameter", name) from error
        return str(reply["Parameter"]["Value"])


def _region(name: str) -> str | None:
    """Give the region that an ARN names."""
    parts = name.split(":")
    return parts[3] if parts[0] == "arn" and len(parts) > 5 else None  # noqa: PLR2004  an ARN has six parts


def _unreadable(error: BaseException, kind: str, name: str) -> CloudError:
    failure = call_error(error)
    refusal = Refusal.MISSING if failure.code in _MISSING else failure.refusal
    return CloudError(f"{kind} {name} could not be read: {failure.code}: {failure.message}", refusal)
