"""The default source: a Lambda function that takes CHECK_STATUS."""

from collections.abc import Sequence
from typing import Protocol

from scheduler.core.check_replies import NotTogether, Report
from scheduler.core.invocation import (
    Invocation,
    NoInvocation,
    batch_payload,
    check_payload,
    read_batch,
    read_check,
)
from scheduler.core.token_row import TokenRow


class Invoker(Protocol):
    """Whoever can invoke Lambda functions."""

    async def invoke(self, name: str, payload: bytes) -> Invocation | NoInvocation:
        """Invoke a function and wait for its reply."""
        ...

    async def probe(self, name: str) -> None:
        """Ask whether a function is there. Raises MissingError or CloudError where it is not."""
        ...


class LambdaSource:
    """Asks `{"action": "CHECK_STATUS", "jobId"}` of a Lambda function, or `"jobIds"` for several jobs."""

    def __init__(self, functions: Invoker, name: str) -> None:
        self._functions = functions
        self._name = name

    async def check(self, row: TokenRow) -> Report:
        """Ask for one job's status."""
        return read_check(await self._functions.invoke(self._name, check_payload(row.job_id)))

    async def check_together(self, rows: Sequence[TokenRow]) -> list[Report] | NotTogether:
        """Ask for the status of several jobs in one invocation."""
        payload = batch_payload([row.job_id for row in rows])
        return read_batch(await self._functions.invoke(self._name, payload), len(rows))

    async def probe(self) -> None:
        """Ask whether the function is there. Raises MissingError or CloudError where it is not."""
        await self._functions.probe(self._name)
