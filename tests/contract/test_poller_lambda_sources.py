"""The poller Lambda as `deploy` makes it on the embedded cloud, and the sources that it polls there."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

from aws_clients import AwsClients
from scheduler.aws.admin import read_item
from scheduler.aws.clients import AdminClients, admin_clients
from scheduler.aws.deploy import deploy, deploy_without_lambda
from scheduler.aws.workflows import Workflows
from scheduler.job_service import job_service, source
from scheduler.settings import Settings
from tests.contract.conftest import Go
from tests.contract.deployments import HOME, names

_LONGEST_SECONDS = 60.0


async def poll(clients: AdminClients, settings: Settings, job_id: str) -> Any:
    asked = json.dumps({"jobId": job_id}).encode()
    reply = await clients.functions.invoke(FunctionName=settings.poller_function, Payload=asked)
    async with reply["Payload"] as stream:
        return json.loads(await stream.read())


async def row_of(clients: AdminClients, settings: Settings, job_id: str) -> Mapping[str, Any]:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while (row := await read_item(clients, settings.token_table, job_id)) is None:
        assert time.monotonic() < deadline, "the workflow put no row"
        await asyncio.sleep(0.05)
    return row


async def test_a_job_of_an_http_api_is_waited_for_with_no_function_but_the_poller(go: Go) -> None:
    go(HOME)
    settings = names()
    async with (
        admin_clients() as clients,
        job_service(lambda job_id: read_item(clients, settings.jobs_table, job_id)) as url,
    ):
        for deployed in (
            deploy(clients, settings, {"reports": source(url, 1.0)}),
            deploy_without_lambda(clients, settings),
        ):
            async for _ in deployed:
                pass
        workflows = Workflows(clients, settings.state_machine_without_lambda)
        arn = await workflows.start({"record": {"id": "r-1"}}, "job-1")
        await row_of(clients, settings, "job-1")
        replies = [await poll(clients, settings, "job-1") for _ in range(3)]
        assert replies == [
            {"status": "IN_PROGRESS", "attempt": 1},
            {"status": "IN_PROGRESS", "attempt": 2},
            {"status": "COMPLETED", "reconnected": True},
        ]
        deadline = time.monotonic() + _LONGEST_SECONDS
        while not (execution := await workflows.describe(arn)).ended:
            assert time.monotonic() < deadline, "the execution did not end"
            await asyncio.sleep(0.05)
    assert execution.outcome == "SUCCESS"
    assert execution.output["result"]["result"] == {"output": "https://example.com/output/job-1"}


async def test_a_job_of_an_aws_api_is_asked_for_with_the_sdk_of_the_runtime(go: Go) -> None:
    go(HOME)
    settings = names()
    entry = {
        "aws": {
            "service": "stepfunctions",
            "operation": "DescribeStateMachine",
            "parameters": {"stateMachineArn": "{jobId}"},
        },
        "status": "status",
        "in_progress": ["ACTIVE"],
        "completed": ["GONE"],
        "failed": ["DELETING"],
        "unknown_errors": ["StateMachineDoesNotExist"],
    }
    async with admin_clients() as clients:
        async for _ in deploy(clients, settings, {"machines": entry}):
            pass
        there = f"arn:aws:states:{HOME}:000000000000:stateMachine:{settings.state_machine}"
        replies = []
        for job_id in (there, f"{there}-2"):
            row: Any = {"jobId": job_id, "taskToken": "none", "status": "POLLING", "source": "machines"}
            item: Any = {name: {"S": value} for name, value in row.items()}
            await clients.dynamodb.put_item(TableName=settings.token_table, Item=item)
            replies.append(await poll(clients, settings, job_id))
    assert replies[0] == {"status": "IN_PROGRESS", "attempt": 1}
    assert replies[1]["outcome"] == "check_failed"
    assert "StateMachineDoesNotExist" in replies[1]["reason"]


def test_a_role_is_assumed_when_it_is_first_needed(go: Go) -> None:
    go(HOME)
    session = AwsClients().session("arn:aws:iam::000000000000:role/of-the-jobs")
    credentials: Any = session.get_credentials()
    assert credentials.get_frozen_credentials().token
    assert credentials.get_frozen_credentials().access_key != "test"
    assert session.region_name == HOME
