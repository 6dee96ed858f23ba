"""The faults of single calls: a tenth of them fail, a twentieth are applied and their replies dropped."""

import random
from collections import Counter

from tests.aws_server import AwsServer, Order
from tests.aws_server.orders import DropReply, Proceed, Selection
from tests.aws_server.wire import Call, Reply
from tests.soak.plan import Throttle

FAILED = 0.10
DROPPED = 0.05
_CODES = {
    "dynamodb:*": ["InternalServerError", "ProvisionedThroughputExceededException", "ThrottlingException"],
    "states:*": ["ServiceUnavailable", "InternalFailure", "ThrottlingException"],
    "lambda:*": ["ServiceException", "TooManyRequestsException"],
}
_LATE = 0.4
_LATE_SECONDS = 0.25
"""Some calls take their time, so that a replica that is killed is mostly killed in the midst of something."""


class DroppedReplies(DropReply):
    """Applies calls and drops their replies, and counts the checks among them by job: the SDK makes those again."""

    def __init__(self, selection: Selection) -> None:
        super().__init__(selection, applied=True)
        self.checks: Counter[str] = Counter()

    async def around(self, call: Call, proceed: Proceed) -> Reply:
        if call.operation == "Invoke":
            self.checks[call.json["jobId"]] += 1
        return await super().around(call, proceed)


class Chaos:
    """The faults on order during the chaos, and how many calls each kind has met."""

    def __init__(self, aws: AwsServer, seed: int) -> None:
        self._aws = aws
        self._orders: dict[str, list[Order]] = {}
        chance = random.Random(seed)

        def order(kind: str, given: Order) -> None:
            self._orders.setdefault(kind, []).append(given)

        for operation, codes in _CODES.items():
            share = FAILED / (len(codes) + 1)
            taken = 0.0
            for code in codes:
                fraction, taken = share / (1 - taken), taken + share
                order(f"failed: {code}", aws.faults.fail(operation, code=code, fraction=fraction, seed=_seed(chance)))
            bad_gateway = aws.faults.garble(
                operation, status=502, applied=False, fraction=share / (1 - taken), seed=_seed(chance)
            )
            order("failed: a gateway's page with status 502", bad_gateway)
        # Those that failed never come here.
        self.dropped = DroppedReplies(Selection("*", None, fraction=DROPPED / (1 - FAILED), seed=_seed(chance)))
        order("applied, reply dropped", aws.faults._add(self.dropped))
        for after_apply in (False, True):
            late = aws.faults.late("*", _LATE_SECONDS, after_apply=after_apply, fraction=_LATE / 2, seed=_seed(chance))
            order("late", late)

    def throttle(self, burst: Throttle) -> Order:
        """Begin a burst of throttling; whoever ordered it cancels it."""
        order = self._aws.faults.throttle(burst.operation, rate=burst.rate, burst=1)
        self._orders.setdefault("throttled in bursts", []).append(order)
        return order

    def met(self) -> dict[str, int]:
        """Count the calls that each kind has met."""
        return {kind: sum(order.met for order in orders) for kind, orders in sorted(self._orders.items())}


def _seed(chance: random.Random) -> int:
    return chance.getrandbits(32)
