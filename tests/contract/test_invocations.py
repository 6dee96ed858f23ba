"""One contract for invocations: over the SDK, and those that are made like one of the SDK's."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from email.utils import formatdate
from typing import Any

import pytest

from scheduler.aws.clients import Clients, polling_clients
from scheduler.aws.clock_skew import ClockSkew
from scheduler.aws.functions import Functions
from scheduler.core.invocation import Invocation, NoInvocation
from scheduler.core.service_calls import Refusal
from tests.aws_server import AwsServer
from tests.aws_server.functions import SOURCE
from tests.backends import local_environment

CHECK = json.dumps({"action": "CHECK_STATUS", "jobId": "job-1"}).encode()
WAYS = ["by the SDK", "like one of the SDK's"]


@pytest.fixture
async def aws(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsServer]:
    async with AwsServer.running() as server:
        for name, value in local_environment(server.endpoint).items():
            monkeypatch.setenv(name, value)
        server.jobs.add("job-1", polls=1_000)
        yield server


@asynccontextmanager
async def opened(seconds: float = 5.0, skew: ClockSkew | None = None) -> AsyncIterator[Clients]:
    async with polling_clients(8, seconds, skew or ClockSkew(lambda: 0)) as clients:
        yield clients


async def functions_of(clients: Clients, way: str, monkeypatch: pytest.MonkeyPatch) -> Functions:
    """Give what invokes in one of the two ways, and see to it that it does."""
    functions = Functions(clients)
    if way == WAYS[0]:
        return functions  # the first invocation is always the SDK's
    assert isinstance(await functions.invoke(SOURCE, CHECK), Invocation)

    async def no_more(*_: Any, **__: Any) -> None:
        pytest.fail("the SDK makes the first invocation alone")

    monkeypatch.setattr(clients.functions, "invoke", no_more)
    return functions


Order = Callable[[AwsServer], Any]
REFUSED: dict[str, tuple[Order, Refusal | None]] = {
    "throttled": (lambda aws: aws.faults.fail("Invoke", code="TooManyRequestsException"), Refusal.THROTTLED),
    "denied": (lambda aws: aws.faults.fail("Invoke", code="AccessDeniedException"), Refusal.DENIED),
    "expired": (lambda aws: aws.faults.fail("Invoke", code="ExpiredTokenException"), Refusal.CREDENTIALS),
    "a fault": (lambda aws: aws.faults.fail("Invoke", code="ServiceException"), Refusal.UNAVAILABLE),
    "gateway": (lambda aws: aws.faults.garble("Invoke", status=502), Refusal.UNAVAILABLE),
    "KMS": (lambda aws: aws.faults.fail("Invoke", code="KMSAccessDeniedException", status=502), Refusal.UNAVAILABLE),
    "too large": (lambda aws: aws.faults.fail("Invoke", code="RequestTooLargeException", status=413), None),
    "gone": (lambda aws: aws.functions.remove(SOURCE), Refusal.MISSING),
    "dropped": (lambda aws: aws.faults.drop_reply("Invoke"), None),
    "cut": (lambda aws: aws.faults.truncate("Invoke"), None),
    "hung": (lambda aws: aws.faults.never_answer("Invoke"), None),
}


@pytest.mark.parametrize("order", REFUSED)
async def test_both_ways_tell_the_same_of_what_fails(
    aws: AwsServer, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    put, refusal = REFUSED[order]
    for way in reversed(WAYS):
        async with opened(0.3 if order == "hung" else 5.0) as clients:
            functions = await functions_of(clients, way, monkeypatch)
            if order != "gone" or way == WAYS[1]:
                put(aws)
            told.append(await functions.invoke(SOURCE, CHECK))
        monkeypatch.undo()
        for name, value in local_environment(aws.endpoint).items():
            monkeypatch.setenv(name, value)
    assert told[0] == told[1]
    assert isinstance(told[0], NoInvocation)
    assert told[0].refusal is refusal


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("aws")
async def test_a_reply_is_the_functions_own(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as clients:
        functions = await functions_of(clients, way, monkeypatch)
        reply = await functions.invoke(SOURCE, CHECK)
    assert isinstance(reply, Invocation)
    assert (reply.failed, json.loads(reply.payload)["status"]) == (False, "IN_PROGRESS")


@pytest.mark.parametrize("way", WAYS)
async def test_an_error_of_the_function_is_none_of_lambda(
    aws: AwsServer, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened() as clients:
        functions = await functions_of(clients, way, monkeypatch)

        def broken(_: Any) -> None:
            message = "out of paper"
            raise RuntimeError(message)

        aws.functions.add(SOURCE, broken)
        reply = await functions.invoke(SOURCE, CHECK)
    assert isinstance(reply, Invocation)
    assert (reply.failed, json.loads(reply.payload)["errorMessage"]) == (True, "out of paper")


@pytest.mark.parametrize("way", WAYS)
async def test_an_endpoint_that_nobody_listens_at_is_out_of_reach(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(AwsServer.running())
        for name, value in local_environment(server.endpoint).items():
            monkeypatch.setenv(name, value)
        server.jobs.add("job-1", polls=1_000)
        async with opened() as clients:
            functions = await functions_of(clients, way, monkeypatch)
            await stack.aclose()
            reply = await functions.invoke(SOURCE, CHECK)
    assert isinstance(reply, NoInvocation)
    assert reply.refusal is Refusal.UNREACHABLE


async def test_an_endpoint_of_lambdas_own_is_gone_to(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AwsServer.running() as other:
        other.jobs.add("job-1", polls=1_000)
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", other.endpoint)
        async with opened() as clients:
            functions = await functions_of(clients, WAYS[1], monkeypatch)
            await functions.invoke(SOURCE, CHECK)
        assert (aws.calls["Invoke"], other.calls["Invoke"]) == (0, 2)


async def test_requests_are_alike_but_for_when_and_what(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []
    around = aws.faults.around

    async def noting(call: Any, apply: Any) -> Any:
        seen.append({name.lower(): value for name, value in call.headers.items()})
        return await around(call, apply)

    monkeypatch.setattr(aws.faults, "around", noting)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-session")
    async with opened() as clients:
        functions = await functions_of(clients, WAYS[1], monkeypatch)
        await functions.invoke(SOURCE, CHECK)
    first, second = seen
    assert first.keys() - second.keys() == {"amz-sdk-invocation-id", "amz-sdk-request"}
    assert second.keys() <= first.keys()
    changed = {name for name in second if first[name] != second[name]}
    assert changed <= {"x-amz-date", "authorization"}
    assert second["x-amz-security-token"] == "a-session"


async def test_credentials_that_were_renewed_sign_the_next_invocation(
    aws: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened() as clients:
        functions = await functions_of(clients, WAYS[1], monkeypatch)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "NEWER")
        await clients.renew()
        refused = aws.faults.fail("Invoke", code="UnrecognizedClientException", times=None, signed_by="test")
        assert isinstance(await functions.invoke(SOURCE, CHECK), Invocation)
        assert isinstance(await functions.invoke(SOURCE, CHECK), Invocation)
        assert refused.met == 0


async def test_a_proxy_and_the_cloud_behind_it_are_asked_as_the_sdk_asks_them(
    aws: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", aws.endpoint)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://lambda.behind.example")
    async with opened() as clients:
        functions = await functions_of(clients, WAYS[1], monkeypatch)
        assert isinstance(await functions.invoke(SOURCE, CHECK), Invocation)


@pytest.mark.usefixtures("aws")
async def test_the_services_time_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []

    class Skew(ClockSkew):
        def hear(self, parsed: Any, **_: Any) -> None:
            heard.append(parsed["ResponseMetadata"]["HTTPHeaders"]["date"])

    async with opened(skew=Skew(lambda: 0)) as clients:
        functions = await functions_of(clients, WAYS[1], monkeypatch)
        await functions.invoke(SOURCE, CHECK)
    assert len(heard) == 2
    assert heard[0][-3:] == formatdate(usegmt=True)[-3:]
