"""The server under test, with a clock that stands until it is advanced, and clients of the SDK that never retry."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aioboto3
import pytest
from aiobotocore.config import AioConfig

from tests.aws_server import AwsServer, Clock

SESSION = aioboto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
ONCE = AioConfig(retries={"total_max_attempts": 1})


@dataclass(frozen=True)
class Clients:
    states: Any
    functions: Any
    dynamodb: Any


async def open_clients(stack: AsyncExitStack, endpoint: str) -> Clients:
    make: Any = SESSION.client
    services = ("stepfunctions", "lambda", "dynamodb")
    return Clients(
        *[await stack.enter_async_context(make(name, endpoint_url=endpoint, config=ONCE)) for name in services]
    )


@pytest.fixture
async def aws() -> AsyncIterator[AwsServer]:
    async with AwsServer.running(clock=Clock(1_000_000.0, running=False)) as server:
        yield server


@pytest.fixture
async def clients(aws: AwsServer) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        yield await open_clients(stack, aws.endpoint)
