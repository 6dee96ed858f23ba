"""An endpoint of AWS's APIs that says what a test tells it, and STS beside it, whose roles expire when a test wants."""

import datetime as dt
import json
import re
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

ROLE = "arn:aws:iam::123456789012:role/reader"
_ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>
<Expiration>{until}</Expiration></Credentials><AssumedRoleUser><AssumedRoleId>A:B</AssumedRoleId>
<Arn>arn:aws:sts::123456789012:assumed-role/reader/x</Arn></AssumedRoleUser></AssumeRoleResult>
</AssumeRoleResponse>"""
_DENIED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>AccessDenied</Code><Message>not yours</Message></Error></ErrorResponse>"""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its operation, its parameters, and by which access key and in which region it was signed."""

    operation: str
    parameters: Any
    key: str
    region: str


@dataclass(slots=True)
class AwsApis:
    """What the endpoint was asked, and what it says: each request takes the next of `replies`, and the last stays."""

    endpoint: str = ""
    asked: list[Asked] = field(default_factory=list)
    replies: deque[web.Response] = field(default_factory=deque)
    assumed: list[str] = field(default_factory=list)
    """The keys of the roles that were assumed, in their order."""
    role_seconds: float = 3600
    role_denied: bool = False

    def say(self, *outputs: Any) -> None:
        """Let the next replies be these outputs."""
        self.replies = deque(web.json_response(output) for output in outputs)

    def refuse(self, code: str, status: int = 400) -> None:
        """Let the replies from now on be this error."""
        self.replies = deque([error(code, status)])

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note a request and reply."""
        signed = re.search(r"Credential=([^/]+)/[^/]+/([^/]+)/([^/]+)/", request.headers.get("Authorization", ""))
        key, region, service = signed.groups() if signed else ("", "", "")
        body = await request.text()
        if service == "sts":
            return self._assume()
        operation = request.headers.get("X-Amz-Target", f".{request.method} {request.path}").partition(".")[2]
        self.asked.append(Asked(operation, json.loads(body) if body else None, key, region))
        reply = self.replies.popleft() if len(self.replies) > 1 else self.replies[0]
        return web.Response(status=reply.status, body=reply.body, headers={"Content-Type": reply.content_type})

    def _assume(self) -> web.Response:
        if self.role_denied:
            return web.Response(status=403, text=_DENIED, content_type="text/xml")
        self.assumed.append(f"ROLE{len(self.assumed) + 1}")
        until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.role_seconds)
        text = _ASSUMED.format(key=self.assumed[-1], until=until.isoformat())
        return web.Response(text=text, content_type="text/xml")


def error(code: str, status: int = 400) -> web.Response:
    """Give an error as services that speak JSON have it."""
    return web.json_response({"__type": code, "message": "as the test asked for"}, status=status)


@asynccontextmanager
async def aws_apis() -> AsyncIterator[AwsApis]:
    """Run an endpoint on a free port."""
    apis = AwsApis()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", apis.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        apis.endpoint = f"http://{host}:{port}"
        yield apis
    finally:
        await runner.cleanup()
