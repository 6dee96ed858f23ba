"""Creates the job of one waiting task, and the token row by which a poller finds it.

Both steps are safe to repeat: the job's idempotency key comes from the entry into the waiting state, however often Step
Functions tries that state again, and the row is only ever created or given the newer token of the same entry. Raising
ends the waiting state, or has it tried again where its definition says so. The token itself goes into the row and
nowhere else.
"""

import functools
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as UnconnectedError

from job_request import Request, read_request
from scheduler.core.instant import Instant
from waiting_row import TokenConflictError, UnsettledError, WaitingRows

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient

__all__ = ["JobCreationError", "JobCreator", "TokenConflictError", "UnavailableError", "handler"]

_SHOWN = 300  # characters of somebody else's error that go into ours
_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_OUT_OF_ORDER = 500  # the least of HTTP's codes by which a service says that it is at fault itself


class JobCreationError(Exception):
    """The job could not be created."""


class UnavailableError(Exception):
    """A service is throttled, out of order or out of reach. The state machine's Retry knows this name."""


@dataclass(frozen=True, slots=True)
class JobCreator:
    """Creates jobs at the simulated API and their rows in the token table."""

    dynamodb: "DynamoDBClient"
    functions: "LambdaClient"
    table: str
    api_function: str
    shards: int
    clock: Callable[[], Instant]

    def create(self, event: Any) -> dict[str, Any]:
        """Create the job and the row that an event asks for.

        Raises ValueError where the event cannot be understood, UnavailableError where another try may succeed.
        """
        request = read_request(event)
        try:
            return {"jobId": self._waiting_job(request), "status": "WAITING"}
        except (ClientError, BotoCoreError, UnsettledError) as error:
            if not _passing(error):
                raise
            # Without its cause: a service's own message may repeat what was sent, the token too.
            raise UnavailableError(request.token.scrub(str(error))) from None

    def _waiting_job(self, request: Request) -> str:
        """Give the job in whose row the token waits: the entry's first one that has had no end yet."""
        rows = WaitingRows(self.dynamodb, self.table, self.shards)
        spent: set[str] = set()
        while True:
            job_id = self._create_job(request, len(spent))
            if job_id in spent:
                message = f"another task had job {job_id}, and {self.api_function} gives no other one"
                raise TokenConflictError(message)
            if rows.wait(job_id, request, self.clock()):
                return job_id
            spent.add(job_id)

    def _create_job(self, request: Request, number: int) -> str:
        data = request.record.get("data", {})
        payload = {
            **(data if isinstance(data, dict) else {"data": data}),
            "recordId": request.record["id"],
            "idempotencyKey": request.idempotency_key(number),
        }
        asked = json.dumps({"action": "CREATE_JOB", "payload": payload}).encode()
        reply = self.functions.invoke(FunctionName=self.api_function, Payload=asked)
        body = reply["Payload"].read()
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        match answer:
            case {"jobId": str(job_id)} if job_id and "FunctionError" not in reply:
                return job_id
        message = f"{self.api_function} created no job; it replied {body[:_SHOWN].decode(errors='replace')}"
        raise JobCreationError(message)


def _passing(error: Exception) -> bool:
    """Tell whether an error says nothing of the request, so that the same one may succeed later."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error.response["Error"]["Code"] in _THROTTLED or status >= _OUT_OF_ORDER
    return isinstance(error, HTTPClientError | UnconnectedError | UnsettledError)


@functools.cache
def _creator() -> JobCreator:
    # Every call may be repeated, the invocation too: the simulated API knows the idempotency key.
    retries: Any = {"mode": "standard", "total_max_attempts": 3}
    return JobCreator(
        dynamodb=boto3.client("dynamodb", config=Config(connect_timeout=2, read_timeout=4, retries=retries)),
        # Long enough for the cold start of a function in an emulator's container.
        functions=boto3.client("lambda", config=Config(connect_timeout=2, read_timeout=15, retries=retries)),
        table=os.environ.get("SCHEDULER_TOKEN_TABLE", "poc-task-tokens"),
        api_function=os.environ.get("SCHEDULER_SIMULATED_API_FUNCTION", "poc-simulated-api"),
        shards=int(os.environ.get("SCHEDULER_SHARDS", "4")),
        clock=lambda: time.time_ns() // 1_000_000,
    )


def handler(event: Any, context: object) -> dict[str, Any]:
    """Create the job and the token row of one waiting task; see `job_request` for the event."""
    del context
    return _creator().create(event)
