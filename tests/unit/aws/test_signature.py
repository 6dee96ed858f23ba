"""The signature is the SDK's own, byte for byte."""

from datetime import UTC, datetime
from typing import Any

import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError

from scheduler.aws.signature import Signer

PATH = "/2015-03-31/functions/poc-simulated-api/invocations"
URLS = [
    f"https://lambda.eu-central-1.amazonaws.com{PATH}",
    f"http://localhost:4566{PATH}",
    f"http://[::1]:4566{PATH}",
    f"https://Proxy.Example:443/behind//it{PATH}",
    "https://lambda.amazonaws.com/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A0%3Afunction%3As%3Alive/x",
]
MOMENTS = [datetime(2026, 1, 1, 23, 59, 59, tzinfo=UTC), datetime(2026, 1, 2, 0, 0, 0, tzinfo=UTC)]


def by_the_sdk(url: str, credentials: Any, body: bytes) -> dict[str, str]:
    request = AWSRequest("POST", url, data=body)
    SigV4Auth(credentials, "lambda", "eu-central-1").add_auth(request)
    return dict(request.headers.items())


@pytest.mark.parametrize("token", [None, "a/session+token="])
@pytest.mark.parametrize("url", URLS)
def test_requests_are_signed_as_the_sdk_signs_them(
    url: str, token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = Signer(url, "eu-central-1", "lambda")
    for moment in MOMENTS:  # the key of a day serves for that day alone
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda moment=moment: moment)
        for secret in ("secret", "a newer secret"):
            credentials: Any = ReadOnlyCredentials("AKID", secret, token)
            for body in (b'{"jobId": "a"}', b""):
                assert signer.headers(credentials, body, moment.timestamp()) == by_the_sdk(url, credentials, body)


def test_without_credentials_nothing_is_signed() -> None:
    with pytest.raises(NoCredentialsError):
        Signer(URLS[0], "eu-central-1", "lambda").headers(None, b"", 0)
