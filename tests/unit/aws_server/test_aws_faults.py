"""Faults on order, each through the SDK; the same orders stand before every operation of every service."""

import asyncio
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError, ResponseStreamingError

from tests.aws_server import AwsServer

CUT = (ConnectionClosedError, ResponseStreamingError, HTTPClientError)


async def code(call: Any) -> str:
    try:
        await call
    except ClientError as error:
        response = error.response
        return f"{response['Error']['Code']} {response['ResponseMetadata']['HTTPStatusCode']}"
    return "ok"


def success(clients: Any, token: str, output: str = "1") -> Any:
    return clients.states.send_task_success(taskToken=token, output=output)


async def test_the_next_calls_fail_and_are_not_applied(aws: AwsServer, clients: Any) -> None:
    token = aws.tokens.waiting()
    order = aws.faults.fail("SendTaskSuccess", code="ThrottlingException", times=2)
    told = [await code(success(clients, token)) for _ in range(3)]
    assert told == ["ThrottlingException 400", "ThrottlingException 400", "ok"]
    assert (order.met, aws.calls["SendTaskSuccess"], len(aws.ledger[token])) == (2, 3, 1)
    offers = [(offer.effect, offer.told) for offer in aws.ledger.offers(token)]
    assert offers == [(None, "ThrottlingException"), (None, "ThrottlingException"), ("applied", "ok")]


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [("InternalFailure", None, 500), ("ServiceUnavailable", None, 503), ("ThrottlingException", 429, 429)],
)
async def test_a_code_has_its_usual_status_or_the_one_ordered(
    aws: AwsServer, clients: Any, name: str, status: int | None, expected: int
) -> None:
    aws.faults.fail("*", code=name, status=status, times=None)
    for call in (
        success(clients, aws.tokens.waiting()),
        clients.functions.invoke(FunctionName="any"),
        clients.dynamodb.list_tables(),
    ):
        assert await code(call) == f"{name} {expected}"


async def test_an_order_takes_the_calls_that_it_names(aws: AwsServer, clients: Any) -> None:
    first, second = aws.tokens.waiting(), aws.tokens.waiting()
    aws.faults.fail("SendTask*", code="One", containing=second, skip=1)
    aws.faults.fail("dynamodb:*", code="Two")
    assert await code(success(clients, first)) == "ok"
    assert await code(clients.states.send_task_heartbeat(taskToken=second)) == "ok"
    assert await code(success(clients, second)) == "One 400"
    assert await code(success(clients, second)) == "ok"
    assert await code(clients.dynamodb.list_tables()) == "Two 400"


async def test_one_order_decides_at_a_time(aws: AwsServer, clients: Any) -> None:
    token = aws.tokens.waiting()
    aws.faults.fail("SendTaskSuccess", code="One")
    aws.faults.fail("SendTaskSuccess", code="Two")
    assert [await code(success(clients, token)) for _ in range(3)] == ["One 400", "Two 400", "ok"]


async def test_a_call_is_applied_and_its_reply_dropped(aws: AwsServer, clients: Any) -> None:
    token = aws.tokens.waiting()
    aws.faults.drop_reply("SendTaskSuccess")
    with pytest.raises(ConnectionClosedError):
        await success(clients, token)
    assert len(aws.ledger[token]) == 1
    assert await code(success(clients, token)) == "TaskTimedOut 400"
    assert [offer.told for offer in aws.ledger.offers(token)] == ["nothing", "TaskTimedOut"]


async def test_a_connection_closes_before_the_call_is_applied(aws: AwsServer, clients: Any) -> None:
    token = aws.tokens.waiting()
    aws.faults.drop_reply("SendTaskSuccess", applied=False)
    with pytest.raises(ConnectionClosedError):
        await success(clients, token)
    assert aws.ledger[token] == []


@pytest.mark.parametrize("applied", [True, False])
async def test_a_call_is_never_answered(aws: AwsServer, clients: Any, *, applied: bool) -> None:
    token = aws.tokens.waiting()
    order = aws.faults.never_answer("SendTaskSuccess", applied=applied)
    sent = asyncio.create_task(success(clients, token))
    await order.reached()
    aws.clock.advance(1_000_000)
    assert await code(clients.states.send_task_heartbeat(taskToken=aws.tokens.waiting())) == "ok"
    assert (sent.done(), len(aws.ledger[token])) == (False, int(applied))
    order.cancel()
    with pytest.raises(ConnectionClosedError):
        await sent
    assert len(aws.ledger[token]) == int(applied)


@pytest.mark.parametrize("after_apply", [True, False])
async def test_a_reply_is_late_by_the_servers_clock(aws: AwsServer, clients: Any, *, after_apply: bool) -> None:
    token = aws.tokens.waiting()
    order = aws.faults.late("SendTaskSuccess", 5, after_apply=after_apply)
    sent = asyncio.create_task(success(clients, token))
    await order.reached()
    assert (sent.done(), len(aws.ledger[token])) == (False, int(after_apply))
    aws.clock.advance(5)
    await sent
    assert len(aws.ledger[token]) == 1


@pytest.mark.parametrize("after_apply", [True, False])
async def test_a_call_is_held_at_a_failpoint(aws: AwsServer, clients: Any, *, after_apply: bool) -> None:
    token = aws.tokens.waiting()
    async with aws.faults.hold("SendTaskSuccess", after_apply=after_apply) as held:
        sent = asyncio.create_task(success(clients, token))
        await held.reached()
        assert (sent.done(), len(aws.ledger[token])) == (False, int(after_apply))
        held.release()
        await sent
    assert len(aws.ledger[token]) == 1


async def test_a_held_call_is_applied_though_its_caller_has_gone(aws: AwsServer, clients: Any) -> None:
    token = aws.tokens.waiting()
    hold = aws.faults.hold
    async with hold("SendTaskSuccess") as before, hold("SendTaskSuccess", after_apply=True) as after:
        sent = asyncio.create_task(success(clients, token))
        await before.reached()
        sent.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sent
        assert aws.ledger[token] == []
        before.release()
        await after.reached()
        assert len(aws.ledger[token]) == 1
    assert await code(success(clients, token)) == "TaskTimedOut 400"


async def test_a_hold_goes_around_what_another_order_decides(aws: AwsServer, clients: Any) -> None:
    token = aws.tokens.waiting()
    aws.faults.drop_reply("SendTaskSuccess")
    async with aws.faults.hold("SendTaskSuccess") as held:
        sent = asyncio.create_task(success(clients, token))
        await held.reached()
        assert aws.ledger[token] == []
    with pytest.raises(ConnectionClosedError):
        await sent
    assert len(aws.ledger[token]) == 1


async def test_waiting_for_a_call_that_never_comes_is_an_error(aws: AwsServer) -> None:
    async with aws.faults.hold("SendTaskSuccess") as held:
        with pytest.raises(TimeoutError, match="Hold of SendTaskSuccess: happened 0 times, and not 1 times"):
            await held.reached(seconds=0)


async def test_a_reply_is_cut_in_half(aws: AwsServer, clients: Any) -> None:
    arn = aws.tokens.task(aws.tokens.waiting()).execution_arn
    aws.faults.truncate("DescribeExecution")
    with pytest.raises(CUT):
        await clients.states.describe_execution(executionArn=arn)
    assert await code(clients.states.describe_execution(executionArn=arn)) == "ok"


async def test_even_a_reply_of_two_bytes_is_cut(aws: AwsServer, clients: Any) -> None:
    token = aws.tokens.waiting()
    aws.faults.truncate("SendTaskSuccess")
    with pytest.raises(CUT):
        await success(clients, token)
    assert len(aws.ledger[token]) == 1


async def test_a_reply_is_no_json(aws: AwsServer, clients: Any) -> None:
    token = aws.tokens.waiting()
    aws.faults.garble("SendTaskSuccess", status=502, applied=False)
    with pytest.raises(ClientError) as raised:
        await success(clients, token)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 502
    assert aws.ledger[token] == []
    aws.faults.garble("SendTaskSuccess", body=b"\xff\xfe nonsense")
    headers = {"X-Amz-Target": "AWSStepFunctions.SendTaskSuccess"}
    given = {"taskToken": token, "output": "1"}
    async with aiohttp.ClientSession(headers=headers) as http, http.post(aws.endpoint, json=given) as reply:
        assert (reply.status, await reply.read()) == (200, b"\xff\xfe nonsense")
    assert [offer.told for offer in aws.ledger.offers(token)] == ["garbled", "garbled"]
    assert len(aws.ledger[token]) == 1


async def test_calls_are_throttled_at_a_rate(aws: AwsServer, clients: Any) -> None:
    aws.faults.throttle("SendTask*", rate=2, burst=3)

    async def beats(count: int) -> list[str]:
        token = aws.tokens.waiting()
        return [await code(clients.states.send_task_heartbeat(taskToken=token)) for _ in range(count)]

    assert await beats(4) == ["ok", "ok", "ok", "ThrottlingException 400"]
    aws.clock.advance(1)
    assert await beats(3) == ["ok", "ok", "ThrottlingException 400"]
    aws.clock.advance(1_000)
    assert (await beats(5)).count("ok") == 3


async def test_each_service_throttles_with_its_own_code(aws: AwsServer, clients: Any) -> None:
    aws.faults.throttle("*", rate=0, burst=0)
    assert await code(clients.functions.invoke(FunctionName="any")) == "TooManyRequestsException 429"
    assert await code(clients.dynamodb.list_tables()) == "ProvisionedThroughputExceededException 400"


async def test_a_fraction_of_calls_fails_alike_for_the_same_seed(aws: AwsServer, clients: Any) -> None:
    async def failed(seed: int) -> list[int]:
        token = aws.tokens.waiting()
        with aws.faults.fail("SendTaskHeartbeat", code="InternalFailure", fraction=0.3, seed=seed):
            told = [await code(clients.states.send_task_heartbeat(taskToken=token)) for _ in range(40)]
        return [number for number, one in enumerate(told) if one != "ok"]

    first = await failed(1)
    assert 0 < len(first) < 40
    assert (await failed(1), await failed(2) != first) == (first, True)


@pytest.mark.parametrize("denial", ["AccessDeniedException", "ExpiredTokenException"])
async def test_access_is_denied_until_told_otherwise(aws: AwsServer, clients: Any, denial: str) -> None:
    token = aws.tokens.waiting()
    denied = aws.faults.deny(code=denial)
    assert {await code(clients.states.send_task_heartbeat(taskToken=token)) for _ in range(5)} == {f"{denial} 400"}
    assert await code(clients.functions.invoke(FunctionName="any")) == f"{denial} 403"
    assert await code(clients.dynamodb.list_tables()) == f"{denial} 400"
    denied.cancel()
    assert await code(clients.states.send_task_heartbeat(taskToken=token)) == "ok"


async def test_clearing_takes_all_orders_back_and_releases_what_is_held(aws: AwsServer, clients: Any) -> None:
    token = aws.tokens.waiting()
    held = aws.faults.hold("SendTaskSuccess")
    sent = asyncio.create_task(success(clients, token))
    await held.reached()
    aws.faults.deny()
    aws.faults.clear()
    await sent
    assert await code(clients.states.describe_execution(executionArn=aws.tokens.task(token).execution_arn)) == "ok"
