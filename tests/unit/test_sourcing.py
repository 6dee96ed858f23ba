"""The sources that the settings name, and what follows from their limits."""

from contextlib import AsyncExitStack
from typing import Any, cast

from scheduler.checks.spec import Limits
from scheduler.core.home import Home
from scheduler.settings import Settings
from scheduler.sources import NamedSource
from scheduler.sources.batching import BatchingSource
from scheduler.sources.lambda_function import LambdaSource
from scheduler.sources.unasked import UnaskedSource
from scheduler.sourcing import limits_of_sources, named_sources, policy_of_sources, slots, timeout_seconds
from tests.fakes import token_row


def settings(**given: Any) -> Settings:
    return Settings.load(**given)


async def test_the_default_source_is_always_there() -> None:
    async with AsyncExitStack() as stack:
        (source,) = await named_sources(settings(), {}, cast("Any", None), stack)
        assert (source.name, source.limits, source.aws) == ("", Limits(), True)
        assert isinstance(source.source, LambdaSource)
        (batched,) = await named_sources(settings(source_batch_size=25), {}, cast("Any", None), stack)
        assert isinstance(batched.source, BatchingSource)
    assert limits_of_sources({}) == {"": Limits()}


def test_a_source_has_its_own_limits_else_those_of_the_settings() -> None:
    given = settings(interval_seconds=30, check_timeout_seconds=5, concurrency=7)
    own = Limits(20, 2, 300, 60, 9, 3)
    assert (slots(given, own), timeout_seconds(given, own)) == (3, 60)
    assert (slots(given, Limits()), timeout_seconds(given, Limits())) == (7, 5)
    named = [NamedSource(name, UnaskedSource(), limits) for name, limits in (("", Limits()), ("reports", own))]
    home = Home("us-east-1")
    policy = policy_of_sources(given, named, home)
    reports = policy.of(token_row(source="reports"))
    assert (policy.interval_seconds, policy.lease_seconds, policy.max_attempts) == (30, 26, None)
    assert (reports.interval_seconds, reports.lease_seconds, reports.max_attempts) == (20, 81, 9)
    assert (reports.backoff, reports.longest_interval_seconds) == (2, 300)
    # What is known of tokens and answers is known of all of them.
    assert reports.doubt is policy.doubt
    assert reports.given is policy.given
    assert reports.home is policy.home is home
    assert not policy_of_sources(settings(mode="lambda"), named[:1], home).longest_hold_seconds
