"""A source that asks the service."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from scheduler.checks.spec import spec_of
from scheduler.sources.http import HttpSource
from scheduler.sources.http_auth import Signer
from scheduler.sources.http_exchange import open_http_session
from scheduler.sources.secrets import Secrets

LISTS: dict[str, Any] = {
    "status": "body.state",
    "in_progress": ["RUNNING"],
    "completed": ["DONE"],
    "failed": ["FAILED"],
    "result": "body.links.output",
    "reason": "body.message",
}


@asynccontextmanager
async def asking(
    http: Mapping[str, Any],
    *,
    secrets: Secrets | None = None,
    signer: Signer | None = None,
    seconds: float = 5,
    reading: Mapping[str, Any] = LISTS,
) -> AsyncIterator[HttpSource]:
    """Open a source that asks as an entry's `http` says."""
    async with open_http_session(slots=8) as session:
        spec = spec_of("reports", {"http": http, **reading})
        yield HttpSource(spec, session, secrets or Secrets(), seconds, signer)
