"""Ordering faults: one method for each kind, the same for every operation of every service."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypedDict, TypeVar, Unpack

from tests.aws_server.gate import Clock
from tests.aws_server.orders import (
    DropReply,
    Fail,
    Garble,
    Hold,
    Late,
    Never,
    Order,
    Proceed,
    Selection,
    Throttle,
)
from tests.aws_server.wire import Call, Reply

Ordered = TypeVar("Ordered", bound=Order)
HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


class Choice(TypedDict, total=False):
    """Which calls an order takes, besides its operation.

    An operation is named as AWS does ("UpdateItem"), or by a pattern ("SendTask*", "dynamodb:*", "*").
    """

    times: int | None
    """how many calls; None for all until the order is cancelled. One, where it is not said otherwise"""
    skip: int
    """how many calls of those that fit go by first"""
    containing: str
    """text that the request's body contains, such as a job's id"""
    signed_by: str
    """the id of the access key that has signed the request"""
    fraction: float
    """take each call with this probability only, by a generator seeded with `seed`"""
    seed: int


class UnprocessedKeys(Order):
    """Of a BatchGetItem, the last keys of each table come back as unprocessed; the others are read."""

    def __init__(self, selection: Selection, keys: int, passed_on: "Callable[[Call], Awaitable[Reply]]") -> None:
        super().__init__(selection)
        self._keys = keys
        self._passed_on = passed_on

    async def around(self, call: Call, proceed: Proceed) -> Reply:
        del proceed
        served: dict[str, Any] = {}
        left: dict[str, Any] = {}
        for table, wanted in call.json["RequestItems"].items():
            first = max(0, len(wanted["Keys"]) - self._keys)
            for part, keys in ((served, wanted["Keys"][:first]), (left, wanted["Keys"][first:])):
                if keys:
                    part[table] = wanted | {"Keys": keys}
        found: dict[str, Any] = {"Responses": {}, "UnprocessedKeys": {}}
        if served:
            body = json.dumps(call.json | {"RequestItems": served}).encode()
            reply = await self._passed_on(Call(call.service, call.operation, body, call.headers))
            if reply.code:
                return reply
            found = json.loads(reply.body)
        self._met.hit()
        found["UnprocessedKeys"] = found.get("UnprocessedKeys", {}) | left
        return Reply(200, json.dumps(found).encode(), {"Content-Type": "application/x-amz-json-1.0"})


class RefusedStatements(Order):
    """Of a BatchExecuteStatement, the last statements are refused inside a reply of success; the others are served."""

    def __init__(
        self,
        selection: Selection,
        passed_on: "Callable[[Call], Awaitable[Reply]]",
        error: dict[str, str],
        count: int,
        *,
        applied: bool,
    ) -> None:
        super().__init__(selection)
        self._passed_on = passed_on
        self._error, self._count, self._applied = error, count, applied

    async def around(self, call: Call, proceed: Proceed) -> Reply:
        del proceed
        statements = call.json["Statements"]
        first = max(0, len(statements) - self._count)
        served: list[Any] = []
        if sent := statements if self._applied else statements[:first]:
            body = json.dumps(call.json | {"Statements": sent}).encode()
            reply = await self._passed_on(Call(call.service, call.operation, body, call.headers))
            if reply.code:
                return reply
            served = json.loads(reply.body)["Responses"][:first]
        self._met.hit()
        refused = [{"Error": self._error}] * (len(statements) - first)
        body = json.dumps({"Responses": served + refused}).encode()
        return Reply(200, body, {"Content-Type": "application/x-amz-json-1.0"})


class Faults:
    """The faults on order.

    Orders stand in line: of those that fit a call the first that was ordered decides. Holds and delays go around it.
    """

    def __init__(self, clock: Clock, pass_on: Callable[[Call], Awaitable[Reply]]) -> None:
        self._clock = clock
        self._pass_on = pass_on
        self._orders: list[Order] = []

    def fail(
        self,
        operation: str,
        *,
        code: str,
        status: int | None = None,
        message: str = "as ordered",
        **choice: Unpack[Choice],
    ) -> Fail:
        """Refuse calls with a code; without a status, with the one that the code usually has."""
        return self._add(Fail(self._selection(operation, choice), code, status, message))

    def deny(self, operation: str = "*", *, code: str = "AccessDeniedException", status: int | None = None) -> Fail:
        """Refuse all calls until the order is cancelled: AccessDeniedException, ExpiredTokenException."""
        return self.fail(operation, code=code, status=status, message="no access, as ordered", times=None)

    def throttle(
        self,
        operation: str,
        *,
        rate: float,
        burst: float = 1,
        code: str | None = None,
        **choice: Unpack[Choice],
    ) -> Throttle:
        """Let through `rate` calls a second after the first `burst`; refuse the rest, with the service's own code."""
        choice = {"times": None, **choice}
        return self._add(Throttle(self._selection(operation, choice), self._clock, rate, burst, code))

    def drop_reply(self, operation: str, *, applied: bool = True, **choice: Unpack[Choice]) -> DropReply:
        """Apply calls (or do not), and close the connection without a reply."""
        return self._add(DropReply(self._selection(operation, choice), applied=applied))

    def never_answer(self, operation: str, *, applied: bool = False, **choice: Unpack[Choice]) -> Never:
        """Accept calls and never answer them."""
        return self._add(Never(self._selection(operation, choice), applied=applied))

    def late(self, operation: str, seconds: float, *, after_apply: bool = True, **choice: Unpack[Choice]) -> Late:
        """Answer late, by the server's clock."""
        return self._add(Late(self._selection(operation, choice), self._clock, seconds, after_apply=after_apply))

    def truncate(self, operation: str, **choice: Unpack[Choice]) -> Garble:
        """Apply calls, send half of the reply and close the connection."""
        return self._add(Garble(self._selection(operation, choice), None, None, applied=True))

    def garble(
        self,
        operation: str,
        *,
        body: bytes = HTML,
        status: int | None = None,
        applied: bool = True,
        **choice: Unpack[Choice],
    ) -> Garble:
        """Apply calls (or do not), and reply with what is no JSON; with status=502, as a gateway does."""
        return self._add(Garble(self._selection(operation, choice), body, status, applied=applied))

    def unprocessed(self, keys: int = 1, **choice: Unpack[Choice]) -> UnprocessedKeys:
        """Give back the last keys of a BatchGetItem as unprocessed."""
        return self._add(UnprocessedKeys(self._selection("BatchGetItem", choice), keys, self._pass_on))

    def refuse_statements(
        self,
        *,
        code: str,
        count: int = 1,
        message: str = "as ordered",
        applied: bool = False,
        **choice: Unpack[Choice],
    ) -> RefusedStatements:
        """Refuse the last statements of a BatchExecuteStatement, which is a success all the same.

        `code` is one of those that statements have ("ThrottlingError", "ConditionalCheckFailed"). With `applied` all
        are served, and only their replies are replaced.
        """
        selection = self._selection("BatchExecuteStatement", choice)
        error = {"Code": code, "Message": message}
        return self._add(RefusedStatements(selection, self._pass_on, error, count, applied=applied))

    def hold(self, operation: str, *, after_apply: bool = False, **choice: Unpack[Choice]) -> Hold:
        """Hold calls at a failpoint until they are released: before they are applied, or before the reply is sent."""
        return self._add(Hold(self._selection(operation, choice), after_apply=after_apply))

    def clear(self) -> None:
        """Cancel every order, and release what is held."""
        orders, self._orders = self._orders, []
        for order in orders:
            order.cancel()

    async def around(self, call: Call, apply: Proceed) -> Reply:
        """Apply a call, with the faults that are ordered for it. Raises Dropped."""
        proceed, decided, stacked = apply, False, []
        for order in list(self._orders):
            if order.stacks:
                if order.takes(call):
                    stacked.append(order)
            elif not decided and order.takes(call):
                decided = True
                proceed = partial(order.around, call, apply)
        for order in stacked:
            proceed = partial(order.around, call, proceed)
        return await proceed()

    def _add(self, order: Ordered) -> Ordered:
        self._orders.append(order)
        return order

    @staticmethod
    def _selection(operation: str, choice: Choice) -> Selection:
        given: Choice = {"times": None, **choice} if "fraction" in choice else choice
        return Selection(operation, **given)
