"""Step Functions as AWS documents it."""

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.aws_server import AwsServer

ARN = "arn:aws:states:us-east-1:000000000000:stateMachine:poc-callback-workflow"


async def refused(call: Awaitable[Any]) -> str:
    with pytest.raises(ClientError) as raised:
        await call
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return str(raised.value.response["Error"]["Code"])


async def test_an_answer_ends_the_execution_and_stands_in_the_ledger(aws: AwsServer, clients: Any) -> None:
    token = aws.tokens.waiting()
    assert aws.ledger[token] == []
    await clients.states.send_task_success(taskToken=token, output='{"a": 1}')
    (answer,) = aws.ledger[token]
    assert (answer.operation, answer.output, answer.time) == ("SendTaskSuccess", '{"a": 1}', 1_000_000.0)
    assert aws.tokens.status(token) == "SUCCEEDED"


async def test_a_failure_ends_the_execution_with_its_error_and_cause(aws: AwsServer, clients: Any) -> None:
    token = aws.tokens.waiting()
    await clients.states.send_task_failure(taskToken=token, error="JobFailed", cause="it broke")
    (answer,) = aws.ledger[token]
    assert (answer.operation, answer.error, answer.cause) == ("SendTaskFailure", "JobFailed", "it broke")
    assert aws.tokens.status(token) == "FAILED"


async def test_a_second_answer_is_refused_and_counted_as_offered(aws: AwsServer, clients: Any) -> None:
    token = aws.tokens.waiting()
    await clients.states.send_task_success(taskToken=token, output="1")
    assert await refused(clients.states.send_task_success(taskToken=token, output="1")) == "TaskTimedOut"
    assert await refused(clients.states.send_task_failure(taskToken=token)) == "TaskTimedOut"
    assert await refused(clients.states.send_task_heartbeat(taskToken=token)) == "TaskTimedOut"
    assert (len(aws.ledger[token]), aws.ledger.offered(token), aws.ledger.repeated()) == (1, 3, [token])
    assert [offer.told for offer in aws.ledger.offers(token)] == ["ok", "TaskTimedOut", "TaskTimedOut"]
    assert [offer.effect for offer in aws.ledger.heartbeats(token)] == ["TaskTimedOut"]


async def test_an_answer_offered_again_is_a_repeat_only_where_somebody_knew_that_it_was_taken(
    aws: AwsServer, clients: Any
) -> None:
    unheard, at_once, known = (aws.tokens.waiting() for _ in range(3))
    with aws.faults.drop_reply("SendTaskSuccess", applied=True), pytest.raises(BotoCoreError):
        await clients.states.send_task_success(taskToken=unheard, output="1")
    await refused(clients.states.send_task_success(taskToken=unheard, output="1"))
    with aws.faults.hold("SendTaskSuccess", times=2, after_apply=True) as held:
        both = [asyncio.create_task(clients.states.send_task_success(taskToken=at_once, output="1")) for _ in range(2)]
        await asyncio.to_thread(held.wait, 2)
    await asyncio.gather(*both, return_exceptions=True)
    assert aws.ledger.repeated() == []
    await clients.states.send_task_success(taskToken=known, output="1")
    await refused(clients.states.send_task_failure(taskToken=known))
    assert aws.ledger.repeated() == [known]


async def test_a_token_is_long_like_those_of_aws_and_no_two_are_alike(aws: AwsServer) -> None:
    tokens = {aws.tokens.waiting() for _ in range(20)}
    assert {len(token) for token in tokens} == {652}
    assert len(tokens) == 20


@pytest.mark.parametrize("garbage", ["no token", "x" * 652, "dG9rZW4=", "ÄÖÜ"])
async def test_what_is_no_token_is_invalid(clients: Any, garbage: str) -> None:
    assert await refused(clients.states.send_task_success(taskToken=garbage, output="not JSON")) == "InvalidToken"
    assert await refused(clients.states.send_task_failure(taskToken=garbage)) == "InvalidToken"
    assert await refused(clients.states.send_task_heartbeat(taskToken=garbage)) == "InvalidToken"


async def test_a_token_that_was_never_issued_is_of_no_task(aws: AwsServer, clients: Any) -> None:
    call = clients.states.send_task_success(taskToken=aws.tokens.unknown(), output="1")
    assert await refused(call) == "TaskDoesNotExist"


@pytest.mark.parametrize("output", ["", "not JSON", '{"a": NaN}', "[1,", "[" * 100_000])
async def test_output_that_is_not_json_is_refused_and_the_task_waits_on(
    aws: AwsServer, clients: Any, output: str
) -> None:
    token = aws.tokens.waiting()
    assert await refused(clients.states.send_task_success(taskToken=token, output=output)) == "InvalidOutput"
    assert (aws.ledger[token], aws.tokens.status(token)) == ([], "RUNNING")


async def test_quotas_are_refused_one_beyond_and_taken_up_to(aws: AwsServer, clients: Any) -> None:
    states, token = clients.states, aws.tokens.waiting()
    for output in (json.dumps("x" * 262_143), '"' + "ä" * 131_072 + '"'):
        assert await refused(states.send_task_success(taskToken=token, output=output)) == "ValidationException"
    assert await refused(states.send_task_failure(taskToken=token, error="x" * 257)) == "ValidationException"
    assert await refused(states.send_task_failure(taskToken=token, cause="x" * 32_769)) == "ValidationException"
    assert await refused(states.send_task_failure(taskToken="x" * 2_049)) == "ValidationException"
    await states.send_task_failure(taskToken=token, error="x" * 256, cause="x" * 32_768)
    await states.send_task_success(taskToken=aws.tokens.waiting(), output=json.dumps("x" * 262_142))


async def test_a_task_times_out_by_the_servers_clock(aws: AwsServer, clients: Any) -> None:
    token = aws.tokens.waiting(timeout_seconds=60)
    aws.clock.advance(59.9)
    assert aws.tokens.status(token) == "RUNNING"
    await clients.states.send_task_heartbeat(taskToken=token)
    aws.clock.advance(0.2)
    assert await refused(clients.states.send_task_success(taskToken=token, output="1")) == "TaskTimedOut"
    assert (aws.tokens.status(token), aws.ledger[token]) == ("FAILED", [])


async def test_heartbeats_keep_a_task_alive_and_their_absence_ends_it(aws: AwsServer, clients: Any) -> None:
    token = aws.tokens.waiting(heartbeat_seconds=10)
    for _ in range(3):
        aws.clock.advance(9)
        await clients.states.send_task_heartbeat(taskToken=token)
    aws.clock.advance(10)
    assert await refused(clients.states.send_task_heartbeat(taskToken=token)) == "TaskTimedOut"
    end = aws.tokens.task(token).end
    assert end is not None
    assert (end.error, end.time) == ("States.HeartbeatTimeout", 1_000_037.0)


async def test_a_heartbeat_needs_no_heartbeat_seconds(aws: AwsServer, clients: Any) -> None:
    await clients.states.send_task_heartbeat(taskToken=aws.tokens.waiting())


async def test_an_execution_is_started_described_and_stopped(aws: AwsServer, clients: Any) -> None:
    given = json.dumps({"timeoutSeconds": 60, "heartbeatSeconds": 20})
    arn = (await clients.states.start_execution(stateMachineArn=ARN, input=given))["executionArn"]
    token = aws.tokens.of(arn)
    assert (aws.tokens.task(token).timeout_seconds, aws.tokens.task(token).heartbeat_seconds) == (60, 20)
    held = await clients.states.describe_execution(executionArn=arn)
    assert (held["status"], held["input"], held["startDate"].timestamp()) == ("RUNNING", given, 1_000_000.0)
    await clients.states.stop_execution(executionArn=arn, error="Enough", cause="of it")
    held = await clients.states.describe_execution(executionArn=arn)
    assert (held["status"], held["error"], held["cause"]) == ("ABORTED", "Enough", "of it")
    assert await refused(clients.states.send_task_success(taskToken=token, output="1")) == "TaskTimedOut"


async def test_an_execution_shows_the_output_it_was_answered_with(aws: AwsServer, clients: Any) -> None:
    arn = (await clients.states.start_execution(stateMachineArn=ARN))["executionArn"]
    await clients.states.send_task_success(taskToken=aws.tokens.of(arn), output="[1]")
    held = await clients.states.describe_execution(executionArn=arn)
    assert (held["status"], held["output"]) == ("SUCCEEDED", "[1]")


async def test_a_name_is_taken_again_while_it_runs_with_the_same_input(aws: AwsServer, clients: Any) -> None:
    start = clients.states.start_execution
    first = await start(stateMachineArn=ARN, name="one", input="{}")
    assert (await start(stateMachineArn=ARN, name="one", input="{}"))["executionArn"] == first["executionArn"]
    assert await refused(start(stateMachineArn=ARN, name="one", input="[]")) == "ExecutionAlreadyExists"
    aws.tokens.stop(aws.tokens.of(first["executionArn"]))
    assert await refused(start(stateMachineArn=ARN, name="one", input="{}")) == "ExecutionAlreadyExists"


async def test_what_is_not_there_or_not_known_is_refused(clients: Any) -> None:
    states = clients.states
    assert await refused(states.describe_execution(executionArn=f"{ARN}:x")) == "ExecutionDoesNotExist"
    assert await refused(states.stop_execution(executionArn="x")) == "InvalidArn"
    assert await refused(states.start_execution(stateMachineArn=ARN, input="{")) == "InvalidExecutionInput"
    assert await refused(states.list_activities()) == "UnknownOperationException"
