"""Clients: one per service for the life of the process, since making one costs about 150 ms of CPU."""

import ipaddress
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import NoRegionError

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


@dataclass(frozen=True, slots=True)
class Clients:
    """The clients that polling needs. `answers` never retries by itself: the protocol counts each try."""

    dynamodb: "DynamoDBClient"
    answers: "SFNClient"
    functions: "LambdaClient"


@dataclass(frozen=True, slots=True)
class AdminClients:
    """The clients of the commands that a person types: patient, with the SDK's own retries."""

    dynamodb: "DynamoDBClient"
    stepfunctions: "SFNClient"
    functions: "LambdaClient"
    iam: "IAMClient"
    sts: "STSClient"


@asynccontextmanager
async def polling_clients(concurrency: int, invoke_seconds: float, *, retry_invoke: bool) -> AsyncIterator[Clients]:
    """Open the clients for polling; `invoke_seconds` is the longest that a Lambda may take to reply.

    Asking for a status may be repeated; a poller written by somebody else may not be, so `retry_invoke` decides.
    """

    def config(read_seconds: float, tries: int) -> AioConfig:
        return AioConfig(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=read_seconds,
            max_pool_connections=concurrency + 2,
            retries={"mode": "standard", "total_max_attempts": tries},
            tcp_keepalive=True,
        )

    async with _opened() as client:
        yield Clients(
            await client("dynamodb", config(_SHORT_SECONDS, _TRIES)),
            await client("stepfunctions", config(_SHORT_SECONDS, 1)),
            await client("lambda", config(invoke_seconds, _TRIES if retry_invoke else 1)),
        )


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
