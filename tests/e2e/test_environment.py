"""What AWS's own settings make impossible, under every command that asks a cloud: one line that says where, or what."""

import json

import pytest

from tests.backends import local_environment
from tests.e2e.cloud import Cloud, without_aws
from tests.e2e.process import piped

COMMANDS = ["run", "tick", "deploy", "start", "poll job-1", "monitor", "check"]
ENDPOINT = "http://127.0.0.1:1"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"AWS_PROFILE": "nope"}, "AWS_PROFILE='nope' is not allowed: it takes the name of a profile that is there"),
        (
            {"AWS_ENDPOINT_URL": "localhost:4566"},
            "AWS_ENDPOINT_URL='localhost:4566' is not allowed: it takes a URL, such as http://localhost:4566",
        ),
        (
            {"AWS_ACCESS_KEY_ID": "test"},
            "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not: set both of them, or neither",
        ),
        (
            {"AWS_REGION": "us east-1"},
            "AWS_REGION='us east-1' is not allowed: it takes the name of a region, such as us-east-1",
        ),
    ],
    ids=["profile", "endpoint", "half a key pair", "region"],
)
def test_a_bad_setting_of_aws_is_named_in_one_line(command: str, settings: dict[str, str], says: str) -> None:
    environment = without_aws(local_environment(ENDPOINT)) | {"AWS_ENDPOINT_URL": ENDPOINT, "SCHEDULER_HTTP_PORT": "0"}
    with piped(*command.split(), environment=environment | settings) as process:
        code, output, errors = process.ended()
    assert (code, errors) == (2, f"callback-scheduler: {says}\n")
    # The daemon's own log says it too, and nothing else fails.
    events = [(line["event"], line.get("error")) for line in map(json.loads, output.splitlines())]
    assert events == ([("scheduler.started", None), ("scheduler.failed", says)] if command == "run" else [])


def tables_nowhere(cloud: Cloud) -> dict[str, str]:
    """Give settings of tables that are in no region: some emulators have the same tables in all of them."""
    tables = {"SCHEDULER_TOKEN_TABLE": cloud.token_table, "SCHEDULER_JOBS_TABLE": cloud.jobs_table}
    return {setting: f"{table}-nowhere" for setting, table in tables.items()}


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("tick", "table {0.token_table}-nowhere"),
        ("poll job-1", "table {0.token_table}-nowhere"),
        ("start", "state machine {0.state_machine}"),
        ("check", "table {0.token_table}-nowhere"),
        ("check", "function {0.simulated_api}"),
        ("check", "state machine {0.state_machine}"),
        ("monitor --json", "table {0.token_table}-nowhere"),
        ("monitor --json", "table {0.jobs_table}-nowhere"),
    ],
)
def test_what_does_not_exist_is_told_with_endpoint_and_region(cloud: Cloud, command: str, what: str) -> None:
    done = cloud.run(*command.split(), AWS_REGION="eu-west-3", **tables_nowhere(cloud))
    assert done.returncode == 1
    missing = f"{what.format(cloud)} does not exist at {cloud.endpoint}, region eu-west-3"
    said = done.stdout + done.stderr
    assert missing in said
    assert "if that is the place, `callback-scheduler deploy` makes it there" in said
    assert done.stderr.count("\n") == 1


def test_what_a_daemon_lacks_is_told_with_endpoint_and_region(cloud: Cloud) -> None:
    with piped("run", environment=cloud.environment | tables_nowhere(cloud) | {"AWS_REGION": "eu-west-3"}) as daemon:
        assert json.loads(daemon.stdout.readline())["event"] == "scheduler.started"
        errors = {json.loads(daemon.stdout.readline())["error"].partition(";")[0] for _ in range(2)}
    place = f"at {cloud.endpoint}, region eu-west-3"
    assert errors == {
        f"table {cloud.token_table}-nowhere does not exist {place}",
        f"function {cloud.simulated_api} does not exist {place}, account 000000000000",
    }


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("tick", "its key is id, and must be jobId as a string (at {0.endpoint}, region us-east-1)"),
        ("poll job-1", "could not be used: ValidationException: "),
        ("check", "its key is id, and must be jobId as a string (at {0.endpoint}, region us-east-1)"),
        ("deploy", "exists with another key than jobId"),
        ("monitor --json", "has another key than jobId (at {0.endpoint}, region us-east-1)"),
    ],
)
def test_a_table_with_another_key_is_told_in_one_line(cloud: Cloud, command: str, says: str) -> None:
    name = f"{cloud.token_table}-other"
    cloud.dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    cloud.dynamodb.put_item(TableName=name, Item={"id": {"S": "1"}, "status": {"S": "POLLING"}})
    try:
        done = cloud.run(*command.split(), SCHEDULER_TOKEN_TABLE=name, SCHEDULER_JOBS_TABLE=name)
    finally:
        cloud.dynamodb.delete_table(TableName=name)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"table {name}" in done.stdout + done.stderr
    assert says.format(cloud) in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["start", "check"])
def test_the_account_is_told_where_the_cloud_names_it(cloud: Cloud, command: str) -> None:
    done = cloud.run(command, SCHEDULER_STATE_MACHINE="nowhere")
    place = f"at {cloud.endpoint}, region us-east-1, account 000000000000"
    assert f"state machine nowhere does not exist {place}; if that is" in done.stdout + done.stderr
