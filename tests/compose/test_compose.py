"""The containers for real: an image is built, `docker compose up` brings everything up, and a workflow ends.

Runs on whatever engine answers, and on the emulator that EMULATOR_IMAGE names; needs no AWS account.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from mypy_boto3_dynamodb import DynamoDBClient
from mypy_boto3_stepfunctions import SFNClient

from scheduler.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:poc-callback-workflow"
SESSION = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
INTERVAL_SECONDS = 1.0
UP_SECONDS = 1500
"""The first build and LocalStack's first Lambda download images; how fast is the network's affair."""
STOP_SECONDS = 10.0
"""A drain with nothing in flight; the grace is three times as long."""

pytestmark = pytest.mark.timeout(UP_SECONDS + 300)


def output_of(*command: str, env: Mapping[str, str] | None = None, seconds: float = 120) -> str:
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if ended.returncode:
        pytest.fail(
            f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout[-6000:]}\n{ended.stderr[-6000:]}"
        )
    return ended.stdout


def succeeds(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def compose_command() -> tuple[str, ...]:
    where = os.environ.get("DOCKER_HOST", "the default socket")
    if not succeeds("docker", "version", "--format", "{{.Server.Version}}"):
        pytest.fail(f"no container engine answers on {where}: start one, or set DOCKER_HOST", pytrace=False)
    if succeeds("docker", "compose", "version"):
        return ("docker", "compose")
    if succeeds("docker-compose", "version"):
        return ("docker-compose",)
    return pytest.fail("neither `docker compose` nor `docker-compose` is installed", pytrace=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(holds: Callable[[], bool], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds:g} s")
        time.sleep(0.25)


@dataclass(frozen=True, slots=True)
class Stack:
    command: tuple[str, ...]
    no_settings: Path
    """An empty file in place of .env: somebody's own settings have no say here."""
    env: Mapping[str, str]

    def compose(self, *arguments: str, seconds: float = 120) -> str:
        # The profile, so that `down` knows all there is.
        settings = ("--env-file", str(self.no_settings), "--profile", "demo")
        return output_of(*self.command, *settings, *arguments, env=self.env, seconds=seconds)

    def up(self, *services: str) -> None:
        self.compose("up", "-d", "--build", *services, seconds=UP_SECONDS)

    def inspect(self, service: str) -> dict[str, Any]:
        container = self.compose("ps", "--all", "-q", service).strip()
        (shown,) = json.loads(output_of("docker", "inspect", container))
        found: dict[str, Any] = shown
        return found

    def log(self, service: str) -> list[str]:
        container: str = self.inspect(service)["Id"]
        return output_of("docker", "logs", container).splitlines()

    def wait_healthy(self) -> None:
        def healthy() -> bool:
            return bool(self.inspect("scheduler")["State"]["Health"]["Status"] == "healthy")

        wait_until(healthy, "the scheduler is healthy", 60)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.env['EMULATOR_PORT']}"

    def stepfunctions(self) -> SFNClient:
        return SESSION.client("stepfunctions", endpoint_url=self.endpoint)

    def dynamodb(self) -> DynamoDBClient:
        return SESSION.client("dynamodb", endpoint_url=self.endpoint)

    def finished_workflow(self) -> dict[str, Any]:
        """Start a workflow by hand, wait for its end, and give the answer that it got."""
        client = self.stepfunctions()
        asked = json.dumps({"pollingConfig": {"intervalSeconds": 1}})
        arn = client.start_execution(stateMachineArn=MACHINE, input=asked)["executionArn"]
        wait_until(lambda: client.describe_execution(executionArn=arn)["status"] != "RUNNING", "the workflow ends", 180)
        ended = client.describe_execution(executionArn=arn)
        assert ended["status"] == "SUCCEEDED", ended
        output = json.loads(ended["output"])
        assert output["status"] == "SUCCESS", output
        answer: dict[str, Any] = output["result"]
        return answer


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    command = compose_command()
    env = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "COMPOSE_"))}
    env |= {
        "COMPOSE_PROJECT_NAME": f"callback-scheduler-test-{secrets.token_hex(4)}",
        "AWS_REGION": "us-east-1",
        "EMULATOR_PORT": str(free_port()),
        "SCHEDULER_HTTP_PORT": str(free_port()),
        "SCHEDULER_INTERVAL_SECONDS": f"{INTERVAL_SECONDS:g}",
    }
    engine = env.get("DOCKER_HOST", "")
    if engine.startswith("unix://"):
        env.setdefault("DOCKER_SOCK", engine.removeprefix("unix://"))
    no_settings = tmp_path_factory.mktemp("compose") / "no-settings.env"
    no_settings.touch()
    stack = Stack(command, no_settings, env)
    try:
        # The demo stays down until its own test asks for it.
        stack.up("scheduler")
        stack.wait_healthy()
        yield stack
    finally:
        try:
            print(stack.compose("logs", "--no-color", "--tail", "40"))  # noqa: T201  shown where something failed
        finally:
            stack.compose("down", "--volumes", "--timeout", "10")


def test_a_workflow_started_by_hand_ends_with_its_jobs_answer(stack: Stack) -> None:
    answer = stack.finished_workflow()

    assert answer["status"] == "COMPLETED"
    assert answer["attempts"] == answer["result"]["completionPolls"]


def test_the_daemon_is_ready_on_its_published_port(stack: Stack) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.env['SCHEDULER_HTTP_PORT']}/readyz", timeout=5) as reply:
        assert json.load(reply)["status"] == "ready"


def test_the_image_is_asked_whether_it_lives_and_the_service_whether_it_is_ready(stack: Stack) -> None:
    (image,) = json.loads(output_of("docker", "image", "inspect", "callback-scheduler"))

    asked = ["CMD", "callback-scheduler", "healthcheck"]
    assert image["Config"]["Healthcheck"]["Test"] == [*asked, "--live"]
    assert stack.inspect("scheduler")["Config"]["Healthcheck"]["Test"] == asked


def test_the_log_is_json_lines_and_holds_no_task_token(stack: Stack) -> None:
    job_id = stack.finished_workflow()["jobId"]
    row = stack.dynamodb().get_item(TableName="poc-task-tokens", Key={"jobId": {"S": job_id}})["Item"]

    lines = stack.log("scheduler")

    entries = [json.loads(line) for line in lines]
    assert all({"timestamp", "level", "event"} <= entry.keys() for entry in entries)
    assert {entry["event"] for entry in entries if entry.get("job_id") == job_id} >= {"poll.completed"}
    assert row["taskToken"]["S"] not in "\n".join(lines)


def test_every_setting_is_passed_on_with_its_default(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    env = dict(line.split("=", 1) for line in stack.inspect("scheduler")["Config"]["Env"])
    passed = {name: value for name, value in env.items() if name.startswith(PREFIX)}
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    expected = Settings.load(interval_seconds=INTERVAL_SECONDS, http_host="0.0.0.0")  # noqa: S104  compared, not bound
    for name, value in passed.items():
        monkeypatch.setenv(name, value)

    assert {PREFIX + name.upper() for name in Settings.model_fields} == passed.keys()
    assert expected.model_dump() == Settings.load().model_dump()


def test_the_daemon_may_do_next_to_nothing(stack: Stack) -> None:
    shown = stack.inspect("scheduler")

    assert shown["Config"]["User"] == "10001:10001"
    assert shown["HostConfig"]["ReadonlyRootfs"] is True
    assert shown["HostConfig"]["CapDrop"] == ["ALL"]
    assert shown["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]


def test_only_the_emulator_has_the_engines_socket_and_all_ports_are_loopback_ones(stack: Stack) -> None:
    services = {name: stack.inspect(name) for name in ("localstack", "deploy", "scheduler")}

    sockets = {
        name
        for name, shown in services.items()
        if any(mount["Destination"] == "/var/run/docker.sock" for mount in shown["Mounts"])
    }
    addresses = {
        binding["HostIp"]
        for shown in services.values()
        for bindings in (shown["HostConfig"]["PortBindings"] or {}).values()
        for binding in bindings
    }
    assert sockets == {"localstack"}
    assert addresses == {"127.0.0.1"}


def test_the_lambdas_network_is_the_one_that_everything_is_on(stack: Stack) -> None:
    shown = stack.inspect("localstack")
    env = dict(line.split("=", 1) for line in shown["Config"]["Env"])

    assert {env["LAMBDA_DOCKER_NETWORK"], env["MAIN_DOCKER_NETWORK"]} == shown["NetworkSettings"]["Networks"].keys()


def test_the_demo_profile_starts_workflows_by_itself(stack: Stack) -> None:
    client = stack.stepfunctions()

    def succeeded() -> int:
        return len(client.list_executions(stateMachineArn=MACHINE, statusFilter="SUCCEEDED")["executions"])

    before = succeeded()
    stack.up("demo")
    try:
        wait_until(lambda: succeeded() >= before + 2, "two workflows of the demo succeed", 120)
    finally:
        stack.compose("stop", "demo")


def test_stopping_drains_and_ends_with_0_well_inside_the_grace(stack: Stack) -> None:
    started = time.monotonic()
    stack.compose("stop", "scheduler")
    took = time.monotonic() - started

    try:
        assert stack.inspect("scheduler")["State"]["ExitCode"] == 0
        assert took < STOP_SECONDS
        assert json.loads(stack.log("scheduler")[-1])["event"] == "scheduler.stopped"
    finally:
        stack.compose("start", "scheduler")
        stack.wait_healthy()
