"""Many executions are started and watched within what an account may ask of Step Functions."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from scheduler.aws.clients import admin_clients
from scheduler.aws.executions import DESCRIBED_PER_SECOND, started, watched
from scheduler.aws.patience import Patience
from scheduler.aws.workflows import Workflows
from scheduler.errors import CloudError, MissingError
from tests.aws_server import AwsServer, Clock
from tests.aws_server.ledger import Answer

NAME = "poc-callback-workflow"


@pytest.fixture
async def aws() -> AsyncIterator[AwsServer]:
    async with AwsServer.running(clock=Clock(1_000_000.0, running=False)) as server:
        yield server


@pytest.fixture
async def workflows(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workflows]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    async with admin_clients(brief=True) as clients:
        yield Workflows(clients, NAME)


class Sleeper:
    """Sleeps by the server's clock, which goes on for as long at once."""

    def __init__(self, aws: AwsServer) -> None:
        self._clock = aws.clock
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._clock.advance(seconds)

    def patience(self) -> Patience:
        return Patience(lambda _text: None, self._clock.now, self.sleep)


def succeed(aws: AwsServer, arn: str, status: str = "SUCCESS") -> None:
    aws.tokens.answer(aws.tokens.of(arn), Answer("SendTaskSuccess", 0, output=json.dumps({"status": status})))


async def collect(starts: AsyncIterator[str], arns: list[str]) -> None:
    async for arn in starts:
        arns.append(arn)  # noqa: PERF401  what was given before an error is what is looked at


async def test_each_execution_is_given_at_once_when_it_has_started(aws: AwsServer, workflows: Workflows) -> None:
    async with aws.faults.hold("StartExecution", after_apply=True, skip=1, times=1) as held:
        starts = started(workflows, {"a": 1}, 3, Sleeper(aws).patience())
        first, second = await anext(starts), await anext(starts)
        held.release()
        third = await anext(starts)
        assert await anext(starts, None) is None
    assert len({first, second, third}) == 3
    assert [json.loads(aws.tokens.execution(arn).input) for arn in (first, second, third)] == [{"a": 1}] * 3


async def test_a_start_that_is_throttled_is_made_again(aws: AwsServer, workflows: Workflows) -> None:
    aws.faults.fail("StartExecution", code="ThrottlingException", times=25)
    arns = [arn async for arn in started(workflows, {}, 30, Sleeper(aws).patience())]
    assert len(set(arns)) == 30
    assert aws.calls["StartExecution"] == 55


async def test_a_start_whose_reply_is_lost_starts_nothing_twice(aws: AwsServer, workflows: Workflows) -> None:
    aws.faults.drop_reply("StartExecution", times=2)
    arns = [arn async for arn in started(workflows, {}, 2, Sleeper(aws).patience())]
    assert aws.calls["StartExecution"] == 4
    assert len(set(arns)) == 2
    assert {aws.tokens.execution(arn).execution_arn for arn in arns} == set(arns)


async def test_a_cloud_that_refuses_a_name_of_its_own_has_started_it(aws: AwsServer, workflows: Workflows) -> None:
    arn = await workflows.start({"a": 1}, "one")
    succeed(aws, arn)
    assert await workflows.start({"a": 1}, "one") == arn


async def test_what_has_started_is_given_before_a_start_that_fails_is_raised(
    aws: AwsServer, workflows: Workflows
) -> None:
    aws.faults.fail("StartExecution", code="StateMachineDoesNotExist", skip=3)
    arns: list[str] = []
    with pytest.raises(MissingError, match=f"state machine {NAME} does not exist at {aws.endpoint}"):
        await collect(started(workflows, {}, 100, Sleeper(aws).patience()), arns)
    # Of ten at once one failed; a few that followed those that had started already were under way.
    assert 9 <= len(arns) == aws.calls["StartExecution"] - 1 < 30


async def test_a_few_executions_are_looked_at_once_a_second(aws: AwsServer, workflows: Workflows) -> None:
    sleeper = Sleeper(aws)
    arns = [await workflows.start({}, name) for name in ("a", "b")]
    seen = []
    async with aclosing(watched(workflows, arns, sleeper.patience(), sleeper.sleep)) as looks:
        async for execution in looks:
            seen.append((execution.arn[-1], execution.status))
            if len(seen) == 4:
                succeed(aws, arns[1])
            if len(seen) == 8:
                succeed(aws, arns[0])
    ab = [("a", "RUNNING"), ("b", "RUNNING")]
    assert seen == [*ab, *ab, ab[0], ("b", "SUCCEEDED"), ab[0], ab[0], ("a", "SUCCEEDED")]
    assert sleeper.slept == [0.5, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0]


async def test_many_executions_are_looked_at_within_the_quota_of_an_account(
    aws: AwsServer, workflows: Workflows
) -> None:
    sleeper = Sleeper(aws)
    # The smallest that AWS lists, all but empty already.
    throttled = aws.faults.throttle("DescribeExecution", rate=10, burst=1)
    arns = [await workflows.start({}, str(number)) for number in range(60)]
    began, looks = aws.clock.now(), 0
    async for execution in watched(workflows, arns, sleeper.patience(), sleeper.sleep):
        looks += 1
        if looks == 300:
            for arn in arns:
                succeed(aws, arn)
        assert execution.ended == (looks > 300)
    assert (looks, throttled.met) == (360, 0)
    assert looks / (aws.clock.now() - began) <= DESCRIBED_PER_SECOND * 1.01


async def test_looking_goes_on_more_slowly_where_it_is_throttled(aws: AwsServer, workflows: Workflows) -> None:
    sleeper = Sleeper(aws)
    throttled = aws.faults.throttle("DescribeExecution", rate=2, burst=1)  # others have used up nearly all
    arns = [await workflows.start({}, str(number)) for number in range(20)]
    for arn in arns:
        succeed(aws, arn)
    ended = [execution.arn async for execution in watched(workflows, arns, sleeper.patience(), sleeper.sleep)]
    assert ended == arns
    assert throttled.met > 0
    assert aws.calls["DescribeExecution"] < 60


async def test_a_look_that_is_refused_for_good_is_raised(aws: AwsServer, workflows: Workflows) -> None:
    sleeper = Sleeper(aws)
    arn = await workflows.start({}, "a")
    aws.faults.deny("DescribeExecution")
    with pytest.raises(CloudError, match="AccessDeniedException"):
        await anext(watched(workflows, [arn], sleeper.patience(), sleeper.sleep))
    assert sleeper.slept == []
