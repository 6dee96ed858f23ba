"""Assembling what polling needs from the settings: used by the daemon, by `tick` and by `poll`."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
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
from scheduler.checks.spec import Limits
from scheduler.core.home import Home
from scheduler.core.instant import Instant
from scheduler.core.row_reader import Found, Malformed
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
from scheduler.sources import NamedSource, Source
from scheduler.sources.file import Sources
from scheduler.sources.unasked import UnaskedSource
from scheduler.sourcing import (
    DEFAULT,
    limits_of_sources,
    named_sources,
    policy_of_sources,
    slots,
    timeout_seconds,
    wants_default,
)
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
    asked_at_start: tuple[Lane, ...] = ()
    """The lanes whose sources are asked at the start whether they are there; the others' once a job needs them."""

    def poller_of(self, row: Found) -> Poller:
        """Give what polls a row; the default source's poller knows what to do with one that is nobody's."""
        lane = None if isinstance(row, Malformed) else self.dispatch.lane_of(row)
        return lane.poller if lane else self.poller

    async def probe(self) -> None:
        """Ask whether the token table can be used, and learn from it how to find rows. Raises CloudError."""
        shape = await self.table.probe()
        self.finder.learn(shape)
        # DynamoDB Local and its like name regions of their own in ARNs.
        if shape.region == self.home.region:
            self.home.account = shape.account


@asynccontextmanager
async def assembled(
    settings: Settings, sources: Sources, health: Health | None = None, *, hold: bool = False
) -> AsyncIterator[Parts]:
    """Open clients and build the parts upon them; no call is made yet. Raises CloudError.

    Only a daemon may `hold` rows: it alone renews them and gives them free.
    """
    skew = ClockSkew(clock.now)
    direct = settings.mode == "direct"
    specs = sources.specs
    limits = limits_of_sources(specs)
    invoke_seconds = settings.invoke_seconds_with(_longest_check(settings, limits))
    patience = _REPLY_SECONDS + _function_seconds(settings, limits, invoke_seconds)
    async with polling_clients(_connections(settings, limits), patience, skew) as clients, AsyncExitStack() as stack:
        home = Home(clients.answers.meta.region_name)
        table = TokenTable(clients, settings.token_table, settings.due)
        finder = DueFinder(table, clients, settings.shards, settings.due, time.monotonic)
        functions = Functions(clients)
        attention = Attention(health or Health())
        made = await named_sources(settings, specs, clients, stack)
        policy = policy_of_sources(settings, made, home)

        def polling(source: Source, seconds: float) -> DirectPoller:
            return DirectPoller(table, Answers(clients), source, policy, seconds, clock.now)

        def lane_of(each: NamedSource) -> Lane:
            return Lane(
                each.name or settings.source_function,
                polling(each.source, timeout_seconds(settings, each.limits)),
                slots(settings, each.limits),
                attention,
                rate=each.limits.rate_per_second,
                aws=each.aws,
            )

        handed_over = HandedOver(invoke_seconds)
        desk: Lane | None = None
        named: dict[str, Lane] = {}
        if direct:
            named = {each.name: lane_of(each) for each in made}
            lane = named.pop(DEFAULT)
            unasked = polling(UnaskedSource(), settings.check_timeout_seconds)
            desk = Desk("desk", unasked, settings.concurrency, attention)
        else:
            invoking = _invoking(settings, functions, handed_over)
            lane = Lane(settings.poller_function, invoking, settings.concurrency, attention)
        dispatch = Dispatch(lane, desk, home, settings.poll_seconds, named=named)
        dispatch.interval = lambda row: (policy.of(row) if policy.knows(row) else policy).interval(row)
        dispatch.handed_over = handed_over.holds
        replicas: Replicas | None = None
        if hold and desk and settings.hold_seconds and settings.hold_rows:
            clocks = Clocks(clock.now, clock.boot, first_fire(settings))
            held = Held(new_name(), settings.hold_rows, sources=1 + len(named))
            polls = MemoryPolls(held, policy, clocks, lane, desk, named=named)
            attention.on_freed = polls.on_room
            taking_up = TakingUp(held, table, polls, desk, attention)
            dispatch.holding = Holding(held, polls, taking_up, Renewals(held, table, polls))
            roll = ReplicaTable(table, clients, settings.shards)
            replicas = Replicas(roll, dispatch.holding, lambda: finder.indexed, __version__)
        finder.passes_by = dispatch.passes_by
        ticker = Ticker(finder, dispatch, attention, clock.now)
        yield Parts(
            clients,
            skew,
            home,
            table,
            finder,
            lane.poller,
            dispatch,
            attention,
            ticker,
            replicas,
            _asked_at_start(settings, lane, named),
        )


def _asked_at_start(settings: Settings, lane: Lane, named: Mapping[str, Lane]) -> tuple[Lane, ...]:
    """Give the lanes whose sources must be there from the start."""
    wanted = wants_default(settings, named=bool(named))
    return (lane, *named.values()) if wanted else tuple(named.values())


def _connections(settings: Settings, limits: Mapping[str, Limits]) -> int:
    """Give how many calls go on at once: the polls of each source, and those at the desk."""
    if settings.mode != "direct":
        return 2 * settings.concurrency
    return settings.concurrency + sum(slots(settings, each) for each in limits.values())


def first_fire(settings: Settings) -> Callable[[Instant], Instant] | None:
    """Give what tells the first instant from one on at which polls may happen: a cron's fires, else any."""
    if settings.cron is None:
        return None
    trigger = settings.trigger()

    def at(moment: Instant) -> Instant:
        fire = next_fire(trigger, datetime.fromtimestamp((moment - 1) / 1000, UTC))
        return moment if fire is None else round(fire.timestamp() * 1000)

    return at


def _longest_check(settings: Settings, limits: Mapping[str, Limits]) -> float:
    """Give the longest that one check of any source may take."""
    return max(timeout_seconds(settings, each) for each in limits.values())


def _function_seconds(settings: Settings, limits: Mapping[str, Limits], invoke_seconds: float) -> float:
    """Give the longest that a function may run while its reply is waited for."""
    if settings.mode == "direct":
        return _longest_check(settings, limits)
    return invoke_seconds if settings.lambda_invocation == "wait" else 0.0


def _invoking(settings: Settings, functions: Functions, handed_over: HandedOver) -> Poller:
    """Give what polls in lambda mode."""
    name, batch = settings.poller_function, settings.lambda_batch_size
    if settings.lambda_invocation == "wait":
        return LambdaPoller(functions, name, batch)
    return EventPoller(functions, name, batch, handed_over)
