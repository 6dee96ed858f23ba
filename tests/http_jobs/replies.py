"""What the service replies: whole, or in the ways in which a reply goes wrong."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CHUNK = b"x" * 65_536


@dataclass(frozen=True)
class Request:
    """A request as it came over the wire; names of headers in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """A whole reply."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, writer: asyncio.StreamWriter) -> bool:
        """Send it; tells whether the connection goes on."""
        writer.write(head(self.status, {"Content-Length": str(len(self.body)), **self.headers}) + self.body)
        await writer.drain()
        return True


@dataclass(frozen=True)
class Endless:
    """A body of so many bytes, with its length told or in chunks without an end in sight."""

    length: int = 1_000_000_000
    told: bool = True

    async def send(self, writer: asyncio.StreamWriter) -> bool:
        told = {"Content-Length": str(self.length)} if self.told else {"Transfer-Encoding": "chunked"}
        writer.write(head(200, {"Content-Type": "application/json", **told}))
        for _ in range(self.length // len(CHUNK)):
            writer.write(CHUNK if self.told else b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK))
            await writer.drain()
        return False


@dataclass(frozen=True)
class Drip:
    """A byte now and then, for ever: of the body, or of the headers already."""

    every: float = 0.02
    in_headers: bool = False

    async def send(self, writer: asyncio.StreamWriter) -> bool:
        start = head(200, {"Content-Type": "application/json", "Content-Length": "100000"})
        writer.write(start[:-2] if self.in_headers else start)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(self.every)


@dataclass(frozen=True)
class Hang:
    """Nothing, until whoever asked goes."""


@dataclass(frozen=True)
class Broken:
    """These bytes, and then the connection closes."""

    data: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"

    async def send(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(self.data)
        await writer.drain()
        return False


Answer = Reply | Endless | Drip | Hang | Broken


def json_reply(data: Any, status: int = 200, **headers: str) -> Reply:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps(data).encode(), {"Content-Type": "application/json", **names})


def html(status: int = 200) -> Reply:
    page = b"<!doctype html><title>Sign in</title><p>state: DONE</p>"
    return Reply(status, page, {"Content-Type": "text/html"})


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode("latin-1")
