"""Rows 31 and 32: a great many rows due at once."""

import asyncio
import gc
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from scheduler import assembly
from scheduler.aws.due_finder import DueFinder
from scheduler.aws.token_table import TokenTable
from scheduler.core.check_replies import InProgress
from scheduler.core.instant import Instant, parse_iso
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import Found
from scheduler.core.token_row import TokenRow, due_shard
from scheduler.daemon import Daemon as DaemonInProcess
from scheduler.engine.direct_polling import DirectPoller
from scheduler.engine.tick import Ticker
from scheduler.settings import Settings
from tests.fakes import FakeSource, FakeStepFunctions, FakeTokenTable, fixed_policy, row_item
from tests.faults.engine import Engine
from tests.faults.world import World, until
from tests.unit.conftest import Logs, logs, restored_logging

__all__ = ["logs", "restored_logging"]

NOW = parse_iso("2026-01-01T00:10:00Z")
CONCURRENCY = 64
PAGE = 125  # rows that the table reads at once: 100 of the oldest and 25 of the newest


class EndlessTable:
    """DynamoDB's client for a table in which very many rows are due; it makes each only when it is asked for."""

    def __init__(self, rows: int, shards: int) -> None:
        self.read = 0
        self._shards = shards
        self._waits = [bytearray(b"\1" * (rows // shards)) for _ in range(shards)]
        self._first = [0] * shards

    @property
    def dynamodb(self) -> Any:
        return self

    def take(self, job_id: str) -> None:
        """Let a row be due no more: it was claimed."""
        place, shard = divmod(int(job_id.removeprefix("job-")), self._shards)
        assert self._waits[shard][place]
        self._waits[shard][place] = 0
        while self._first[shard] < len(self._waits[shard]) and not self._waits[shard][self._first[shard]]:
            self._first[shard] += 1

    async def describe_table(self, **_: Any) -> Any:
        keys = [{"AttributeName": name} for name in ("dueShard", "nextPollAt")]
        index = {"IndexName": "due", "IndexStatus": "ACTIVE", "KeySchema": keys}
        return {"Table": {"GlobalSecondaryIndexes": [index]}}

    async def query(self, **asked: Any) -> Any:
        shard = int(asked["ExpressionAttributeValues"][":shard"]["N"])
        waits = self._waits[shard]
        after = asked.get("ExclusiveStartKey")
        place = int(after["jobId"]["S"].removeprefix("job-")) // self._shards if after else None
        if asked["ScanIndexForward"]:
            places = range(self._first[shard] if place is None else place + 1, len(waits))
        else:
            places = range((len(waits) if place is None else place) - 1, self._first[shard] - 1, -1)
        found = list(
            islice((f"job-{place * self._shards + shard}" for place in places if waits[place]), asked["Limit"])
        )
        more = {"LastEvaluatedKey": {"jobId": {"S": found[-1]}}} if len(found) == asked["Limit"] else {}
        return {"Items": [{"jobId": {"S": job_id}} for job_id in found], **more}

    async def batch_get_item(self, **asked: Any) -> Any:
        ((name, wanted),) = asked["RequestItems"].items()
        self.read += len(wanted["Keys"])
        return {"Responses": {name: [row_item(key["jobId"]["S"]) for key in wanted["Keys"]]}}


class CountingPoller:
    """Claims and polls in no time, and now and then counts the rows that anybody in this process holds."""

    claims, batch = True, 1

    def __init__(self, table: EndlessTable) -> None:
        self.polled = self.in_flight = self.most_in_flight = self.most_rows = 0
        self._table = table
        self._rows_before = _rows_alive()

    async def probe(self) -> None:
        """Do nothing."""

    async def poll(self, rows: Sequence[Found], tick: Instant, claimed: Any = None) -> list[Outcome]:
        assert tick == NOW
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self._table.take(rows[0].job_id)
        claimed(won=True)
        for _ in range(3):
            await asyncio.sleep(0)
        self.in_flight -= 1
        self.polled += 1
        if self.polled % 4_000 == 0:
            self.most_rows = max(self.most_rows, _rows_alive() - self._rows_before)
        return [Outcome(Kind.IN_PROGRESS, rows[0].job_id, claimed=True)]


def _rows_alive() -> int:
    return sum(type(each) is TokenRow for each in gc.get_objects())


@pytest.mark.usefixtures("logs")
async def test_fault_31_of_100_000_rows_due_no_more_are_held_than_the_slots_and_a_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scheduler.engine.poll_log.log_outcome", lambda *_: None)  # it would take most of the time
    client = EndlessTable(100_000, shards=4)
    poller = CountingPoller(client)
    finder = DueFinder(TokenTable(client, "tokens", "index"), client, 4, "index", lambda: 0.0)
    engine = Engine(finder, poller, lambda: NOW, CONCURRENCY, longest=600)
    report = await engine.ticker.run_alone("tick")
    assert (report.polled, report.claimed, poller.polled) == (100_000,) * 3
    assert CONCURRENCY / 2 < poller.most_in_flight <= CONCURRENCY
    # In the slots, in the queue behind them, and of one page from each end of the backlog of a shard.
    assert 0 < poller.most_rows <= 3 * CONCURRENCY + 2 * PAGE
    assert engine.lane.in_hand == set()
    # What a lane has no room for is read again, but not again and again.
    assert client.read < 2 * 100_000


BACKLOG = 1_500
CUT_SECONDS = 0.4


def write_backlog(world: World, count: int) -> None:
    """Write rows of jobs that were due an hour ago, twenty-five at a time."""
    due = parse_iso("2026-01-01T00:00:00Z")
    for start in range(0, count, 25):
        rows: list[Any] = []
        for number in range(start, min(start + 25, count)):
            job_id = f"job-{number}"
            more: Any = {"version": {"N": "0"}, "nextPollAt": {"N": str(due + number)}}
            shard = {"dueShard": {"N": str(due_shard(job_id, 4))}}
            item = row_item(job_id, expiresAt={"S": "2099-01-01T00:00:00Z"}, **more, **shard)
            rows.append({"PutRequest": {"Item": item}})
        world.dynamodb.batch_write_item(RequestItems={world.table: rows})


async def test_fault_31_a_backlog_is_worked_off_over_several_ticks_and_a_row_due_later_does_not_starve(
    world: World, monkeypatch: pytest.MonkeyPatch, dynamodb_local: str, logs: Logs
) -> None:
    """Ticks are cut short after a fraction of a second here, instead of LONGEST_SECONDS; the interval is a day."""
    await asyncio.to_thread(write_backlog, world, BACKLOG)
    environment = world.environment | {"SCHEDULER_INTERVAL_SECONDS": "86400", "SCHEDULER_CONCURRENCY": "32"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local)
    source = FakeSource()
    source.scripts = {name: [InProgress()] for name in ("newcomer", *(f"job-{number}" for number in range(BACKLOG)))}

    def cut_early(finder: Any, dispatch: Any, attention: Any, clock: Any) -> Ticker:
        return Ticker(finder, dispatch, attention, clock, CUT_SECONDS)

    def quick_source(*parts: Any) -> DirectPoller:
        return replace(DirectPoller(*parts), source=source)

    monkeypatch.setattr(assembly, "Ticker", cut_early)
    monkeypatch.setattr(assembly, "DirectPoller", quick_source)
    seen_before: list[int] = []
    first = asyncio.Event()

    def first_check_of_the_newcomer() -> None:
        first.set()
        if source.checks["newcomer"] and not seen_before:
            seen_before.append(sum(source.checks.values()))

    source.on_check = first_check_of_the_newcomer
    daemon = DaemonInProcess(Settings.load())
    running = asyncio.create_task(daemon.run())
    async with asyncio.timeout(30):
        await first.wait()
    await asyncio.to_thread(world.put, "newcomer", "AQ-newcomer", nextPollAt=parse_iso("2026-01-01T12:00:00Z"))

    def done() -> bool:
        ended = any(line["event"] == "tick.finished" and not line["cut_short"] for line in logs())
        return running.done() or (ended and len(source.checks) > BACKLOG)

    await asyncio.to_thread(until, done)
    daemon.stop()
    await running
    ticks = [line for line in logs() if line["event"] == "tick.finished"]
    assert len(ticks) >= 3
    assert [tick["cut_short"] for tick in ticks] == [True] * (len(ticks) - 1) + [False]
    # The interval is a day, so that a tick after one that was cut short began at once.
    assert (len(source.checks), set(source.checks.values())) == (BACKLOG + 1, {1})
    # A row may be read just before a quick poll of it is over; its second claim is lost, and costs no check.
    assert sum(tick["lost"] for tick in ticks) < BACKLOG / 10
    assert ticks[0]["oldest_due_seconds"] > ticks[0]["duration_ms"] / 1000 + 3_600
    assert {tick["errors"] for tick in ticks} == {0}
    assert source.most_in_flight <= 32
    assert seen_before[0] < BACKLOG * 0.8


@pytest.mark.usefixtures("logs")
async def test_fault_32_of_1_000_rows_due_in_the_same_second_the_next_round_is_spread_by_jitter() -> None:
    table, answers = FakeTokenTable(), FakeStepFunctions()
    source = FakeSource({f"job-{number}": [InProgress()] for number in range(1_000)})
    for job_id in source.scripts:
        table.put(row_item(job_id, nextPollAt={"N": str(NOW)}))
    policy = replace(fixed_policy(interval=60, lease=31), chance=random.Random(32).random)
    now = NOW
    poller = DirectPoller(table, answers, source, policy, 10, lambda: now)
    engine = Engine(table.finder(), poller, lambda: now)
    assert (await engine.tick()).claimed == 1_000
    due = [int(item["nextPollAt"]["N"]) - NOW for item in table.items.values()]
    # A tenth of the interval early at most, and never late: the tick an interval on finds them all.
    seconds = Counter(at // 1000 for at in due)
    assert set(seconds) == set(range(54, 60))
    assert all(100 < count < 250 for count in seconds.values())
    now = NOW + 60_000
    assert (await engine.tick()).claimed == 1_000
    assert set(source.checks.values()) == {2}
