"""The service itself: a socket and a thread, and no HTTP library that would put right what is wrong on the wire."""

import asyncio
import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from tests.http_jobs.auth import OAuth
from tests.http_jobs.replies import Answer, Hang, Reply, Request, json_reply

Gate = Callable[[Request], Reply | None]


class HttpJobs:
    """Jobs behind `/jobs/<id>`: `{"state": "RUNNING"}`, and `DONE` after as many polls as the job takes.

    `answer` replaces that for each request; `gate` may refuse one before. `/token` gives tokens of OAuth 2.
    """

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.polls: dict[str, int] = {}
        """The polls that each job still takes; other jobs are unknown."""
        self.answer: Callable[[Request], Answer] = self.status
        self.gate: Gate = lambda _: None
        self.head: Answer = Reply(404)
        """What a probe gets."""
        self.oauth = OAuth()
        self.url = ""
        self.open = 0
        """Connections that are open."""

    @classmethod
    @contextmanager
    def running(cls, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Self]:
        service = cls()
        loop = asyncio.new_event_loop()
        ready = threading.Event()

        async def serve() -> None:
            server = await asyncio.start_server(service._serve, "127.0.0.1", port, ssl=tls, limit=1 << 20)
            service.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            ready.set()
            with contextlib.suppress(asyncio.CancelledError):
                await stopped.wait()
            server.close()

        def run() -> None:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(serve())

        stopped = asyncio.Event()
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert ready.wait(10)
        try:
            yield service
        finally:
            loop.call_soon_threadsafe(stopped.set)
            thread.join(10)

    def status(self, request: Request) -> Answer:
        job_id = request.target.partition("?")[0].removeprefix("/jobs/")
        if request.method == "POST" and request.target == "/jobs":
            made = json.loads(request.body)
            self.polls[made["id"]] = made.get("polls", 2)
            return json_reply({"id": made["id"]}, 201)
        if job_id not in self.polls:
            return json_reply({"message": "no such job"}, 404)
        self.polls[job_id] -= 1
        done = self.polls[job_id] <= 0
        links = {"links": {"output": f"s3://reports/{job_id}.csv"}} if done else {}
        return json_reply({"state": "DONE" if done else "RUNNING"} | links)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass  # whoever asked has gone, or the test is over
        finally:
            self.open -= 1
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(method, target, headers, body)
        self.seen.append(request)
        answer = self.gate(request) or self._answer(request)
        if isinstance(answer, Hang):
            await reader.read()  # until whoever asked goes
            return False
        return await answer.send(writer)

    def _answer(self, request: Request) -> Answer:
        if request.method == "HEAD":
            return self.head
        return self.oauth.give(request) if request.target == "/token" else self.answer(request)
