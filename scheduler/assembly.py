"""Assembling what a tick needs from the settings: used by the daemon, by `tick` and by `poll`."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from scheduler import clock
from scheduler.aws.clients import polling_clients
from scheduler.aws.functions import Functions
from scheduler.aws.task_answers import Answers
from scheduler.aws.token_table import TokenTable
from scheduler.core.timing import Policy
from scheduler.engine.direct_polling import DirectPoller
from scheduler.engine.lambda_polling import LambdaPoller
from scheduler.engine.poller import Poller
from scheduler.engine.tick import Ticker
from scheduler.settings import Settings
from scheduler.sources.lambda_function import LambdaSource

_REPLY_SECONDS = 5.0
"""A function is waited for this much longer than it may run: its own time-out is the clearer error."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a tick is made of."""

    table: TokenTable
    poller: Poller
    ticker: Ticker

    async def probe(self) -> None:
        """Ask whether the token table and what polls are there. Raises MissingError or CloudError."""
        await self.table.probe()
        await self.poller.probe()


@asynccontextmanager
async def assembled(settings: Settings) -> AsyncIterator[Parts]:
    """Open clients and build the parts upon them; no call is made yet."""
    direct = settings.mode == "direct"
    patience = settings.check_timeout_seconds if direct else settings.invoke_seconds
    async with polling_clients(settings.concurrency, patience + _REPLY_SECONDS, retry_invoke=direct) as clients:
        table = TokenTable(clients.dynamodb, settings.token_table, settings.shards, settings.due, time.monotonic)
        functions = Functions(clients.functions)
        poller: Poller
        if direct:
            poller = DirectPoller(
                rows=table,
                sender=Answers(clients.answers),
                source=LambdaSource(functions, settings.source_function),
                policy=Policy(
                    settings.poll_seconds,
                    settings.lease_seconds,
                    settings.shards,
                    settings.retention_days * 86_400,
                ),
                check_timeout=settings.check_timeout_seconds,
                clock=clock.now,
            )
        else:
            poller = LambdaPoller(functions, settings.poller_function, settings.lambda_batch_size)
        yield Parts(table, poller, Ticker(table, poller, settings.concurrency, clock.now))
