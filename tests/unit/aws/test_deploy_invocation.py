"""Deploying how the poller is invoked, to clouds that know the calls, refuse them, or do not know them."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from scheduler.aws.deploy_functions import Function, poller
from scheduler.aws.deploy_invocation import deploy_invocation
from scheduler.aws.deployed import Deployed
from scheduler.errors import CloudError
from scheduler.settings import Settings
from tests.unit.lambdas.lambda_fakes import client_error

pytestmark = pytest.mark.usefixtures("no_settings")

NO_CONFIG = client_error("ResourceNotFoundException", "The function poc-poller doesn't have an EventInvokeConfig", 404)


class Cloud:
    """Lambda with one function; `refusals` are raised by the calls that they are given for."""

    def __init__(self, refusals: dict[str, ClientError] | None = None) -> None:
        self.refusals = refusals or {}
        self.config: dict[str, Any] | None = None
        self.reserved: int | None = None
        self.calls: list[str] = []
        self.functions = self

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.refusals:
            raise self.refusals[name]

    async def get_function_event_invoke_config(self, *, FunctionName: str) -> Any:  # noqa: N803
        self._called("get_config")
        assert FunctionName == "poc-poller"
        if self.config is None:
            raise NO_CONFIG
        return self.config

    async def put_function_event_invoke_config(self, *, FunctionName: str, **config: Any) -> None:  # noqa: N803
        self._called("put_config")
        assert FunctionName == "poc-poller"
        self.config = config

    async def update_function_event_invoke_config(self, *, FunctionName: str, **config: Any) -> None:  # noqa: N803
        self._called("update_config")
        assert FunctionName == "poc-poller"
        self.config = (self.config or {}) | config

    async def get_function_concurrency(self, *, FunctionName: str) -> Any:  # noqa: N803
        self._called("get_concurrency")
        assert FunctionName == "poc-poller"
        return {} if self.reserved is None else {"ReservedConcurrentExecutions": self.reserved}

    async def put_function_concurrency(self, *, FunctionName: str, ReservedConcurrentExecutions: int) -> None:  # noqa: N803
        self._called("put_concurrency")
        assert FunctionName == "poc-poller"
        self.reserved = ReservedConcurrentExecutions


async def deployed(cloud: Any, **settings: Any) -> list[Deployed]:
    function: Function = poller(Settings.load(**settings))
    return [done async for done in deploy_invocation(cloud, function)]


EVENTS: dict[str, Any] = {"lambda_invocation": "event", "lambda_concurrency": 10}


async def test_by_default_nothing_of_it_is_touched() -> None:
    cloud = Cloud()
    assert (await deployed(cloud), cloud.calls) == ([], [])


async def test_no_event_is_tried_twice_and_concurrency_is_kept_where_it_is_asked_for() -> None:
    cloud = Cloud()
    assert [done.line for done in await deployed(cloud, **EVENTS)] == [
        "updated    event queue poc-poller (MaximumRetryAttempts, MaximumEventAgeInSeconds)",
        "updated    reserved concurrency poc-poller (10)",
    ]
    assert cloud.config == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    assert cloud.reserved == 10
    assert [done.action for done in await deployed(cloud, **EVENTS)] == ["unchanged"] * 2


async def test_an_event_waits_no_longer_than_the_daemon_remembers_it() -> None:
    cloud = Cloud()
    settings = Settings.load(lambda_batch_size=100, **EVENTS)
    await deployed(cloud, lambda_batch_size=100, **EVENTS)
    assert cloud.config == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": settings.invoke_seconds}


async def test_what_else_the_owner_holds_there_stays() -> None:
    cloud = Cloud()
    cloud.config = {"MaximumRetryAttempts": 2, "DestinationConfig": {"OnFailure": {"Destination": "arn"}}}
    await deployed(cloud, lambda_invocation="event")
    assert cloud.config["DestinationConfig"] == {"OnFailure": {"Destination": "arn"}}
    assert cloud.config["MaximumRetryAttempts"] == 0
    assert cloud.reserved is None


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_cloud_that_does_not_know_the_calls_gets_a_line_for_each_and_no_failure(status: int) -> None:
    unknown = client_error("NotImplemented", "no such call", status)
    calls = ("get_config", "put_config", "get_concurrency", "put_concurrency")
    done = await deployed(Cloud(dict.fromkeys(calls, unknown)), **EVENTS)
    assert [each.line for each in done] == [
        "left alone event queue poc-poller (this cloud does not know the call: NotImplemented)",
        "left alone reserved concurrency poc-poller (this cloud does not know the call: NotImplemented)",
    ]


@pytest.mark.parametrize("call", ["get_config", "put_config", "get_concurrency", "put_concurrency"])
async def test_any_other_refusal_ends_the_deployment(call: str) -> None:
    denied = client_error("AccessDeniedException", "not authorized", 403)
    with pytest.raises(CloudError, match="AccessDeniedException"):
        await deployed(Cloud({call: denied}), **EVENTS)
