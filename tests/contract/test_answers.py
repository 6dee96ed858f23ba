"""One suite for the answers, over the fake and over the embedded cloud's Step Functions."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scheduler.aws.clients import WithAnswers, admin_clients
from scheduler.aws.task_answers import Answers
from scheduler.core.answers import Fail, Succeed
from scheduler.core.effects import Delivered, Delivery, Heartbeat, Send
from scheduler.core.service_calls import Refusal
from scheduler.core.token import TaskToken
from tests.contract.conftest import use_endpoint
from tests.fakes import REAL_TOKEN_PREFIX, FakeStepFunctions

UNKNOWN = TaskToken(f"{REAL_TOKEN_PREFIX}-nobody-waits-for-this")


@dataclass(frozen=True)
class StepFunctionsUnderTest:
    """Step Functions: sending, a task that waits, and how that task ended (None while it waits)."""

    send: Callable[[Send | Heartbeat], Awaitable[Delivery]]
    waiting: Callable[[], Awaitable[TaskToken]]
    ended: Callable[[TaskToken], Awaitable[Any]]


def answering(client: Any) -> WithAnswers:
    """Give a client of Step Functions as `Answers` wants it."""
    return cast("WithAnswers", SimpleNamespace(answers=client))


def the_fake() -> StepFunctionsUnderTest:
    fake = FakeStepFunctions()

    async def waiting() -> TaskToken:
        token = f"{REAL_TOKEN_PREFIX}-{uuid.uuid4()}"
        fake.wait(token)
        return TaskToken(token)

    async def ended(token: TaskToken) -> Any:
        match fake.ledger.get(token.reveal()):
            case None:
                return None
            case [Succeed(output)]:
                return json.loads(output)
            case [Fail(error, cause)]:
                return error, cause
        pytest.fail("answered twice with effect")

    return StepFunctionsUnderTest(fake.send, waiting, ended)


async def the_embedded_cloud() -> AsyncIterator[StepFunctionsUnderTest]:
    queue, machine = f"queue-{uuid.uuid4().hex}", f"machine-{uuid.uuid4().hex}"
    async with admin_clients() as clients:
        import aioboto3  # noqa: PLC0415  no other part needs a queue, and the product has no client for one

        async with aioboto3.Session().client("sqs") as sqs:
            url = (await sqs.create_queue(QueueName=queue))["QueueUrl"]
            task = {
                "Type": "Task",
                "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                "Parameters": {"QueueUrl": url, "MessageBody": {"token.$": "$$.Task.Token"}},
                "TimeoutSeconds": 60,
                "End": True,
            }
            states = clients.stepfunctions
            made = await states.create_state_machine(
                name=machine,
                definition=json.dumps({"StartAt": "Wait", "States": {"Wait": task}}),
                roleArn="arn:aws:iam::000000000000:role/any",
            )
            executions: dict[TaskToken, str] = {}

            async def waiting() -> TaskToken:
                started = await states.start_execution(stateMachineArn=made["stateMachineArn"])
                messages: list[Any] = []
                while not messages:
                    received = await sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)
                    messages = list(received.get("Messages", []))
                await sqs.delete_message(QueueUrl=url, ReceiptHandle=messages[0]["ReceiptHandle"])
                token = TaskToken(json.loads(messages[0]["Body"])["token"])
                executions[token] = started["executionArn"]
                return token

            async def ended(token: TaskToken) -> Any:
                for _ in range(50):
                    held: Any = await states.describe_execution(executionArn=executions[token])
                    if held["status"] == "SUCCEEDED":
                        return json.loads(held["output"])
                    if held["status"] == "FAILED":
                        return held["error"], held["cause"]
                    await asyncio.sleep(0.02)
                return None

            yield StepFunctionsUnderTest(Answers(answering(states)).send, waiting, ended)
            await states.delete_state_machine(stateMachineArn=made["stateMachineArn"])
            await sqs.delete_queue(QueueUrl=url)


@pytest.fixture(params=["fake", "ministack"])
async def functions(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StepFunctionsUnderTest]:
    if request.param == "fake":
        yield the_fake()
        return
    use_endpoint(monkeypatch, request.getfixturevalue("ministack"))
    async for cloud in the_embedded_cloud():
        yield cloud


async def test_a_success_ends_the_task_with_its_output(functions: StepFunctionsUnderTest) -> None:
    token = await functions.waiting()
    delivery = await functions.send(Send(token, Succeed('{"jobId":"job-1","text":"grün \\u2028"}')))
    assert delivery == Delivery(Delivered.DELIVERED)
    assert await functions.ended(token) == {"jobId": "job-1", "text": "grün \u2028"}


async def test_a_failure_ends_the_task_with_its_error_and_cause(functions: StepFunctionsUnderTest) -> None:
    token = await functions.waiting()
    assert await functions.send(Send(token, Fail("JobFailed", "full"))) == Delivery(Delivered.DELIVERED)
    assert await functions.ended(token) == ("JobFailed", "full")


@pytest.mark.parametrize("again", [Succeed("{}"), Fail("JobFailed", "full")])
async def test_a_repeated_answer_is_told_that_the_token_is_closed_and_changes_nothing(
    functions: StepFunctionsUnderTest, again: Any
) -> None:
    token = await functions.waiting()
    await functions.send(Send(token, Succeed('{"first":true}')))
    assert await functions.ended(token) == {"first": True}
    assert (await functions.send(Send(token, again))).kind is Delivered.CLOSED
    assert await functions.ended(token) == {"first": True}


@pytest.mark.parametrize("effect", [Send(UNKNOWN, Succeed("{}")), Send(UNKNOWN, Fail("E", "c")), Heartbeat(UNKNOWN)])
async def test_an_unknown_token_is_closed_and_stands_in_no_message(
    functions: StepFunctionsUnderTest, effect: Any
) -> None:
    delivery = await functions.send(effect)
    assert delivery.kind is Delivered.CLOSED
    assert UNKNOWN.reveal() not in delivery.error


async def test_a_heartbeat_is_taken_while_the_task_waits_and_leaves_it_waiting(
    functions: StepFunctionsUnderTest,
) -> None:
    token = await functions.waiting()
    assert await functions.send(Heartbeat(token)) == Delivery(Delivered.DELIVERED)
    assert await functions.send(Send(token, Succeed("{}"))) == Delivery(Delivered.DELIVERED)


async def test_an_endpoint_that_is_down_defers_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_endpoint(monkeypatch, "http://127.0.0.1:1")
    async with admin_clients() as clients:
        delivery = await Answers(answering(clients.stepfunctions)).send(Send(UNKNOWN, Succeed("{}")))
    assert (delivery.kind, delivery.refusal) == (Delivered.DEFERRED, Refusal.UNREACHABLE)
