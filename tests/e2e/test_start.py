"""`start`: what is printed where, at what time, and what becomes of executions that go on."""

import json
import re
import signal
from pathlib import Path

import pytest

from tests.aws_server import AwsServer
from tests.aws_server.ledger import Answer
from tests.backends import local_environment
from tests.e2e.cloud import Cloud
from tests.e2e.process import Piped, piped

NONE_YET = r"callback-scheduler: 0 of 1 executions have ended after 1\d s\n"
ARN = "arn:aws:states:us-east-1:000000000000:execution:poc-callback-workflow:"


def begun(process: Piped, count: int) -> list[str]:
    """Read the ARNs that are told to people while the command waits."""
    lines = [process.stderr.readline() for _ in range(count)]
    assert all(line.startswith(f"callback-scheduler: started {ARN}") for line in lines)
    return [line.split()[-1] for line in lines]


def succeed(aws: AwsServer, arn: str, **output: str) -> None:
    aws.tokens.answer(aws.tokens.of(arn), Answer("SendTaskSuccess", 0, output=json.dumps(output)))


def test_without_waiting_each_arn_is_printed_at_once_when_it_has_started() -> None:
    with AwsServer.in_thread() as aws:
        held = aws.faults.hold("StartExecution", skip=2, times=1)
        with piped("start", "--count", "3", environment=local_environment(aws.endpoint)) as process:
            assert [process.stdout.readline().startswith(ARN) for _ in range(2)] == [True] * 2
            assert process.process.poll() is None
            held.release()
            code, output, errors = process.ended()
    assert (code, output.startswith(ARN), output.count("\n"), errors) == (0, True, 1, "")


def test_waiting_tells_people_what_has_started_and_prints_each_end_when_it_has_come() -> None:
    with (
        AwsServer.in_thread() as aws,
        piped("start", "--count", "2", "--wait", environment=local_environment(aws.endpoint)) as process,
    ):
        first, second = begun(process, 2)
        succeed(aws, second, status="SUCCESS")
        assert process.stdout.readline().split() == [second, "SUCCEEDED", "SUCCESS"]
        succeed(aws, first, status="FAILED", error="JobFailed", cause="no\x1b[2Jpaper")
        code, output, errors = process.ended()
    assert (code, output) == (1, f"{first}  SUCCEEDED  FAILED  'JobFailed: no\\x1b[2Jpaper'\n")
    assert errors == "callback-scheduler: 1 of 2 executions did not succeed\n"


def test_as_json_all_is_one_document_at_the_end_and_the_arns_are_told_before() -> None:
    with (
        AwsServer.in_thread() as aws,
        piped("start", "--count", "2", "--wait", "--json", environment=local_environment(aws.endpoint)) as process,
    ):
        arns = begun(process, 2)
        for arn in arns:
            succeed(aws, arn, status="SUCCESS")
        code, output, errors = process.ended()
    assert (code, errors) == (0, "")
    assert json.loads(output) == [
        {
            "executionArn": arn,
            "status": "SUCCEEDED",
            "outcome": "SUCCESS",
            "reason": None,
            "output": {"status": "SUCCESS"},
        }
        for arn in arns
    ]


def test_an_end_that_does_not_come_in_time_leaves_what_is_known() -> None:
    with (
        AwsServer.in_thread() as aws,
        piped(
            "start", "--count", "2", "--wait", "--timeout", "3", "--json", environment=local_environment(aws.endpoint)
        ) as process,
    ):
        first, second = begun(process, 2)
        succeed(aws, first, status="SUCCESS")
        code, output, errors = process.ended()
    assert code == 1
    assert errors == "callback-scheduler: 1 of 2 executions have not ended within 3 s; they go on\n"
    assert [(each["executionArn"], each["status"]) for each in json.loads(output)] == [
        (first, "SUCCEEDED"),
        (second, "RUNNING"),
    ]


def test_ctrl_c_leaves_what_is_known_too() -> None:
    with (
        AwsServer.in_thread() as aws,
        piped("start", "--wait", "--json", environment=local_environment(aws.endpoint)) as process,
    ):
        (arn,) = begun(process, 1)
        process.process.send_signal(signal.SIGINT)
        code, output, errors = process.ended()
    assert (code, errors) == (130, "")
    assert json.loads(output) == [{"executionArn": arn, "status": "RUNNING"}]


def test_a_start_that_fails_prints_what_has_started() -> None:
    with AwsServer.in_thread() as aws:
        aws.faults.fail("StartExecution", code="AccessDeniedException", skip=1, times=None)
        with piped("start", "--count", "3", environment=local_environment(aws.endpoint)) as process:
            code, output, errors = process.ended()
    assert (code, output.startswith(ARN), output.count("\n"), errors.count("\n")) == (1, True, 1, 1)
    assert "AccessDeniedException" in errors


def test_throttling_slows_it_down_and_fails_nothing() -> None:
    with AwsServer.in_thread() as aws:
        throttled = aws.faults.fail("*Execution", code="ThrottlingException", times=3)
        with piped("start", "--wait", environment=local_environment(aws.endpoint)) as process:
            assert "ThrottlingException" in (told := process.stderr.readline())
            assert told.endswith("; trying again\n")
            (arn,) = begun(process, 1)
            succeed(aws, arn, status="SUCCESS")
            code, output, errors = process.ended()
        assert throttled.met == 3
    assert (code, output.split(), errors) == (0, [arn, "SUCCEEDED", "SUCCESS"], "")


@pytest.mark.parametrize("arguments", [["--timeout", "5"], ["--timeout", "5", "--json"]])
def test_a_time_to_wait_without_waiting_is_bad_usage(arguments: list[str]) -> None:
    with piped("start", *arguments, environment=local_environment("http://127.0.0.1:1")) as process:
        code, output, errors = process.ended()
    assert (code, output) == (2, "")
    assert "Invalid value for --timeout: it says how long to --wait, which is not asked for" in errors


def test_an_execution_without_a_token_row_is_told_after_ten_seconds(cloud: Cloud, tmp_path: Path) -> None:
    # On ministack, as on no other cloud, an execution goes on waiting where create-job raises.
    bad = tmp_path / "bad.json"
    bad.write_text('{"pollingConfig": {"maxAttempts": "many"}}', "utf-8")
    with piped("start", "--wait", "--input", str(bad), environment=cloud.environment) as process:
        arn = process.stderr.readline().split()[-1]
        told = process.stderr.readline()
        execution = cloud.states.describe_execution(executionArn=arn)
        if execution["status"] == "RUNNING":
            says = f"{arn} has no token row after 10 s: {cloud.create_job} has probably failed, and its log says why"
            assert told == f"callback-scheduler: {says}\n"
            assert re.fullmatch(NONE_YET, process.stderr.readline())
            cloud.states.stop_execution(executionArn=arn)
    with piped("start", "--wait", environment=cloud.environment) as process:
        process.stderr.readline()
        assert re.fullmatch(NONE_YET, process.stderr.readline())
