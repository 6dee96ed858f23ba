"""Clients: one per service for the life of the process, since making one costs about 150 ms of CPU."""

import ipaddress
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from scheduler.aws.brief_calls import brief_calls
from scheduler.aws.clock_skew import ClockSkew
from scheduler.aws.environment import check_environment, not_opened
from scheduler.aws.name_lookup import TimedResolver
from scheduler.aws.whereabouts import note_whereabouts
from scheduler.core.timing import SEND_TIMEOUT_SECONDS

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
_KEPT_OPEN_SECONDS = 12
"""For how long a connection that nobody uses is kept open: the SDK's own default."""


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

    A local cloud takes any credentials and has one region, so that neither need be set for one. Raises SettingsError.
    """
    check_environment(environment)
    given: dict[str, Any] = {}
    if local_endpoint(environment):
        is_set = {name for name, value in environment.items() if value}
        if not is_set & {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"}:
            given |= {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        if not is_set & {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"}:
            given["region_name"] = LOCAL_REGION
    # The SDK for Python reads AWS_DEFAULT_REGION alone; every other SDK, and Lambda, say AWS_REGION.
    if environment.get("AWS_REGION"):
        given["region_name"] = environment["AWS_REGION"]
    try:
        session = aioboto3.Session(**given)
    except BotoCoreError as error:
        raise not_opened(error, environment) from error
    session.events.register("creating-client-class", note_whereabouts)
    return session


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
        self._outdated: list[float] = []
        self._credentials: object = None

    async def renew(self) -> None:
        """Read the credentials again, and make all clients anew where they are others; raises CloudError.

        Calls under way end on the old clients. A right that is missing is not mended by new ones.
        """
        session = open_session()
        credentials = await _credentials(session)
        if self._open and credentials == self._credentials:
            return
        stack, resolver = AsyncExitStack(), TimedResolver()
        client = await stack.enter_async_context(_opened(session))

        async def polling(service: str, read_seconds: float, tries: int) -> Any:
            config = AioConfig(
                connector_args={"resolver": resolver, "keepalive_timeout": _KEPT_OPEN_SECONDS},
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
        self._credentials = credentials
        if self._open:
            self._outdated.append(time.monotonic())
        self._open.append(stack)
        # The longest call is an invocation; before it is over, its check would be spent with the client.
        while self._outdated and time.monotonic() - self._outdated[0] > self._invoke_seconds + _PATIENT_SECONDS:
            del self._outdated[0]
            await self._open.pop(0).aclose()

    async def aclose(self) -> None:
        """Close all that is open."""
        while self._open:
            await self._open.pop().aclose()


@dataclass(frozen=True, slots=True)
class AdminClients:
    """The clients of the commands that a person types."""

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
async def admin_clients(*, brief: bool = False, once: bool = False) -> AsyncIterator[AdminClients]:
    """Open the clients for the commands that a person types. Raises SettingsError or CloudError.

    With `brief` each call is tried once and has a deadline; with `once` a silent endpoint is asked but once, too.
    """
    brief = brief or once
    config = AioConfig(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_PATIENT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 1 if brief else _TRIES},
    )
    async with _opened(open_session(), brief_calls(once=once) if brief else None) as client:
        yield AdminClients(
            await client("dynamodb", config),
            await client("stepfunctions", config),
            await client("lambda", config),
            await client("iam", config),
            await client("sts", config),
        )


@asynccontextmanager
async def _opened(session: aioboto3.Session, made: Callable[..., None] | None = None) -> AsyncIterator[Any]:
    if made:
        session.events.register("creating-client-class", made)
    make: Any = session.client  # typed by one overload for each service of AWS, and called with a variable
    async with AsyncExitStack() as stack:

        async def client(service: str, config: AioConfig) -> Any:
            try:
                return await stack.enter_async_context(make(service, config=config))
            except (BotoCoreError, ValueError) as error:
                raise not_opened(error, os.environ) from error

        yield client


async def _credentials(session: aioboto3.Session) -> object:
    """Read a session's credentials, to compare them; None where there are none or none that can be read."""
    found: Any = None
    with suppress(BotoCoreError, ClientError, OSError, TimeoutError):
        found = await session.get_credentials()  # type: ignore[misc]  # typed as boto3's own, which is no coroutine
        return found and await found.get_frozen_credentials()
    return None
