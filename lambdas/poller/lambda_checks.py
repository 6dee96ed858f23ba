"""Checks of a source that is a Lambda function, which takes CHECK_STATUS."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scheduler.core.check_replies import NotTogether, Report
from scheduler.core.invocation import (
    Invocation,
    NoInvocation,
    batch_payload,
    check_payload,
    not_invoked,
    read_batch,
    read_check,
)
from scheduler.core.service_calls import call_error
from scheduler.core.token_row import TokenRow
from sdk_errors import SDK_ERRORS

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


@dataclass(frozen=True, slots=True)
class LambdaChecks:
    """Asks a function for one job, or for as many as `most` at once."""

    functions: "LambdaClient"
    name: str
    most: int = 1

    def check(self, row: TokenRow) -> Report:
        """Ask for one job's status."""
        return read_check(self._invoke(check_payload(row.job_id)))

    def check_together(self, rows: Sequence[TokenRow]) -> list[Report] | NotTogether:
        """Ask for the status of several jobs in one invocation."""
        return read_batch(self._invoke(batch_payload([row.job_id for row in rows])), len(rows))

    def _invoke(self, payload: bytes) -> Invocation | NoInvocation:
        try:
            reply = self.functions.invoke(FunctionName=self.name, Payload=payload)
            body = reply["Payload"].read()
        except SDK_ERRORS as error:
            return not_invoked(self.name, call_error(error))
        return Invocation(body, failed="FunctionError" in reply)
