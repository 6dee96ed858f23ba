"""Events for Lambda functions, as the SDK sends them and a server with AWS's semantics takes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from scheduler.aws.functions import Functions
from scheduler.core.invocation import NoInvocation
from scheduler.core.service_calls import Refusal
from tests.aws_server import AwsServer
from tests.unit.aws_server.conftest import open_clients

EVENT = b'{"jobIds": ["a"], "dueBy": 1}'


@pytest.fixture
async def aws() -> AsyncIterator[AwsServer]:
    async with AwsServer.running() as server:
        yield server


@pytest.fixture
async def functions(aws: AwsServer) -> AsyncIterator[Functions]:
    async with AsyncExitStack() as stack:
        yield Functions(await open_clients(stack, aws.endpoint))


async def test_an_event_is_handed_over_and_not_waited_for(aws: AwsServer, functions: Functions) -> None:
    taken: list[Any] = []
    gate = asyncio.Event()

    async def poller(event: Any) -> None:
        await gate.wait()
        taken.append(event)

    aws.functions.add("poller", poller)
    assert await functions.hand_over("poller", EVENT) is None
    assert taken == []
    gate.set()
    await aws.functions.settled()
    assert taken == [{"jobIds": ["a"], "dueBy": 1}]


@pytest.mark.parametrize(
    ("code", "status", "refusal"),
    [
        ("TooManyRequestsException", 429, Refusal.THROTTLED),
        ("ServiceException", 500, Refusal.UNAVAILABLE),
        ("AccessDeniedException", 403, Refusal.DENIED),
    ],
)
async def test_a_refusal_is_told_and_says_that_nothing_was_taken(
    aws: AwsServer, functions: Functions, code: str, status: int, refusal: Refusal
) -> None:
    aws.functions.add_source("poller")
    aws.faults.fail("Invoke", code=code, status=status)
    refused = await functions.hand_over("poller", EVENT)
    assert isinstance(refused, NoInvocation)
    assert (refused.refusal, refused.unfit) == (refusal, False)


@pytest.mark.parametrize("code", ["RequestTooLargeException", "SerializedRequestEntityTooLargeException"])
async def test_an_event_that_is_too_large_is_told_apart(aws: AwsServer, functions: Functions, code: str) -> None:
    aws.functions.add_source("poller")
    aws.faults.fail("Invoke", code=code, status=413)
    refused = await functions.hand_over("poller", EVENT)
    assert isinstance(refused, NoInvocation)
    assert (refused.refusal, refused.unfit) == (None, True)


async def test_a_function_that_is_not_there_is_named(functions: Functions) -> None:
    refused = await functions.hand_over("poller", EVENT)
    assert refused == NoInvocation(
        "function poller does not exist; `callback-scheduler deploy` makes it", Refusal.MISSING
    )


@pytest.mark.parametrize("fault", ["garbled", "dropped"])
async def test_where_the_reply_is_lost_or_not_lambda_s_own_it_may_have_been_taken(
    aws: AwsServer, functions: Functions, fault: str
) -> None:
    aws.functions.add_source("poller")
    if fault == "garbled":
        aws.faults.garble("Invoke", status=200)
    else:
        aws.faults.drop_reply("Invoke")
    refused = await functions.hand_over("poller", EVENT)
    assert isinstance(refused, NoInvocation)
    assert refused.refusal is None
