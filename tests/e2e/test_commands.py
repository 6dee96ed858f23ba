"""The commands that a person types."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cloud import COMMAND, PLAIN, Cloud


def fails(done: "subprocess.CompletedProcess[str]", code: int, says: str) -> None:
    """Hold that a command failed with one line and no traceback."""
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


async def test_deploy_again_changes_nothing(cloud: Cloud) -> None:
    resources = json.loads(cloud.succeed("deploy", "--json"))
    assert {(resource["action"], resource["note"]) for resource in resources} == {("unchanged", None)}
    assert [resource["kind"] for resource in resources] == [
        "table", "table", "role", "function", "role", "function", "role", "function", "role", "state machine",
    ]  # fmt: skip


async def test_deploy_brings_up_to_date_what_has_changed(cloud: Cloud) -> None:
    lines = cloud.succeed("deploy", SCHEDULER_CHECK_TIMEOUT_SECONDS="7").splitlines()
    updated = f"updated    function {cloud.poller} (Timeout, Environment)"
    assert [line for line in lines if not line.startswith("unchanged")] == [updated]
    assert updated in cloud.succeed("deploy").splitlines()


async def test_deploy_leaves_a_function_of_somebody_else_alone(cloud: Cloud) -> None:
    name = f"{cloud.poller}-of-somebody"
    cloud.deploy_function(name, Path(__file__).with_name("foreign_poller.py"))
    lines = cloud.succeed("deploy", SCHEDULER_POLLER_FUNCTION=name).splitlines()
    assert f"left alone function {name} (somebody else made it)" in lines


async def test_deploy_adds_the_index_to_a_table_that_lacks_it(cloud: Cloud) -> None:
    name = f"{cloud.token_table}-plain"
    cloud.dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "jobId", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "jobId", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    lines = cloud.succeed("deploy", SCHEDULER_TOKEN_TABLE=name).splitlines()
    assert f"updated    table {name} (index due, TTL on purgeAt)" in lines
    (index,) = cloud.dynamodb.describe_table(TableName=name)["Table"]["GlobalSecondaryIndexes"]
    assert (index["IndexName"], index["Projection"]["ProjectionType"]) == ("due", "KEYS_ONLY")
    cloud.succeed("deploy")


async def test_a_workflow_is_started_polled_by_hand_and_watched(cloud: Cloud) -> None:
    given = json.dumps({"record": {"data": {"completionPolls": 2}}})
    done = cloud.run("start", "--input", "-", "--json", given=given)
    arn = json.loads(done.stdout)[0]["executionArn"]
    assert (done.returncode, done.stderr) == (0, f"callback-scheduler: started {arn}\n")
    while not cloud.rows():
        pass
    (row,) = cloud.rows()
    first = json.loads(cloud.succeed("poll", row["jobId"], "--json", SCHEDULER_LOG_LEVEL="error"))
    assert first == {"status": "IN_PROGRESS", "attempt": 1, "maxAttempts": 10}
    second = json.loads(cloud.succeed("poll", row["jobId"], "--json", SCHEDULER_LOG_LEVEL="error"))
    assert second == {"status": "COMPLETED", "reconnected": True}
    assert json.loads(cloud.succeed("poll", row["jobId"], "--json")) == {"status": "COMPLETED"}
    (ended,) = cloud.rows()
    told = f"status=COMPLETED  ended at {ended['completedAt']}, not polled\n"
    assert cloud.succeed("poll", row["jobId"]) == told
    assert cloud.outcome(arn)["status"] == "SUCCESS"
    shown = json.loads(cloud.succeed("monitor", "--json"))
    assert [(each["jobId"], each["attempts"]) for each in shown["tokenRows"]] == [(row["jobId"], "2/10")]
    assert shown["jobs"][0]["polls"] == "2/2"
    assert {each["status"] for each in shown["functions"]} == {"Active"}
    assert any(each["outcome"] == "SUCCESS" for each in shown["executions"])
    assert row["jobId"][:8] in cloud.succeed("monitor")


async def test_a_job_in_a_state_of_another_version_is_not_polled(cloud: Cloud) -> None:
    cloud.put_row("later", status={"S": "PAUSED"})
    assert cloud.succeed("poll", "later") == "status=PAUSED  no state that this version knows, not polled\n"


async def test_start_waits_for_the_end_and_fails_with_a_workflow_that_fails(cloud: Cloud, tmp_path: Path) -> None:
    fast: dict[str, Any] = {"pollingConfig": {"intervalSeconds": 1}}
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(fast), "utf-8")
    bad.write_text(json.dumps(fast | {"record": {"data": {"failWith": "it broke"}}}), "utf-8")
    with cloud.daemon(tmp_path / "log"):
        ended = cloud.run("start", "--count", "3", "--wait", "--input", str(good))
        assert [line.split()[1:] for line in ended.stdout.splitlines()] == [["SUCCEEDED", "SUCCESS"]] * 3
        done = cloud.run("start", "--wait", "--json", "--input", str(bad))
    assert (ended.returncode, done.returncode) == (0, 1)
    assert json.loads(done.stdout)[0]["reason"] == "JobFailed: it broke"
    assert done.stderr.splitlines()[-1] == "callback-scheduler: 1 of 1 executions did not succeed"


async def test_a_single_tick_polls_what_is_due(cloud: Cloud) -> None:
    cloud.put_row(cloud.make_job(completionPolls=5))
    done = cloud.run("tick", "--json")
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert (report["due"], report["polled"], report["claimed"], report["errors"]) == (1, 1, 1, 0)
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["poll.in_progress", "tick.finished"]


async def test_check_names_what_can_be_reached(cloud: Cloud) -> None:
    assert {result["ok"] for result in json.loads(cloud.succeed("check", "--json"))} == {True}
    done = cloud.run("check", SCHEDULER_TOKEN_TABLE="nowhere")
    assert done.returncode == 1
    assert f"table nowhere does not exist at {cloud.endpoint}, region us-east-1" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "given", "settings", "says"),
    [
        (["poll", "nobody"], "", {}, "job 'nobody' is not in table"),
        (["start", "--input", "-"], "not json", {}, "the input - is not JSON"),
        (["start", "--input", "-"], "[1]", {}, "the input - is not a JSON object"),
        (["start", "--input", "nowhere.json"], "", {}, "cannot read the input nowhere.json: No such file"),
        (["start"], "", {"SCHEDULER_STATE_MACHINE": "nowhere"}, "state machine nowhere does not exist"),
        (["poll", "x"], "", {"SCHEDULER_TOKEN_TABLE": "nowhere"}, "table nowhere does not exist"),
        (["tick"], "", {"SCHEDULER_SOURCE_FUNCTION": "nowhere"}, "function nowhere does not exist"),
        (["deploy"], "", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "EndpointConnectionError"),
    ],
)
async def test_what_cannot_be_done_is_said_in_one_line(
    cloud: Cloud, arguments: list[str], given: str, settings: dict[str, str], says: str
) -> None:
    fails(cloud.run(*arguments, given=given, **settings), 1, says)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"SCHEDULER_CONCURRENCY": "0"}, "SCHEDULER_CONCURRENCY='0' is not allowed: it takes a whole number from 1"),
        ({"SCHEDULER_CRON": "* * * * *", "SCHEDULER_INTERVAL_SECONDS": "5"}, "are both set"),
        ({"SCHEDULER_CRON": "0 0 30 2 *"}, "(it never fires)"),
    ],
)
@pytest.mark.parametrize("command", ["run", "tick", "check", "deploy"])
def test_a_bad_setting_is_named_with_what_is_allowed(command: str, settings: dict[str, str], says: str) -> None:
    done = subprocess.run([COMMAND, command], env=PLAIN | settings, capture_output=True, text=True, check=False)
    fails(done, 2, says)


def test_an_unknown_setting_is_warned_of_with_the_nearest_name(cloud: Cloud) -> None:
    done = cloud.run("check", SCHEDULER_INTERVL_SECONDS="5")
    assert done.returncode == 0
    assert done.stderr == (
        "callback-scheduler: warning: SCHEDULER_INTERVL_SECONDS is not a setting; "
        "did you mean SCHEDULER_INTERVAL_SECONDS?\n"
    )


def test_a_local_cloud_needs_neither_credentials_nor_a_region(cloud: Cloud) -> None:
    bare = {name: value for name, value in cloud.environment.items() if not name.startswith("AWS_")}
    bare["AWS_ENDPOINT_URL"] = cloud.endpoint
    done = subprocess.run([COMMAND, "check"], env=bare, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize(
    "command", ["run", "tick", "deploy", "start", "poll", "monitor", "demo", "check", "healthcheck"]
)
def test_every_command_has_help_with_an_example(command: str, option: str) -> None:
    done = subprocess.run([COMMAND, command, option], env=PLAIN, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Example: " in done.stdout
