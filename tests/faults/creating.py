"""The function create-job over a world's token table, and the simulated API with a table of its own."""

from typing import Any

import boto3
from botocore.config import Config

from create_job import JobCreator
from scheduler import clock
from scheduler.core.attributes import from_item
from simulated_api import SimulatedApi
from tests.faults.world import World


class Creating:
    """What Step Functions invokes, and what it creates jobs at."""

    def __init__(self, world: World) -> None:
        self.world = world
        keys: Any = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
        retries: Any = {"mode": "standard", "total_max_attempts": 3}
        config = Config(read_timeout=2, retries=retries)
        self._dynamodb = boto3.client("dynamodb", endpoint_url=world.aws.endpoint, config=config, **keys)
        self._functions = boto3.client("lambda", endpoint_url=world.aws.endpoint, config=config, **keys)
        self.jobs_table = f"{world.table}-jobs"
        world.dynamodb.create_table(
            TableName=self.jobs_table,
            KeySchema=[{"AttributeName": "jobId", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "jobId", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        world.aws.functions.add("api", SimulatedApi(world.dynamodb, self.jobs_table).answer)

    def close(self) -> None:
        self.world.dynamodb.delete_table(TableName=self.jobs_table)
        self._dynamodb.close()
        self._functions.close()

    def create(self, token: str, api: str = "api", record: str = "r-1", **more: Any) -> str:
        """Create a job as an older state machine asks for it; `more` is added to the event."""
        return self._create(token, api, {"record": {"id": record}} | more)

    def attempt(self, token: str, retry: int, polls: int = 2) -> str:
        """Create a job as our state machine asks for it, in this attempt of one and the same entry."""
        entry = {"state": "CreateJobAndWait", "time": "2026-01-01T00:00:00.000Z", "retryCount": retry}
        event = {"entry": entry, "record": {"id": "r-1", "data": {"completionPolls": polls}}}
        return self._create(token, "api", event)

    def _create(self, token: str, api: str, event: dict[str, Any]) -> str:
        creator = JobCreator(self._dynamodb, self._functions, self.world.table, api, 4, clock.now)
        always = {"taskToken": token, "executionId": "arn:e", "pollingConfig": {"intervalSeconds": 0.2}}
        job_id: str = creator.create(always | event)["jobId"]
        return job_id

    def jobs(self) -> list[dict[str, Any]]:
        return [from_item(item) for item in self.world.dynamodb.scan(TableName=self.jobs_table)["Items"]]
