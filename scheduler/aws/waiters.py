"""botocore's own waiters as entries: hundreds of answers to which reply means what."""

from collections.abc import Mapping
from typing import Any


def botocore_waiter(waiter: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Give the plain entry of a waiter: the call that it makes, its acceptors, and its delay and attempts as defaults.

    A job is checked by the row's own `maxAttempts` where it has one; a waiter's are counted in a script that blocks.
    """
    given = {key: value for key, value in waiter.items() if key != "name"}
    keys = ("state", "matcher", "expected", "argument")
    return {
        "aws": {**given, "operation": model["operation"]},
        "acceptors": [{key: each[key] for key in keys if key in each} for each in model["acceptors"]],
        "interval_seconds": model["delay"],
        "max_attempts": model["maxAttempts"],
    }
