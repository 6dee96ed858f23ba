"""Many executions at once: starting them, and waiting until they have ended, within the quotas of an account."""

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any

from scheduler.aws.patience import Patience
from scheduler.aws.workflows import Execution, Workflows

_AT_ONCE = 10  # executions started at the same time
DESCRIBED_PER_SECOND = 8.0
"""AWS's page of service quotas lists a bucket of 250 calls of DescribeExecution for each account and region, refilled
with 10 a second; in three regions 300 and 15. Others in the account look at executions, too."""
_LOOK_EVERY_SECONDS = 1.0


async def started(workflows: Workflows, given: dict[str, Any], count: int, patience: Patience) -> AsyncGenerator[str]:
    """Start so many executions, a few at a time, and give the ARN of each at once when it has started.

    Where one cannot be started no more are, and those that have are given before that is raised: MissingError or
    CloudError.
    """
    await workflows.arn()
    failure: BaseException | None = None
    starting: set[asyncio.Task[str]] = set()
    left = count
    try:
        while starting or (left and failure is None):
            while left and failure is None and len(starting) < _AT_ONCE:
                left -= 1
                # A name of its own: one whose reply was lost and that is asked for again is not started twice.
                start = partial(workflows.start, given, str(uuid.uuid4()))
                starting.add(asyncio.create_task(patience.served(start)))
            done, starting = await asyncio.wait(starting, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                if error := each.exception():
                    failure = failure or error
                else:
                    yield each.result()
    finally:
        for each in starting:
            each.cancel()
    if failure:
        raise failure


async def watched(
    workflows: Workflows,
    arns: list[str],
    patience: Patience,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncGenerator[Execution]:
    """Look at executions in turn until each has ended, and give how each stands with every look. Raises CloudError.

    A few are looked at each second; many are looked at more seldom, for all of them share one quota.
    """
    running = deque(arns)
    while running:
        arn = running.popleft()
        execution = await patience.served(partial(workflows.describe, arn))
        if not execution.ended:
            running.append(arn)
        yield execution
        if running:
            await sleep(max(1 / DESCRIBED_PER_SECOND, _LOOK_EVERY_SECONDS / len(running)))
