"""The server: one address for Step Functions, Lambda, DynamoDB and STS."""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Self
from urllib.parse import parse_qs

from aiohttp import web

from tests.aws_server import identity
from tests.aws_server.control import Control
from tests.aws_server.dynamodb_proxy import DynamoDbProxy
from tests.aws_server.faults import Faults
from tests.aws_server.functions import Functions
from tests.aws_server.gate import Clock
from tests.aws_server.jobs import Jobs
from tests.aws_server.ledger import Ledger, Offer
from tests.aws_server.states import States
from tests.aws_server.tasks import Tokens
from tests.aws_server.wire import Call, Dropped, RefusedError, Reply, Service, refusal

_LARGEST_REQUEST = 20 * 1024 * 1024  # above the 16 MB of DynamoDB and the 6 MB of Lambda
_TARGETS: dict[str, Service] = {"AWSStepFunctions": "states", "DynamoDB_20120810": "dynamodb"}
_FUNCTION = re.compile(r"/2015-03-31/functions/(?P<name>[^/]+)/(?P<what>invocations|configuration)")
_FUNCTION_OPERATIONS = {("POST", "invocations"): "Invoke", ("GET", "configuration"): "GetFunctionConfiguration"}


class AwsServer:
    """The server with all that a test orders of it and reads from it; see the package for examples."""

    def __init__(self, dynamodb_url: str | None = None, *, clock: Clock | None = None, port: int = 0) -> None:
        self.clock = clock or Clock()
        self.ledger = Ledger()
        self.tokens = Tokens(self.clock, self.ledger)
        self.jobs = Jobs(self.clock)
        self.functions = Functions(self.jobs)
        self._dynamodb = DynamoDbProxy(dynamodb_url)
        self.faults = Faults(self.clock, self._dynamodb.apply)
        self.calls: Counter[str] = Counter()
        """How many calls of each operation have come in, faults included."""
        self.statements = 0
        """How many statements have come in, in calls of BatchExecuteStatement, faults included."""
        self.endpoint = ""
        self._port = port
        self._stack = AsyncExitStack()
        self._services: dict[Service, Callable[[Call], Awaitable[Reply]]] = {
            "states": States(self.tokens).apply,
            "lambda": self.functions.apply,
            "dynamodb": self._dynamodb.apply,
            "sts": identity.apply,
        }

    @classmethod
    @asynccontextmanager
    async def running(cls, dynamodb_url: str | None = None, *, clock: Clock | None = None) -> "AsyncIterator[Self]":
        """Run it in the loop of the caller."""
        async with cls(dynamodb_url, clock=clock) as server:
            yield server

    @classmethod
    @contextmanager
    def in_thread(cls, dynamodb_url: str | None = None, *, clock: Clock | None = None) -> "Iterator[Self]":
        """Run it in a thread of its own, for tests without a loop."""
        server = cls(dynamodb_url, clock=clock)
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            thread = threading.Thread(target=loop.run_forever, daemon=True)
            thread.start()
            try:
                asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
                try:
                    yield server
                finally:
                    asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result()
            finally:
                loop.call_soon_threadsafe(loop.stop)
                thread.join()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._dynamodb)
        app = web.Application(client_max_size=_LARGEST_REQUEST)
        app.router.add_post("/_control/{method}", Control(self).answer)
        app.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", self._port).start()
        self.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.faults.clear()
        self.jobs.release_hung()
        self.functions.close()
        await self._stack.aclose()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        call = _read(request, await request.read())
        if call is None:
            return web.json_response({"__type": "UnknownOperationException"}, status=404)
        self.calls[call.operation] += 1
        if call.operation == "BatchExecuteStatement":
            self.statements += len(call.json["Statements"])
        offer = self._note(call)
        try:
            answer = await self.faults.around(call, lambda: self._apply(call, offer))
        except Dropped:
            return _close(request)
        if offer:
            self.ledger.note_told(offer, answer.code or "ok")
        return await _send(request, answer)

    async def _apply(self, call: Call, offer: Offer | None) -> Reply:
        try:
            answer = await self._services[call.service](call)
        except RefusedError as error:
            answer = refusal(call, error.code, error.message)
        if offer:
            offer.effect = answer.code or "applied"
        return answer

    def _note(self, call: Call) -> Offer | None:
        if not call.operation.startswith("SendTask"):
            return None
        offer = Offer(call.operation, self.clock.now())
        try:
            self.ledger.note_offer(call.json["taskToken"], offer)
        except (RefusedError, KeyError, TypeError):
            return None
        return offer


def _read(request: web.Request, body: bytes) -> Call | None:
    if function := _FUNCTION.fullmatch(request.rel_url.raw_path):
        operation = _FUNCTION_OPERATIONS.get((request.method, function["what"]))
        return Call("lambda", operation, body, dict(request.headers), function["name"]) if operation else None
    prefix, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
    if service := _TARGETS.get(prefix):
        return Call(service, operation, body, dict(request.headers))
    if request.content_type == "application/x-www-form-urlencoded":
        return Call("sts", parse_qs(body.decode())["Action"][0], body, dict(request.headers))
    return None


async def _send(request: web.Request, answer: Reply) -> web.StreamResponse:
    if not answer.cut:
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
    half = web.StreamResponse(status=answer.status, headers=answer.headers)
    half.content_length = max(2, len(answer.body))
    await half.prepare(request)
    await half.write(answer.body[: len(answer.body) // 2])
    if request.transport:
        request.transport.close()  # what is written goes out first
    return half


def _close(request: web.Request) -> web.StreamResponse:
    if request.transport:
        request.transport.abort()
    return web.Response()
