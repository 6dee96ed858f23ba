"""AWS's signature, version 4, for many requests to one address: what is the same in all of them is reckoned once.

The SDK signs as well, and at five times the cost. Tests hold the two to each other.
"""

import hmac
import time
from hashlib import sha256
from typing import Protocol
from urllib.parse import quote, urlsplit

from botocore.exceptions import NoCredentialsError
from botocore.utils import normalize_url_path

_ALGORITHM = "AWS4-HMAC-SHA256"
_USUAL_PORTS = {"http": 80, "https": 443}


class Credentials(Protocol):
    """Credentials as the SDK gives them for one request."""

    @property
    def access_key(self) -> str:
        """The key's id."""
        ...

    @property
    def secret_key(self) -> str:
        """The secret."""
        ...

    @property
    def token(self) -> str | None:
        """The session's token, for credentials that run out."""
        ...


class Signer:
    """Signs POST requests to one address, which has no query."""

    def __init__(self, url: str, region: str, service: str) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        if parts.port is not None and parts.port != _USUAL_PORTS.get(parts.scheme):
            host = f"{host}:{parts.port}"
        # The service is sent the path as it stands here, and signs it once more encoded.
        self._head = f"POST\n{quote(normalize_url_path(parts.path), safe='/~')}\n\nhost:{host}\nx-amz-date:"
        self._scope = (region, service, "aws4_request")
        self._key = ("", "", b"")

    def headers(self, credentials: Credentials | None, body: bytes, seconds: float) -> dict[str, str]:
        """Give the headers that sign a body at a time, in seconds since the epoch. Raises NoCredentialsError."""
        if credentials is None:
            raise NoCredentialsError
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))
        names, lines, headers = "host;x-amz-date", f"{self._head}{at}\n", {"X-Amz-Date": at}
        if credentials.token:
            names += ";x-amz-security-token"
            lines += f"x-amz-security-token:{credentials.token}\n"
            headers["X-Amz-Security-Token"] = credentials.token
        request = f"{lines}\n{names}\n{sha256(body).hexdigest()}"
        scope = "/".join((at[:8], *self._scope))
        text = f"{_ALGORITHM}\n{at}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(self._signing_key(credentials.secret_key, at[:8]), text.encode(), "sha256").hex()
        headers["Authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return headers

    def _signing_key(self, secret: str, day: str) -> bytes:
        if self._key[:2] != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, *self._scope):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = secret, day, key
        return self._key[2]
