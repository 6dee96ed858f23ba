"""Assembling what polling needs from the settings: used by the daemon, by `tick` and by `poll`."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from scheduler import clock
from scheduler.aws.clients import Clients, polling_clients
from scheduler.aws.clock_skew import ClockSkew
from scheduler.aws.due_finder import DueFinder
from scheduler.aws.functions import Functions
from scheduler.aws.task_answers import Answers
from scheduler.aws.token_table import TokenTable
from scheduler.core.home import Home
from scheduler.core.timing import Policy
from scheduler.engine.attention import Attention
from scheduler.engine.direct_polling import DirectPoller
from scheduler.engine.dispatch import Dispatch
from scheduler.engine.lambda_polling import LambdaPoller
from scheduler.engine.lanes import Lane
from scheduler.engine.poller import Poller
from scheduler.engine.tick import Ticker
from scheduler.settings import Settings
from scheduler.sources import Source
from scheduler.sources.lambda_function import LambdaSource
from scheduler.sources.unasked import UnaskedSource
from scheduler.web.health import Health

_REPLY_SECONDS = 5.0
"""A function is waited for this much longer than it may run: its own time-out is the clearer error."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What polling is made of."""

    clients: Clients
    skew: ClockSkew
    home: Home
    table: TokenTable
    finder: DueFinder
    poller: Poller
    dispatch: Dispatch
    attention: Attention
    ticker: Ticker

    async def probe(self) -> None:
        """Ask whether the token table can be used, and learn from it how to find rows. Raises CloudError."""
        shape = await self.table.probe()
        self.finder.learn(shape)
        # DynamoDB Local and its like name regions of their own in ARNs.
        if shape.region == self.home.region:
            self.home.account = shape.account


@asynccontextmanager
async def assembled(settings: Settings, health: Health | None = None) -> AsyncIterator[Parts]:
    """Open clients and build the parts upon them; no call is made yet. Raises CloudError."""
    skew = ClockSkew(clock.now)
    direct = settings.mode == "direct"
    patience = settings.check_timeout_seconds if direct else settings.invoke_seconds
    async with polling_clients(2 * settings.concurrency, patience + _REPLY_SECONDS, skew) as clients:
        home = Home(clients.answers.meta.region_name)
        table = TokenTable(clients, settings.token_table, settings.due)
        finder = DueFinder(table, clients, settings.shards, settings.due, time.monotonic)
        functions = Functions(clients)
        attention = Attention(health or Health())
        policy = Policy(
            settings.poll_seconds,
            settings.lease_seconds,
            settings.shards,
            settings.retention_days * 86_400,
            home=home,
        )

        def polling(source: Source) -> DirectPoller:
            answers = Answers(clients)
            return DirectPoller(table, answers, source, policy, settings.check_timeout_seconds, clock.now)

        def lane(name: str, poller: Poller) -> Lane:
            return Lane(name, poller, settings.concurrency, attention)

        poller: Poller
        if direct:
            poller = polling(LambdaSource(functions, settings.source_function))
            source, desk = lane(settings.source_function, poller), lane("desk", polling(UnaskedSource()))
        else:
            poller = LambdaPoller(functions, settings.poller_function, settings.lambda_batch_size)
            source, desk = lane(settings.poller_function, poller), None
        dispatch = Dispatch(source, desk, home, settings.poll_seconds)
        ticker = Ticker(finder, dispatch, attention, clock.now)
        yield Parts(clients, skew, home, table, finder, poller, dispatch, attention, ticker)
