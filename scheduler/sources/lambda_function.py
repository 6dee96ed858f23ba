"""The default source: a Lambda function that takes CHECK_STATUS."""

from typing import Protocol

from scheduler.core.check_replies import Report
from scheduler.core.invocation import Invocation, NoInvocation, check_payload, read_check
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
    """Asks `{"action": "CHECK_STATUS", "jobId"}` of a Lambda function."""

    def __init__(self, functions: Invoker, name: str) -> None:
        self._functions = functions
        self._name = name

    async def check(self, row: TokenRow) -> Report:
        """Ask for one job's status."""
        return read_check(await self._functions.invoke(self._name, check_payload(row.job_id)))

    async def probe(self) -> None:
        """Ask whether the function is there. Raises MissingError or CloudError where it is not."""
        await self._functions.probe(self._name)
