"""A lean stand-in for Lambda, Step Functions and the way to DynamoDB, as a process of its own.

    python -m benchmarks.stub --dynamodb-url URL

It prints two addresses: of Lambda and Step Functions, which it answers itself; and of DynamoDB, where it passes bytes
on and counts the operations in them. Every job is in progress for ever. `GET /_stats?interval=1` gives what it has seen
since `POST /_reset?delay=0.1`, which also sets how long each check takes.
"""

import argparse
import asyncio
import json
import re
import statistics
import sys
import time
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_TARGET = re.compile(rb"x-amz-target: *(\w+)\.(\w+)", re.IGNORECASE)
_STATES = b"application/x-amz-json-1.0"
_MARK = re.compile(rb"DynamoDB_20120810\.([A-Za-z]+)\r\n")
_LONGEST_MARK = 80
_KEY = re.compile(rb"Credential=(\w+)/")
HANGS = "hangs"
"""The function that never answers."""
_AGAIN = 0.5
"""A check that follows one of the same job by another replica within this part of its interval is made twice."""


class Seen:
    """What the stub has seen."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.reset()

    def reset(self) -> None:
        """Forget all."""
        self.calls: Counter[str] = Counter()
        self.checks: defaultdict[str, list[tuple[float, bytes]]] = defaultdict(list)
        """The times of each job's checks, and the access keys of those who made them."""

    def check(self, event: Any, key: bytes) -> Any:
        """Note the check of a job, or of many, and give the reply."""
        now = time.monotonic()
        for job_id in event.get("jobIds") or [event["jobId"]]:
            self.checks[job_id].append((now, key))
        if "jobIds" in event:
            return {"results": [{"jobId": job_id, "status": "IN_PROGRESS"} for job_id in event["jobIds"]]}
        return {"jobId": event["jobId"], "status": "IN_PROGRESS"}

    def stats(self, interval: float, prefix: str = "") -> dict[str, Any]:
        """Give the counts, and of some jobs the checks and their lateness.

        That is by how much each comes later than its job's most punctual one.
        """
        late: list[float] = []
        twice = 0
        seen = [checks for job_id, checks in self.checks.items() if job_id.startswith(prefix)]
        for checks in seen:
            times = [at for at, _ in checks]
            offsets = [at - interval * round((at - times[0]) / interval) for at in times]
            late += [offset - min(offsets) for offset in offsets]
            twice += sum(
                after[1] != before[1] and after[0] - before[0] < interval * _AGAIN for before, after in pairwise(checks)
            )
        percentiles = statistics.quantiles(late, n=100) if len(late) > 1 else [0.0] * 99
        return {
            "calls": dict(self.calls),
            "jobs": len(seen),
            "checks": len(late),
            "twice": twice,
            "lateMedian": percentiles[49],
            "lateP99": percentiles[98],
            "lateMost": max(late, default=0.0),
            "lastFirst": max((checks[0][0] for checks in seen), default=0.0),
            "now": time.monotonic(),
        }


class Server(asyncio.Protocol):
    """One connection of a client of Lambda, of Step Functions, or of the benchmark itself."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  for the type
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._held += data
        while (end := self._held.find(_END)) >= 0:
            head = self._held[:end]
            length = _LENGTH.search(head)
            size = end + len(_END) + (int(length[1]) if length else 0)
            if len(self._held) < size:
                return
            body, self._held = self._held[end + len(_END) : size], self._held[size:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        kind, delay = b"application/json", 0.0
        if path.endswith(f"/{HANGS}/invocations"):
            return
        if path.endswith("/invocations"):
            self._seen.calls["Invoke"] += 1
            key = _KEY.search(head)
            reply, delay = self._seen.check(json.loads(body), key[1] if key else b""), self._seen.delay
        elif path.endswith("/configuration"):
            reply = {"FunctionName": "any", "State": "Active"}
        elif path.startswith("/_"):
            reply = self._control(path)
        elif target := _TARGET.search(head):
            self._seen.calls[target[2].decode()] += 1
            reply, kind = {}, _STATES
        else:
            reply = {"error": f"{method} {path} is not known here"}
        text = json.dumps(reply).encode()
        sent = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(text), text)
        if delay:
            asyncio.get_running_loop().call_later(delay, self._transport.write, sent)
        else:
            self._transport.write(sent)

    def _control(self, path: str) -> Any:
        asked = parse_qs(urlsplit(path).query)
        if path.startswith("/_reset"):
            self._seen.delay = float(asked.get("delay", ["0"])[0])
            self._seen.reset()
            return {}
        return self._seen.stats(float(asked["interval"][0]), asked.get("prefix", [""])[0])


class Writable(Protocol):
    """Whatever takes bytes."""

    def write(self, data: bytes) -> None:
        """Take some."""

    def close(self) -> None:
        """End."""


class Passing(asyncio.Protocol):
    """One direction of a connection to DynamoDB; that of the requests is looked through for their operations."""

    def __init__(self, seen: Seen, host: str, port: int) -> None:
        self._seen = seen
        self._to = (host, port)
        self._other: Writable | None = None
        self._waiting: list[bytes] = []
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to DynamoDB."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  for the type
        self._transport = transport
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        back, _ = await asyncio.get_running_loop().create_connection(lambda: _Back(self._transport), *self._to)
        self._other = back
        for data in self._waiting:
            self._other.write(data)

    def data_received(self, data: bytes) -> None:
        """Pass on."""
        looked = self._tail + data
        end = 0
        for mark in _MARK.finditer(looked):
            self._seen.calls[mark[1].decode()] += 1
            end = mark.end()
        self._tail = looked[max(end, len(looked) - _LONGEST_MARK) :]
        if self._other:
            self._other.write(data)
        else:
            self._waiting.append(data)

    def connection_lost(self, error: Exception | None) -> None:
        """End the other side."""
        del error
        if self._other:
            self._other.close()


class _Back(asyncio.Protocol):
    def __init__(self, client: Writable) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self._client.close()


async def _run(dynamodb_url: str) -> None:
    loop, seen, url = asyncio.get_running_loop(), Seen(), urlsplit(dynamodb_url)
    own = await loop.create_server(lambda: Server(seen), "127.0.0.1", 0)
    way = await loop.create_server(lambda: Passing(seen, str(url.hostname), url.port or 80), "127.0.0.1", 0)
    addresses = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in (own, way)]
    sys.stdout.write(" ".join(addresses) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def main() -> None:
    """Read the command line and run until killed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stub")
    parser.add_argument("--dynamodb-url", required=True)
    asyncio.run(_run(parser.parse_args().dynamodb_url))


if __name__ == "__main__":
    main()
