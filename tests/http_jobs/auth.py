"""What the service takes for auth."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from urllib.parse import parse_qs, quote

from tests.http_jobs.replies import Answer, Reply, Request, json_reply


def needs(name: str, value: str) -> Callable[[Request], Reply | None]:
    """Refuse what has not this very header."""

    def gate(request: Request) -> Reply | None:
        sent = request.headers.get(name.lower(), "nothing")
        # A careless service tells what it was sent.
        return None if sent == value else json_reply({"message": f"not authorized with {sent}"}, 401)

    return gate


def signed_by(access_key: str, secret_key: str, region: str, service: str) -> Callable[[Request], Reply | None]:
    """Refuse what has not the signature that AWS would reckon from what came over the wire."""

    def gate(request: Request) -> Reply | None:
        sent = request.headers.get("authorization", "")
        names = sent.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        path, _, query = request.target.partition("?")
        date = request.headers["x-amz-date"]
        canonical = [
            request.method,
            quote(path, safe="/~"),
            "&".join(sorted(query.split("&"))),
            *(f"{name}:{request.headers[name]}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(request.body).hexdigest(),
        ]
        scope = f"{date[:8]}/{region}/{service}/aws4_request"
        digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
        key = f"AWS4{secret_key}".encode()
        for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}"):
            key = hmac.digest(key, part.encode(), "sha256")
        expected = (
            f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={';'.join(names)}, Signature={key.hex()}"
        )
        return None if sent == expected and "host" in names else json_reply({"message": "signature"}, 403)

    return gate


class OAuth:
    """Client credentials: gives `token-1`, `token-2` and so on, and takes the last one alone."""

    def __init__(self) -> None:
        self.client = ("scheduler", "client-secret")
        self.given = 0
        self.asked: list[dict[str, list[str]]] = []
        self.seconds = 3600
        self.refusal: Answer | None = None

    def give(self, request: Request) -> Answer:
        self.asked.append(parse_qs(request.body.decode()))
        pair = base64.b64encode(":".join(self.client).encode()).decode()
        if request.headers.get("authorization") != f"Basic {pair}":
            return json_reply({"error": "invalid_client"}, 401)
        if self.refusal:
            return self.refusal
        self.given += 1
        return json_reply({"access_token": f"token-{self.given}", "token_type": "Bearer", "expires_in": self.seconds})

    def gate(self, request: Request) -> Reply | None:
        if request.target == "/token":
            return None
        return needs("Authorization", f"Bearer token-{self.given}")(request)
