"""Assembling what polling needs from the settings: used by the daemon, by `tick` and by `poll`."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from scheduler import __version__, clock
from scheduler.aws.clients import Clients, polling_clients
from scheduler.aws.clock_skew import ClockSkew
from scheduler.aws.due_finder import DueFinder
from scheduler.aws.functions import Functions
from scheduler.aws.replica_table import ReplicaTable
from scheduler.aws.task_answers import Answers
from scheduler.aws.token_table import TokenTable
from scheduler.core.home import Home
from scheduler.core.instant import Instant
from scheduler.core.timing import Policy
from scheduler.engine.attention import Attention
from scheduler.engine.desk import Desk
from scheduler.engine.direct_polling import DirectPoller
from scheduler.engine.dispatch import Dispatch
from scheduler.engine.handing_over import EventPoller, HandedOver
from scheduler.engine.held_row import Held
from scheduler.engine.lambda_polling import LambdaPoller
from scheduler.engine.lanes import Lane
from scheduler.engine.memory_polls import Clocks, MemoryPolls
from scheduler.engine.poller import Poller
from scheduler.engine.renewals import Renewals
from scheduler.engine.replicas import Holding, Replicas, new_name
from scheduler.engine.taking_up import TakingUp
from scheduler.engine.tick import Ticker
from scheduler.schedule import next_fire
from scheduler.settings import Settings
from scheduler.sources import Source
from scheduler.sources.batching import BatchingSource
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
    replicas: Replicas | None = None

    async def probe(self) -> None:
        """Ask whether the token table can be used, and learn from it how to find rows. Raises CloudError."""
        shape = await self.table.probe()
        self.finder.learn(shape)
        # DynamoDB Local and its like name regions of their own in ARNs.
        if shape.region == self.home.region:
            self.home.account = shape.account


@asynccontextmanager
async def assembled(settings: Settings, health: Health | None = None, *, hold: bool = False) -> AsyncIterator[Parts]:
    """Open clients and build the parts upon them; no call is made yet. Raises CloudError.

    Only a daemon may `hold` rows: it alone renews them and gives them free.
    """
    skew = ClockSkew(clock.now)
    direct = settings.mode == "direct"
    patience = _function_seconds(settings) + _REPLY_SECONDS
    async with polling_clients(2 * settings.concurrency, patience, skew) as clients:
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
            longest_hold_seconds=settings.hold_seconds if direct else 0.0,
            home=home,
        )

        def polling(source: Source) -> DirectPoller:
            answers = Answers(clients)
            return DirectPoller(table, answers, source, policy, settings.check_timeout_seconds, clock.now)

        handed_over = HandedOver(settings.invoke_seconds)
        poller: Poller
        slots = settings.concurrency
        desk: Lane | None = None
        if direct:
            poller = polling(_source(settings, functions))
            source = Lane(settings.source_function, poller, slots, attention)
            desk = Desk("desk", polling(UnaskedSource()), slots, attention)
        else:
            poller = _invoking(settings, functions, handed_over)
            source = Lane(settings.poller_function, poller, slots, attention)
        dispatch = Dispatch(source, desk, home, settings.poll_seconds)
        dispatch.handed_over = handed_over.holds
        replicas: Replicas | None = None
        if hold and desk and settings.hold_seconds and settings.hold_rows:
            clocks = Clocks(clock.now, clock.boot, first_fire(settings))
            held = Held(new_name(), settings.hold_rows)
            polls = MemoryPolls(held, policy, clocks, source, desk)
            attention.on_freed = polls.on_room
            taking_up = TakingUp(held, table, polls, desk, attention)
            dispatch.holding = Holding(held, polls, taking_up, Renewals(held, table, polls))
            roll = ReplicaTable(table, clients, settings.shards)
            replicas = Replicas(roll, dispatch.holding, lambda: finder.indexed, __version__)
        finder.passes_by = dispatch.passes_by
        ticker = Ticker(finder, dispatch, attention, clock.now)
        yield Parts(clients, skew, home, table, finder, poller, dispatch, attention, ticker, replicas)


def first_fire(settings: Settings) -> Callable[[Instant], Instant] | None:
    """Give what tells the first instant from one on at which polls may happen: a cron's fires, else any."""
    if settings.cron is None:
        return None
    trigger = settings.trigger()

    def at(moment: Instant) -> Instant:
        fire = next_fire(trigger, datetime.fromtimestamp((moment - 1) / 1000, UTC))
        return moment if fire is None else round(fire.timestamp() * 1000)

    return at


def _function_seconds(settings: Settings) -> float:
    """Give the longest that a function may run while its reply is waited for."""
    if settings.mode == "direct":
        return settings.check_timeout_seconds
    return settings.invoke_seconds if settings.lambda_invocation == "wait" else 0.0


def _invoking(settings: Settings, functions: Functions, handed_over: HandedOver) -> Poller:
    """Give what polls in lambda mode."""
    name, batch = settings.poller_function, settings.lambda_batch_size
    if settings.lambda_invocation == "wait":
        return LambdaPoller(functions, name, batch)
    return EventPoller(functions, name, batch, handed_over)


def _source(settings: Settings, functions: Functions) -> Source:
    """Give the default source: asked for many jobs at once where the settings say that it takes that."""
    source = LambdaSource(functions, settings.source_function)
    # No more than so many polls are ever in flight: a larger batch would wait for jobs that cannot come.
    size = min(settings.source_batch_size, settings.concurrency)
    if size == 1:
        return source
    return BatchingSource(source, settings.source_function, size, settings.check_timeout_seconds)
