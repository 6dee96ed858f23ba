"""Sourcing: the sources that the settings name, and the limits and policies that follow from them."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from scheduler.aws.clients import Clients
from scheduler.aws.functions import Functions
from scheduler.checks.source_policies import policy_of
from scheduler.checks.spec import AskLambda, Limits, SourceSpec
from scheduler.core.home import Home
from scheduler.core.timing import Policy
from scheduler.settings import Settings
from scheduler.source_making import SourceMaker
from scheduler.sources import NamedSource, Source
from scheduler.sources.batching import BatchingSource
from scheduler.sources.lambda_function import LambdaSource

DEFAULT = ""
"""The name of the source of rows that name none."""


def limits_of_sources(specs: Mapping[str, SourceSpec]) -> dict[str, Limits]:
    """Give the limits of all sources by their names, known before any client is made."""
    return {DEFAULT: Limits()} | {name: spec.limits for name, spec in specs.items()}


async def named_sources(
    settings: Settings, specs: Mapping[str, SourceSpec], clients: Clients, stack: AsyncExitStack
) -> list[NamedSource]:
    """Make all sources, the default one first; what they open is closed by the stack."""
    functions = Functions(clients)
    maker = SourceMaker(functions, settings.concurrency, settings.check_timeout_seconds, stack)
    named = [
        # The clients of AWS APIs are a source's own, and see to their credentials themselves.
        NamedSource(name, await maker.made(spec), spec.limits, aws=isinstance(spec.ask, AskLambda))
        for name, spec in specs.items()
    ]
    return [NamedSource(DEFAULT, _default(settings, functions), Limits()), *named]


def timeout_seconds(settings: Settings, limits: Limits) -> float:
    """Give the time that one check of a source may take."""
    return limits.timeout_seconds or settings.check_timeout_seconds


def wants_default(settings: Settings, *, named: bool) -> bool:
    """Tell whether the default source must be there from the start.

    Who names sources in a file may have no function at all: the default one is asked for then once a row needs it, or
    where it was named, too.
    """
    return not named or "source_function" in settings.model_fields_set


def slots(settings: Settings, limits: Limits) -> int:
    """Give how many polls of a source are in flight at most."""
    return limits.concurrency or settings.concurrency


def policy_of_sources(settings: Settings, named: Sequence[NamedSource], home: Home) -> Policy:
    """Give the policy of the default source, with those of the others in it; all share what is known of answers."""
    shared = Policy(
        settings.poll_seconds,
        settings.lease_seconds,
        settings.shards,
        settings.retention_days * 86_400,
        longest_hold_seconds=settings.hold_seconds if settings.mode == "direct" else 0.0,
        home=home,
    )

    policies = {each.name: policy_of(shared, each.limits, settings.check_timeout_seconds) for each in named}
    return replace(policies.pop(DEFAULT), sources=policies)


def _default(settings: Settings, functions: Functions) -> Source:
    """Give the default source: asked for many jobs at once where the settings say that it takes that."""
    source = LambdaSource(functions, settings.source_function)
    # No more than so many polls are ever in flight: a larger batch would wait for jobs that cannot come.
    size = min(settings.source_batch_size, settings.concurrency)
    if size == 1:
        return source
    return BatchingSource(source, settings.source_function, size, settings.check_timeout_seconds)
