"""The function create-job over its fakes, as a state machine that says its entry invokes it."""

from typing import Any

from create_job import JobCreator
from scheduler.core.attributes import from_item, to_attribute
from scheduler.core.instant import parse_iso
from scheduler.core.states import EndState
from tests.unit.lambdas.lambda_fakes import FakeDynamoDB, FakeFunctions

NOW = parse_iso("2026-01-02T03:04:05.678Z")
LATER = NOW + 60_000
ENTRY = {"state": "CreateJobAndWait", "time": "2026-01-02T03:04:05.000Z", "retryCount": 0}
FIRST, SECOND = "first-secret-0123456789", "second-secret-0123456789"


def event(token: str = FIRST, retry: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "taskToken": token,
        "executionId": "arn:execution",
        "record": {"id": "r-1", "data": {"size": 3}},
        "pollingConfig": {"intervalMinutes": 1, "maxAttempts": 10, "timeoutMinutes": 15, "heartbeat": False},
        "entry": ENTRY | {"retryCount": retry},
    } | more


class Creating:
    """The function over its fakes, with a clock that a test sets."""

    def __init__(self, table: FakeDynamoDB, api: FakeFunctions) -> None:
        self.table = table
        self.api = api
        self.now = NOW
        self.creator: Any = JobCreator(table, api, "tokens", "api", 4, lambda: self.now)  # type: ignore[arg-type]

    def create(self, given: dict[str, Any]) -> str:
        job_id: str = self.creator.create(given)["jobId"]
        return job_id

    def row(self, job_id: str) -> dict[str, Any]:
        return from_item(self.table.items[job_id])

    def change(self, job_id: str, **attributes: Any) -> None:
        self.table.items[job_id] |= {name: to_attribute(value) for name, value in attributes.items()}

    def end(self, job_id: str, status: EndState) -> None:
        self.change(job_id, status=status.value, completedAt="2026-01-02T03:05:00.000Z", purgeAt=1_800_000_000)
        for name in ("dueShard", "nextPollAt"):
            del self.table.items[job_id][name]

    @property
    def keys(self) -> list[str]:
        return [request["payload"]["idempotencyKey"] for request in self.api.requests]


def keyed_api() -> FakeFunctions:
    """Give an API whose jobs are named after their idempotency keys."""
    return FakeFunctions(lambda request: {"jobId": f"job-{request['payload']['idempotencyKey'][:12]}"})
