"""The control API over HTTP, where the server is another process: `POST /_control/<method>` with named arguments.

What a method of the Python API gives comes back as JSON under "given"; an order as its number, which
`order.cancel`, `order.release`, `order.met` and `order.reached` take.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.aws_server.orders import Hold, Order
from tests.aws_server.wire import RefusedError

if TYPE_CHECKING:
    from tests.aws_server.server import AwsServer

_FAULTS = (
    "clear",
    "deny",
    "drop_reply",
    "fail",
    "garble",
    "hold",
    "late",
    "never_answer",
    "refuse_statements",
    "throttle",
    "truncate",
    "unprocessed",
)
_TOKENS = ("of", "status", "stop", "unknown", "waiting")
_JOBS = ("add", "all_checks", "asked_together", "checked", "checks", "release_hung")


class Control:
    """Answers control requests of one server."""

    def __init__(self, server: "AwsServer") -> None:
        self._orders: dict[int, Order] = {}
        self._methods: dict[str, Callable[..., Any]] = {
            **{f"faults.{name}": getattr(server.faults, name) for name in _FAULTS},
            **{f"tokens.{name}": getattr(server.tokens, name) for name in _TOKENS},
            **{f"jobs.{name}": getattr(server.jobs, name) for name in _JOBS},
            "functions.add": server.functions.add_source,
            "functions.remove": server.functions.remove,
            "functions.deliver": server.functions.deliver,
            "clock.now": server.clock.now,
            "clock.advance": server.clock.advance,
            "ledger.answers": lambda token: server.ledger[token],
            "ledger.offers": server.ledger.offers,
            "ledger.heartbeats": server.ledger.heartbeats,
            "ledger.repeated": server.ledger.repeated,
            "calls": lambda: dict(server.calls),
            "statements": lambda: server.statements,
            "order.cancel": lambda order: self._orders[order].cancel(),
            "order.release": self._release,
            "order.met": lambda order: self._orders[order].met,
            "order.reached": lambda order, **how: self._orders[order].reached(**how),
        }

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request: 200, or 400 with the reason under "error"."""
        method = self._methods.get(request.match_info["method"])
        if method is None:
            return web.json_response({"error": f"no such method; there are {sorted(self._methods)}"}, status=404)
        arguments = await request.json() if request.can_read_body else {}
        if isinstance(arguments.get("body"), str):
            arguments["body"] = arguments["body"].encode()
        try:
            given = method(**arguments)
            if inspect.isawaitable(given):
                given = await given
        except (TypeError, ValueError, KeyError, TimeoutError, RefusedError) as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
        return web.json_response({"given": self._plain(given)})

    def _plain(self, given: Any) -> Any:
        if isinstance(given, Order):
            number = len(self._orders) + 1
            self._orders[number] = given
            return number
        if isinstance(given, list):
            return [self._plain(one) for one in given]
        if dataclasses.is_dataclass(given) and not isinstance(given, type):
            return dataclasses.asdict(given)
        return given

    def _release(self, order: int) -> None:
        held = self._orders[order]
        if not isinstance(held, Hold):
            message = f"order {order} holds nothing"
            raise TypeError(message)
        held.release()
