"""The faults of single calls: a tenth of them fail, a twentieth are applied and never confirmed, and more."""

import random

from tests.aws_server import AwsServer, Order
from tests.soak.plan import Throttle

FAILED = 0.10
DROPPED = 0.05
GARBLED = 0.03
IN_PART = 0.10
_CODES = {
    "dynamodb:*": ["InternalServerError", "ProvisionedThroughputExceededException", "ThrottlingException"],
    "states:*": ["ServiceUnavailable", "InternalFailure", "ThrottlingException"],
    "lambda:*": ["ServiceException", "TooManyRequestsException"],
}
_STATEMENT_CODES = ("ThrottlingError", "InternalServerError")
_LATE = 0.4
_LATE_SECONDS = 0.25
"""Some calls take their time, so that a replica that is killed is mostly killed in the midst of something."""


class Chaos:
    """The faults on order during the chaos, and how many calls each kind has met."""

    def __init__(self, aws: AwsServer, seed: int) -> None:
        self._aws = aws
        self._orders: dict[str, list[Order]] = {}
        chance = random.Random(seed)

        def order(kind: str, given: Order) -> None:
            self._orders.setdefault(kind, []).append(given)

        for operation, codes in _CODES.items():
            service = operation.partition(":")[0]
            share = FAILED / (len(codes) + 1)
            taken = 0.0
            for code in codes:
                fraction, taken = share / (1 - taken), taken + share
                order(
                    f"failed: {service} {code}",
                    aws.faults.fail(operation, code=code, fraction=fraction, seed=_seed(chance)),
                )
            bad_gateway = aws.faults.garble(
                operation, status=502, applied=False, fraction=share / (1 - taken), seed=_seed(chance)
            )
            order(f"failed: {service} 502", bad_gateway)
        # Those that failed never come here, and so on: of the orders in line the first one decides.
        left = 1 - FAILED
        order("dropped", aws.faults.drop_reply("*", fraction=DROPPED / left, seed=_seed(chance)))
        left -= DROPPED
        order("garbled: no JSON", aws.faults.garble("*", fraction=GARBLED / 2 / left, seed=_seed(chance)))
        left -= GARBLED / 2
        order("garbled: cut off", aws.faults.truncate("*", fraction=GARBLED / 2 / left, seed=_seed(chance)))
        for code in _STATEMENT_CODES:
            refused = aws.faults.refuse_statements(code=code, fraction=IN_PART, seed=_seed(chance))
            order("batches in part: writes", refused)
        order("batches in part: reads", aws.faults.unprocessed(fraction=IN_PART, seed=_seed(chance)))
        for after_apply in (False, True):
            late = aws.faults.late("*", _LATE_SECONDS, after_apply=after_apply, fraction=_LATE / 2, seed=_seed(chance))
            order("late", late)

    def throttle(self, burst: Throttle) -> Order:
        """Begin a burst of throttling; whoever ordered it cancels it."""
        order = self._aws.faults.throttle(burst.operation, rate=burst.rate, burst=1)
        self._orders.setdefault("throttled", []).append(order)
        return order

    def met(self) -> dict[str, int]:
        """Count the calls that each kind has met."""
        return {kind: sum(order.met for order in orders) for kind, orders in sorted(self._orders.items())}


def _seed(chance: random.Random) -> int:
    return chance.getrandbits(32)
