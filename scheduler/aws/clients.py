"""Clients: one per service for the life of the process, since making one costs about 150 ms of CPU."""

import ipaddress
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import NoRegionError

from scheduler.aws.clock_skew import ClockSkew
from scheduler.core.timing import SEND_TIMEOUT_SECONDS
from scheduler.errors import CloudError

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_iam import IAMClient
    from types_aiobotocore_lambda import LambdaClient
    from types_aiobotocore_stepfunctions import SFNClient
    from types_aiobotocore_sts import STSClient

LOCAL_REGION = "us-east-1"
_CONNECT_SECONDS = 1.0
_SHORT_SECONDS = SEND_TIMEOUT_SECONDS - _CONNECT_SECONDS
_TRIES = 3
_SPARE_CONNECTIONS = 8
"""For finding, sweeping and probing, beside the polls."""
_PATIENT_SECONDS = 30.0


def local_endpoint(environment: Mapping[str, str] = os.environ) -> str | None:
    """Give the endpoint that the environment names, where it lies on this machine; None otherwise."""
    url = environment.get("AWS_ENDPOINT_URL")
    host = urlsplit(url).hostname if url else None
    if not host:
        return None
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost" or host.endswith(".localhost.localstack.cloud")
    return url if local else None


def open_session(environment: Mapping[str, str] = os.environ) -> aioboto3.Session:
    """Make the session that the standard AWS variables describe.

    A local cloud takes any credentials and has one region, so that neither need be set for one.
    """
    given: dict[str, Any] = {}
    if local_endpoint(environment):
        if not environment.keys() & {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"}:
            given |= {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        if not environment.keys() & {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"}:
            given["region_name"] = LOCAL_REGION
    # The SDK for Python reads AWS_DEFAULT_REGION alone; every other SDK, and Lambda, say AWS_REGION.
    if environment.get("AWS_REGION"):
        given["region_name"] = environment["AWS_REGION"]
    return aioboto3.Session(**given)


class WithDynamoDB(Protocol):
    """Whatever has a client of DynamoDB."""

    @property
    def dynamodb(self) -> "DynamoDBClient":
        """The client to call now."""
        ...


class WithFunctions(Protocol):
    """Whatever has a client of Lambda."""

    @property
    def functions(self) -> "LambdaClient":
        """The client to call now."""
        ...


class WithAnswers(Protocol):
    """Whatever has a client of Step Functions that never retries by itself."""

    @property
    def answers(self) -> "SFNClient":
        """The client to call now."""
        ...


class Clients:
    """The clients that polling needs: one for each service, made anew where their credentials are refused.

    Whoever holds this asks it for a client with each call, and so has the newest. `answers` and `functions` never retry
    by themselves: the protocol counts each answer and each check.
    """

    dynamodb: "DynamoDBClient"
    answers: "SFNClient"
    functions: "LambdaClient"

    def __init__(self, slots: int, invoke_seconds: float, skew: ClockSkew) -> None:
        """Take how many calls go on at once, the longest that a Lambda may take to reply, and who looks at the time."""
        self._slots = slots
        self._invoke_seconds = invoke_seconds
        self._skew = skew
        self._open: list[AsyncExitStack] = []

    async def renew(self) -> None:
        """Make all clients anew, and with them read the credentials again; calls under way end on the old ones."""
        stack = AsyncExitStack()
        client = await stack.enter_async_context(_opened())

        async def polling(service: str, read_seconds: float, tries: int) -> Any:
            config = AioConfig(
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=read_seconds,
                max_pool_connections=self._slots + _SPARE_CONNECTIONS,
                retries={"mode": "standard", "total_max_attempts": tries},
                tcp_keepalive=True,
            )
            made = await client(service, config)
            made.meta.events.register("after-call", self._skew.hear)
            return made

        try:
            dynamodb = await polling("dynamodb", _SHORT_SECONDS, _TRIES)
            answers = await polling("stepfunctions", _SHORT_SECONDS, 1)
            functions = await polling("lambda", self._invoke_seconds, 1)
        except BaseException:
            await stack.aclose()
            raise
        self.dynamodb, self.answers, self.functions = dynamodb, answers, functions
        self._open.append(stack)
        # Those before the last ones have served their last call by now.
        for old in self._open[:-2]:
            await old.aclose()
        del self._open[:-2]

    async def aclose(self) -> None:
        """Close all that is open."""
        while self._open:
            await self._open.pop().aclose()


@dataclass(frozen=True, slots=True)
class AdminClients:
    """The clients of the commands that a person types: patient, with the SDK's own retries."""

    dynamodb: "DynamoDBClient"
    stepfunctions: "SFNClient"
    functions: "LambdaClient"
    iam: "IAMClient"
    sts: "STSClient"


@asynccontextmanager
async def polling_clients(slots: int, invoke_seconds: float, skew: ClockSkew) -> AsyncIterator[Clients]:
    """Open the clients for polling. Raises CloudError."""
    clients = Clients(slots, invoke_seconds, skew)
    try:
        await clients.renew()
        yield clients
    finally:
        await clients.aclose()


@asynccontextmanager
async def admin_clients() -> AsyncIterator[AdminClients]:
    """Open the clients for the commands that a person types."""
    config = AioConfig(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_PATIENT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _TRIES},
    )
    async with _opened() as client:
        yield AdminClients(
            await client("dynamodb", config),
            await client("stepfunctions", config),
            await client("lambda", config),
            await client("iam", config),
            await client("sts", config),
        )


@asynccontextmanager
async def _opened() -> AsyncIterator[Any]:
    make: Any = open_session().client  # typed by one overload for each service of AWS, and called with a variable
    async with AsyncExitStack() as stack:

        async def client(service: str, config: AioConfig) -> Any:
            try:
                return await stack.enter_async_context(make(service, config=config))
            except NoRegionError as error:
                message = "no AWS region is set: set AWS_REGION, or AWS_ENDPOINT_URL for a local cloud"
                raise CloudError(message) from error

        yield client
