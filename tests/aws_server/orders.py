"""Fault orders: each stands around the calls that it selects, and decides what becomes of them."""

import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from types import TracebackType
from typing import ClassVar, Self

from tests.aws_server.gate import PATIENCE_SECONDS, Clock, Gate, Tally
from tests.aws_server.wire import THROTTLED, Call, Dropped, Reply, refusal

Proceed = Callable[[], Awaitable[Reply]]


@dataclass(slots=True)
class Selection:
    """Which calls an order takes: see `tests.aws_server.faults.Choice`."""

    operation: str
    times: int | None = 1
    skip: int = 0
    containing: str = ""
    signed_by: str = ""
    fraction: float = 1.0
    seed: int = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def takes(self, call: Call) -> bool:
        """Tell whether this call is taken, and count it."""
        if self.times == 0 or not self._fits(call) or self._random.random() >= self.fraction:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True

    def _fits(self, call: Call) -> bool:
        names = (call.operation, f"{call.service}:{call.operation}")
        signed = f"Credential={self.signed_by}" in call.headers.get("Authorization", "") or not self.signed_by
        fits = any(fnmatchcase(name, self.operation) for name in names)
        return fits and signed and self.containing.encode() in call.body


class Order(ABC):
    """A fault on order; as a context manager it is cancelled at the end."""

    stacks: ClassVar[bool] = False
    """Whether it goes around whatever another order makes of the call, instead of being the one that decides."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._met = Tally(f"{type(self).__name__} of {selection.operation}")

    @property
    def met(self) -> int:
        """How many calls it has met."""
        return self._met.count

    async def reached(self, count: int = 1, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until it has met so many calls. Raises TimeoutError."""
        await self._met.reached(count, seconds)

    def wait(self, count: int = 1, seconds: float = PATIENCE_SECONDS) -> None:
        """Do the same in a thread without a loop."""
        self._met.wait(count, seconds)

    def cancel(self) -> None:
        """Take no more calls."""
        self._selection.times = 0

    def takes(self, call: Call) -> bool:
        """Tell whether this call is taken, and count it."""
        return self._selection.takes(call)

    @abstractmethod
    async def around(self, call: Call, proceed: Proceed) -> Reply:
        """Make of a call what was ordered; `proceed` applies it. Raises Dropped."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


class Fail(Order):
    """The call is refused and not applied."""

    def __init__(self, selection: Selection, code: str, status: int | None, message: str) -> None:
        super().__init__(selection)
        self._code, self._status, self._message = code, status, message

    async def around(self, call: Call, proceed: Proceed) -> Reply:
        del proceed
        self._met.hit()
        return refusal(call, self._code, self._message, self._status)


class Throttle(Order):
    """A token bucket: calls that find it empty are refused."""

    def __init__(self, selection: Selection, clock: Clock, rate: float, burst: float, code: str | None) -> None:
        super().__init__(selection)
        self._clock, self._rate, self._burst, self._code = clock, rate, burst, code
        self._left, self._at = burst, clock.now()

    def takes(self, call: Call) -> bool:
        if not super().takes(call):
            return False
        now = self._clock.now()
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return True
        self._left -= 1
        return False

    async def around(self, call: Call, proceed: Proceed) -> Reply:
        del proceed
        self._met.hit()
        return refusal(call, self._code or THROTTLED[call.service], "Rate exceeded")


class DropReply(Order):
    """The call is applied, or not, and the connection closed without a reply."""

    def __init__(self, selection: Selection, *, applied: bool) -> None:
        super().__init__(selection)
        self._applied = applied

    async def around(self, call: Call, proceed: Proceed) -> Reply:
        del call
        if self._applied:
            await proceed()
        self._met.hit()
        raise Dropped


class Never(Order):
    """The call is accepted, applied or not, and never answered; cancelling closes the connections that still hang."""

    def __init__(self, selection: Selection, *, applied: bool) -> None:
        super().__init__(selection)
        self._applied = applied
        self._end = Gate()

    def cancel(self) -> None:
        super().cancel()
        self._end.open()

    async def around(self, call: Call, proceed: Proceed) -> Reply:
        del call
        if self._applied:
            await proceed()
        self._met.hit()
        await self._end.passed(None)
        raise Dropped


class Garble(Order):
    """The call is applied, or not, and its reply cut in half or replaced by something else."""

    def __init__(self, selection: Selection, replacement: bytes | None, status: int | None, *, applied: bool) -> None:
        super().__init__(selection)
        self._replacement, self._status, self._applied = replacement, status, applied

    async def around(self, call: Call, proceed: Proceed) -> Reply:
        good = await proceed() if self._applied else refusal(call, "NotApplied", "not applied", 200)
        self._met.hit()
        if self._replacement is None:
            return replace(good, cut=True, code="cut")
        status = self._status or good.status
        return Reply(status, self._replacement, {"Content-Type": "text/html"}, code="garbled")


class Late(Order):
    """The call waits, by the server's clock, before it is applied or before its reply is sent."""

    stacks = True

    def __init__(self, selection: Selection, clock: Clock, seconds: float, *, after_apply: bool) -> None:
        super().__init__(selection)
        self._clock, self._seconds, self._after_apply = clock, seconds, after_apply

    async def around(self, call: Call, proceed: Proceed) -> Reply:
        del call
        done = await proceed() if self._after_apply else None
        moment = self._clock.now() + self._seconds
        self._met.hit()
        await self._clock.until(moment)
        return done or await proceed()


class Hold(Order):
    """A failpoint: the call stands before it is applied, or before its reply is sent, until it is released."""

    stacks = True

    def __init__(self, selection: Selection, *, after_apply: bool) -> None:
        super().__init__(selection)
        self._after_apply = after_apply
        self._released = Gate()

    def release(self) -> None:
        """Let every held call go on, and those that come."""
        self._released.open()

    def cancel(self) -> None:
        super().cancel()
        self.release()

    async def around(self, call: Call, proceed: Proceed) -> Reply:
        del call
        done = await proceed() if self._after_apply else None
        self._met.hit()
        await self._released.passed(None)
        return done or await proceed()
