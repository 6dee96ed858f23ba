"""The simulated source and other functions, through Lambda's Invoke."""

import asyncio
import json
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from tests.aws_server import AwsServer

SOURCE = "poc-simulated-api"


async def ask(clients: Any, job_id: str = "job-1") -> tuple[str | None, bytes]:
    payload = json.dumps({"action": "CHECK_STATUS", "jobId": job_id})
    reply = await clients.functions.invoke(FunctionName=SOURCE, Payload=payload)
    async with reply["Payload"] as stream:
        return reply.get("FunctionError"), await stream.read()


async def status(clients: Any, job_id: str = "job-1") -> Any:
    return json.loads((await ask(clients, job_id))[1]).get("status")


async def test_a_job_completes_at_its_last_poll_and_stays_so(aws: AwsServer, clients: Any) -> None:
    aws.jobs.add("job-1", polls=3, result={"rows": 7})
    assert [await status(clients) for _ in range(3)] == ["IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]
    assert json.loads((await ask(clients))[1]) == {
        "jobId": "job-1",
        "status": "COMPLETED",
        "pollCount": 4,
        "completionPolls": 3,
        "data": {"rows": 7},
    }
    assert (aws.jobs.checks("job-1"), aws.jobs.all_checks()) == (4, {"job-1": 4})


async def test_a_job_fails_with_its_reason(aws: AwsServer, clients: Any) -> None:
    aws.jobs.add("job-1", fail_with="no disk")
    reply = json.loads((await ask(clients))[1])
    assert (reply["status"], reply["reason"]) == ("FAILED", "no disk")


async def test_each_bad_reply_is_as_scripted_and_then_the_job_goes_on(aws: AwsServer, clients: Any) -> None:
    script = ["function_error", "not_json", "nan", "unknown_status", "unknown_job", "oversized", "throttled"]
    aws.jobs.add("job-1", script=script)  # type: ignore[arg-type]
    failed, body = await ask(clients)
    assert (failed, json.loads(body)["errorType"]) == ("Unhandled", "RuntimeError")
    replies = [(await ask(clients))[1] for _ in range(5)]
    assert replies[0] == b"status: COMPLETED"
    assert b"NaN" in replies[1]
    assert json.loads(replies[2])["status"] == "ON_HOLD"
    assert "unknown job" in json.loads(replies[3])["error"]
    assert len(replies[4]) > 262_144
    with pytest.raises(clients.functions.exceptions.TooManyRequestsException) as raised:
        await ask(clients)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert await status(clients) == "COMPLETED"
    assert aws.jobs.checks("job-1") == 8


async def ask_together(clients: Any, *job_ids: str) -> tuple[str | None, bytes]:
    payload = json.dumps({"action": "CHECK_STATUS", "jobIds": job_ids})
    reply = await clients.functions.invoke(FunctionName=SOURCE, Payload=payload)
    async with reply["Payload"] as stream:
        return reply.get("FunctionError"), await stream.read()


async def test_several_jobs_are_checked_together_in_the_order_asked(aws: AwsServer, clients: Any) -> None:
    aws.jobs.add("job-1", polls=2)
    aws.jobs.add("job-2", fail_with="no disk")
    failed, body = await ask_together(clients, "job-2", "nobody", "job-1")
    results = json.loads(body)["results"]
    assert (failed, [each.get("status") for each in results]) == (None, ["FAILED", None, "IN_PROGRESS"])
    assert aws.jobs.asked_together() == [["job-2", "nobody", "job-1"]]
    assert aws.jobs.all_checks() == {"job-1": 1, "job-2": 1, "nobody": 1}


async def test_what_one_of_several_jobs_does_to_the_function_or_its_reply_is_done_to_all(
    aws: AwsServer, clients: Any
) -> None:
    aws.jobs.add("job-1", polls=9)
    aws.jobs.add("job-2", script=["function_error", "not_json", "nan", "throttled"])
    failed, body = await ask_together(clients, "job-1", "job-2")
    assert (failed, json.loads(body)["errorType"]) == ("Unhandled", "RuntimeError")
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads((await ask_together(clients, "job-1", "job-2"))[1])
    assert b"NaN" in (await ask_together(clients, "job-1", "job-2"))[1]
    with pytest.raises(clients.functions.exceptions.TooManyRequestsException):
        await ask_together(clients, "job-1", "job-2")


async def test_a_job_that_nobody_added_is_unknown_and_its_checks_are_counted(aws: AwsServer, clients: Any) -> None:
    assert "unknown job" in json.loads((await ask(clients, "nobody"))[1])["error"]
    assert aws.jobs.checks("nobody") == 1


async def test_a_slow_check_is_answered_once_the_clock_gets_there(aws: AwsServer, clients: Any) -> None:
    aws.jobs.add("job-1", always="slow", slow_seconds=30)
    asked = asyncio.create_task(ask(clients))
    await aws.jobs.checked("job-1")
    aws.clock.advance(29)
    assert await status(clients, "nobody") is None  # the server does other work meanwhile
    assert not asked.done()
    aws.clock.advance(1)
    assert json.loads((await asked)[1])["status"] == "COMPLETED"


async def test_a_hung_check_is_never_answered(aws: AwsServer, clients: Any) -> None:
    aws.jobs.add("job-1", always="hang")
    asked = asyncio.create_task(ask(clients))
    await aws.jobs.checked("job-1")
    aws.clock.advance(1_000_000)
    assert await status(clients, "nobody") is None
    assert not asked.done()
    aws.jobs.release_hung()
    with pytest.raises(ConnectionClosedError):
        await asked


def test_an_unknown_behaviour_is_a_mistake_of_the_test() -> None:
    with pytest.raises(ValueError, match="no such behaviours: \\['sleepy'\\]"):
        AwsServer().jobs.add("job-1", always="sleepy")  # type: ignore[arg-type]


async def test_a_missing_function_is_not_found(clients: Any) -> None:
    for call in (clients.functions.invoke, clients.functions.get_function_configuration):
        with pytest.raises(clients.functions.exceptions.ResourceNotFoundException):
            await call(FunctionName="nobody")


async def test_a_function_is_found_by_its_arn_too(aws: AwsServer, clients: Any) -> None:
    aws.functions.add_source("other")
    arn = "arn:aws:lambda:us-east-1:000000000000:function:other:live"
    held = await clients.functions.get_function_configuration(FunctionName=arn)
    assert held["FunctionName"] == "other"
    aws.functions.remove("other")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        await clients.functions.get_function_configuration(FunctionName=arn)


async def test_a_function_of_the_tests_own_may_call_this_server(aws: AwsServer, clients: Any) -> None:
    token = aws.tokens.waiting()

    def poller(event: Any) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        states: Any = boto3.client("stepfunctions", endpoint_url=aws.endpoint, **keys)  # type: ignore[call-overload]
        states.send_task_success(taskToken=token, output=json.dumps(event))
        states.close()
        return {"status": "COMPLETED"}

    aws.functions.add("poc-poller", poller)
    reply = await clients.functions.invoke(FunctionName="poc-poller", Payload='{"jobId": "job-1"}')
    assert json.loads(await reply["Payload"].read()) == {"status": "COMPLETED"}
    assert aws.ledger[token][0].output == '{"jobId": "job-1"}'


async def test_what_a_function_raises_is_its_error(aws: AwsServer, clients: Any) -> None:
    async def broken(event: Any) -> Any:
        raise LookupError(event["jobId"])

    aws.functions.add("poc-poller", broken)
    reply = await clients.functions.invoke(FunctionName="poc-poller", Payload='{"jobId": "job-1"}')
    assert reply["FunctionError"] == "Unhandled"
    assert json.loads(await reply["Payload"].read()) == {"errorType": "LookupError", "errorMessage": "job-1"}


def test_no_reply_in_time_is_a_time_out_for_the_sdk() -> None:
    # The one test that waits for real: it proves that a hung call looks like one to the SDK.
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    config: Any = Config(read_timeout=0.1, retries={"total_max_attempts": 1})
    with AwsServer.in_thread() as aws:
        functions: Any = boto3.client("lambda", endpoint_url=aws.endpoint, config=config, **keys)  # type: ignore[call-overload]
        aws.faults.never_answer("Invoke")
        with pytest.raises(ReadTimeoutError):
            functions.invoke(FunctionName=SOURCE, Payload="{}")
        functions.close()


async def hand_over(clients: Any, name: str = "later") -> int:
    reply = await clients.functions.invoke(FunctionName=name, Payload=b'{"jobId": "a"}', InvocationType="Event")
    async with reply["Payload"] as stream:
        assert await stream.read() == b""
    status: int = reply["StatusCode"]
    return status


@pytest.mark.parametrize("deliveries", [0, 1, 2])
async def test_an_event_is_taken_at_once_and_run_beside_as_often_as_ordered(
    aws: AwsServer, clients: Any, deliveries: int
) -> None:
    run: list[Any] = []
    gate = asyncio.Event()

    async def later(event: Any) -> None:
        run.append(event)
        await gate.wait()
        message = "nobody hears of it"
        raise RuntimeError(message)

    aws.functions.add("later", later)
    aws.functions.deliver(deliveries)
    assert await hand_over(clients) == 202
    gate.set()
    await aws.functions.settled()
    assert run == [{"jobId": "a"}] * deliveries


async def test_an_event_for_a_function_that_is_not_there_is_refused(clients: Any) -> None:
    with pytest.raises(clients.functions.exceptions.ResourceNotFoundException):
        await hand_over(clients)


async def test_an_event_that_is_throttled_is_not_run(aws: AwsServer, clients: Any) -> None:
    aws.faults.fail("Invoke", code="TooManyRequestsException")
    with pytest.raises(clients.functions.exceptions.TooManyRequestsException):
        await hand_over(clients, SOURCE)
