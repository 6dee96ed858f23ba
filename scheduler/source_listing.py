"""The sources as `sources` and `check` list them: how each is asked, and what the models and the network said."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

from scheduler.aws.functions import Functions
from scheduler.checks.spec import AskAws, AskHttp, SourceSpec
from scheduler.errors import SchedulerError, SettingsError
from scheduler.source_file import read_sources
from scheduler.source_making import SourceMaker
from scheduler.sources.file import Sources


@dataclass(frozen=True, slots=True)
class Listed:
    """One source, as it is listed."""

    name: str
    asks: str
    checked: str
    warnings: list[str]


def listed(sources: Sources) -> list[Listed]:
    """List the sources, with what the check of the models said."""
    made = []
    for name, spec in sources.specs.items():
        warnings = [f"{each.key}: {each.text}" for each in sources.findings[name].warnings]
        made.append(Listed(name, sources.origins[name], _checked(spec), warnings))
    return made


def _checked(spec: SourceSpec) -> str:
    match spec.ask:
        case AskAws():
            how = "status and lists" if spec.reading.status else "acceptors"
            return f"{spec.ask.service} {spec.ask.operation}: parameters, paths, {how} fit botocore's model"
        case AskHttp():
            return "paths and placeholders are right; of the reply's body nothing is known"
    return "nothing to check but the names"


async def sources_checked(
    value: str, functions: Functions | None, seconds: float
) -> AsyncIterator[tuple[str, bool, str]]:
    """Check the file of sources and whether they can be reached: what, whether it is right, and the detail.

    Each is probed by what costs nothing, as whoever asks it knows: no operation of an AWS API is called.
    """
    try:
        sources = read_sources(value)
    except SettingsError as error:
        for line in str(error).splitlines():
            yield "sources", False, line
        return
    yield "sources", True, f"{len(sources.entries)} in {sources.file}"
    specs = list(sources.specs.values())
    async with AsyncExitStack() as stack:
        maker = SourceMaker(functions, 1, seconds, stack)
        faults: dict[str, str | None] = {}
        # Making a client of AWS takes the processor for a while, which nobody's deadline should have to bear.
        for over_http in (True, False):
            some = [spec for spec in specs if isinstance(spec.ask, AskHttp) is over_http]
            found = await asyncio.gather(*(_fault(spec, maker) for spec in some))
            faults |= {spec.name: fault for spec, fault in zip(some, found, strict=True)}
    for spec, entry in zip(specs, listed(sources), strict=True):
        fault = faults[spec.name]
        told = [entry.asks, *([fault] if fault else []), *(f"warning: {each}" for each in entry.warnings)]
        yield f"source {spec.name}", fault is None, "; ".join(told)


async def _fault(spec: SourceSpec, maker: SourceMaker) -> str | None:
    try:
        await (await maker.made(spec)).probe()
    except SchedulerError as error:
        return str(error)
    return None
