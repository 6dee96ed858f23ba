"""Signing requests of HTTP APIs as AWS has it, version 4."""

from collections.abc import Awaitable, Callable
from typing import Any

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest

from scheduler.aws.sdk_errors import SDK_ERRORS
from scheduler.checks.http_requests import HttpRequest
from scheduler.core.service_calls import Refusal, call_error
from scheduler.errors import CloudError

CredentialsOf = Callable[[str | None], Awaitable[Any]]
"""Gives frozen credentials: of a role, or where None those that the process has; None where there are none."""


class SigV4Signer:
    """Signs with the process's own credentials or with those of a role."""

    def __init__(self, credentials_of: CredentialsOf, region: str | None) -> None:
        """Take where credentials come from, and the region of entries that name none."""
        self._credentials_of = credentials_of
        self._region = region

    async def sign(self, request: HttpRequest, service: str, region: str | None, role_arn: str | None) -> HttpRequest:
        """Give the request with its signature. Raises CloudError where there is nothing to sign with."""
        try:
            credentials = await self._credentials_of(role_arn)
        except SDK_ERRORS as error:
            failure = call_error(error)
            message = f"no credentials to sign with: {failure.code}: {failure.message}"
            raise CloudError(message, failure.refusal or Refusal.CREDENTIALS) from error
        region = region or self._region
        if credentials is None or region is None:
            message = f"no {'region' if credentials else 'credentials'} to sign with"
            raise CloudError(message, Refusal.CREDENTIALS)
        return _signed(request, credentials, service, region)


def _signed(request: HttpRequest, credentials: Any, service: str, region: str) -> HttpRequest:
    made = AWSRequest(request.method, request.url, dict(request.headers), request.body or b"")
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(credentials, service, region).add_auth(made)
    return request.having(dict(made.headers.items()))
