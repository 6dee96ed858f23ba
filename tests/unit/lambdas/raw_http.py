"""A server that says exactly what it is told to, byte for byte, and notes what it is sent."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Say = Callable[[socket.socket, str], None]
"""Says something to whoever has sent this request."""


class RawServer:
    """Answers each connection's one request."""

    def __init__(self, say: Say) -> None:
        self.requests: list[str] = []
        self._say = say
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def serve(self) -> None:
        """Answer until the server is closed."""
        with suppress(OSError):
            while True:
                opened, _ = self._listening.accept()
                threading.Thread(target=self._answer, args=(opened,), daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _answer(self, opened: socket.socket) -> None:
        with opened, suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                request += opened.recv(65_536)
            self.requests.append(request.decode())
            self._say(opened, request.decode())


@contextmanager
def raw_server(say: Say | bytes) -> Iterator[RawServer]:
    """Run a server that says these bytes, or whatever it is told to."""
    said = say

    def always(opened: socket.socket, request: str) -> None:
        del request
        if isinstance(said, bytes):
            opened.sendall(said)

    server = RawServer(always if isinstance(said, bytes) else said)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()


def reply(body: str, status: str = "200 OK", *headers: str) -> bytes:
    """Give a reply with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body.encode())}", *headers]
    return "\r\n".join([*lines, "", body]).encode()
