"""The server outside a test's loop: in a thread, and as a process that is controlled over HTTP."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.aws_server import AwsServer, Clock


def open_states(endpoint: str) -> Any:
    retries: Any = {"total_max_attempts": 1}
    return boto3.client(
        "stepfunctions",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries=retries),
    )


@pytest.fixture(scope="module")
def process() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.aws_server", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        try:
            yield running.stdout.readline().strip()
        finally:
            running.terminate()
            assert running.wait(10) == 0


@pytest.fixture
def states(process: str) -> Iterator[Any]:
    client = open_states(process)
    yield client
    client.close()


def control(endpoint: str, method: str, **arguments: Any) -> Any:
    request = urllib.request.Request(f"{endpoint}/_control/{method}", json.dumps(arguments).encode())
    with urllib.request.urlopen(request, timeout=20) as reply:
        return json.load(reply)["given"]


def test_a_thread_without_a_loop_holds_a_call_and_releases_it() -> None:
    with AwsServer.in_thread(clock=Clock(running=False)) as aws, ThreadPoolExecutor() as pool:
        states, token = open_states(aws.endpoint), aws.tokens.waiting()
        with aws.faults.hold("SendTaskSuccess", after_apply=True) as held:
            sent = pool.submit(states.send_task_success, taskToken=token, output="1")
            held.wait()
            assert (sent.done(), len(aws.ledger[token])) == (False, 1)
            held.release()
            sent.result()
        late = aws.faults.late("SendTaskHeartbeat", 60)
        sent = pool.submit(states.send_task_heartbeat, taskToken=aws.tokens.waiting())
        late.wait()
        aws.clock.advance(60)
        sent.result()
        states.close()


def test_closing_the_server_ends_what_hangs() -> None:
    with ThreadPoolExecutor() as pool:
        with AwsServer.in_thread() as aws:
            states, token = open_states(aws.endpoint), aws.tokens.waiting()
            never = aws.faults.never_answer("SendTaskSuccess")
            sent = pool.submit(states.send_task_success, taskToken=token, output="1")
            never.wait()
        assert sent.exception() is not None
        states.close()


def test_another_process_is_told_what_to_do_and_asked_what_happened(process: str, states: Any) -> None:
    token = control(process, "tokens.waiting", timeout_seconds=60)
    order = control(process, "faults.fail", operation="SendTaskSuccess", code="ThrottlingException", containing=token)
    with pytest.raises(ClientError, match="ThrottlingException"):
        states.send_task_success(taskToken=token, output="1")
    states.send_task_success(taskToken=token, output="1")
    assert control(process, "order.met", order=order) == 1
    (answer,) = control(process, "ledger.answers", token=token)
    assert (answer["operation"], answer["output"]) == ("SendTaskSuccess", "1")
    assert [offer["told"] for offer in control(process, "ledger.offers", token=token)] == ["ThrottlingException", "ok"]
    assert control(process, "tokens.status", token=token) == "SUCCEEDED"


def test_another_process_holds_a_call_until_it_is_told_to_release_it(process: str, states: Any) -> None:
    token = control(process, "tokens.waiting")
    order = control(process, "faults.hold", operation="SendTaskSuccess", containing=token)
    with ThreadPoolExecutor() as pool:
        sent = pool.submit(states.send_task_success, taskToken=token, output="1")
        control(process, "order.reached", order=order)
        assert control(process, "ledger.answers", token=token) == []
        control(process, "order.release", order=order)
        sent.result()
    assert len(control(process, "ledger.answers", token=token)) == 1


def test_another_process_has_jobs_and_a_clock(process: str) -> None:
    assert control(process, "jobs.add", job_id="job-1", polls=2, script=["nan"])["polls"] == 2
    assert control(process, "jobs.checks", job_id="job-1") == 0
    token = control(process, "tokens.waiting", timeout_seconds=600)
    control(process, "clock.advance", seconds=600)
    assert control(process, "tokens.status", token=token) == "FAILED"


@pytest.mark.parametrize(
    ("method", "arguments", "status"),
    [("faults.explode", {}, 404), ("faults.fail", {"operation": "x"}, 400), ("order.met", {"order": 999}, 400)],
)
def test_a_mistake_in_a_control_request_is_told(process: str, method: str, arguments: Any, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as raised:
        control(process, method, **arguments)
    with raised.value as refusal:
        assert refusal.code == status
        assert json.load(refusal)["error"]
