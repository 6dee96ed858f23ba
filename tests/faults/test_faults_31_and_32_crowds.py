"""Rows 31 and 32: a great many rows due at once."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from scheduler import assembly
from scheduler.aws.token_table import TokenTable
from scheduler.core.check_replies import InProgress
from scheduler.core.instant import Instant, parse_iso
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import Found
from scheduler.core.token_row import due_shard
from scheduler.daemon import Daemon as DaemonInProcess
from scheduler.engine.direct_polling import DirectPoller
from scheduler.engine.tick import Ticker
from scheduler.settings import Settings
from tests.fakes import FakeSource, FakeStepFunctions, FakeTokenTable, fixed_policy, row_item
from tests.faults.world import World, until
from tests.unit.conftest import Logs, logs, restored_logging

__all__ = ["logs", "restored_logging"]

NOW = parse_iso("2026-01-01T00:10:00Z")
CONCURRENCY = 16
PAGE = 125  # rows that the table reads at once: 100 of the oldest and 25 of the newest


class Alive:
    """Counts items that somebody still holds."""

    def __init__(self) -> None:
        self.now = self.most = self.ever = 0

    def item(self, **attributes: Any) -> "Item":
        self.now += 1
        self.ever += 1
        self.most = max(self.most, self.now)
        return Item(self, attributes)


class Item(dict[str, Any]):
    """An item of DynamoDB that tells when nobody holds it any more."""

    def __init__(self, alive: Alive, attributes: dict[str, Any]) -> None:
        super().__init__(attributes)
        self._alive = alive

    def __del__(self) -> None:
        self._alive.now -= 1


class EndlessTable:
    """DynamoDB's client for a table in which very many rows are due; it makes each only when it is asked for."""

    def __init__(self, rows: int, shards: int) -> None:
        self.alive = Alive()
        self.pages_ahead = 0
        self._ids: dict[int, Iterator[str]] = {
            shard: iter([f"job-{number}" for number in range(shard, rows, shards)]) for shard in range(shards)
        }

    async def describe_table(self, **_: Any) -> Any:
        return {"Table": {"GlobalSecondaryIndexes": [{"IndexName": "due", "IndexStatus": "ACTIVE"}]}}

    async def query(self, **asked: Any) -> Any:
        shard = int(asked["ExpressionAttributeValues"][":shard"]["N"])
        ids = [job_id for _, job_id in zip(range(asked["Limit"]), self._ids[shard], strict=False)]
        more = {"LastEvaluatedKey": {"jobId": {"S": ids[-1]}}} if len(ids) == asked["Limit"] else {}
        return {"Items": [{"jobId": {"S": job_id}} for job_id in ids], **more}

    async def batch_get_item(self, **asked: Any) -> Any:
        ((name, wanted),) = asked["RequestItems"].items()
        items = [self.alive.item(**row_item(key["jobId"]["S"])) for key in wanted["Keys"]]
        return {"Responses": {name: items}}


class CountingPoller:
    """Polls in no time, and counts the rows that it holds and that the ticker has not been given back."""

    batch = 1

    def __init__(self) -> None:
        self.polled = 0
        self.in_flight = self.most_in_flight = 0

    async def probe(self) -> None:
        """Do nothing."""

    async def poll(self, rows: Sequence[Found], tick: Instant) -> list[Outcome]:
        assert tick == NOW
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        self.polled += 1
        return [Outcome(Kind.LOST, rows[0].job_id)]


@pytest.mark.usefixtures("logs")
async def test_fault_31_of_100_000_rows_due_no_more_are_held_than_the_slots_and_a_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scheduler.tick.log_outcome", lambda *_: None)  # it would take most of the test's time
    client, poller, started = EndlessTable(100_000, shards=4), CountingPoller(), Counter[str]()
    table = TokenTable(cast("Any", client), "tokens", 4, "index", lambda: 0.0)
    create_task = asyncio.create_task

    def counted(*given: Any, **named: Any) -> Any:
        started["tasks"] += 1
        assert started["tasks"] - poller.polled <= CONCURRENCY
        return create_task(*given, **named)

    monkeypatch.setattr("scheduler.tick.asyncio.create_task", counted)
    report = await Ticker(table, poller, CONCURRENCY, lambda: NOW, longest=600).run("tick")
    assert (report.due, report.polled, poller.polled, client.alive.ever) == (100_000,) * 4
    assert poller.most_in_flight == CONCURRENCY
    assert client.alive.most <= CONCURRENCY + 2 * PAGE  # one page is polled while the next has just been read


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

    def cut_early(*given: Any) -> Ticker:
        finder, poller, concurrency, clock = given
        return Ticker(finder, poller, concurrency, clock, CUT_SECONDS)

    def quick_source(**parts: Any) -> DirectPoller:
        return replace(DirectPoller(**parts), source=source)

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
    await first.wait()
    await asyncio.to_thread(world.put, "newcomer", "AQ-newcomer", nextPollAt=parse_iso("2026-01-01T12:00:00Z"))

    def done() -> bool:
        return running.done() or any(line["event"] == "tick.finished" and not line["cut_short"] for line in logs())

    await asyncio.to_thread(until, done)
    daemon.stop()
    await running
    ticks = [line for line in logs() if line["event"] == "tick.finished"]
    assert len(ticks) >= 3
    assert [tick["cut_short"] for tick in ticks] == [True] * (len(ticks) - 1) + [False]
    # The interval is a day, so that a tick after one that was cut short began at once.
    assert sum(tick["polled"] for tick in ticks) == sum(tick["claimed"] for tick in ticks) == BACKLOG + 1
    assert set(source.checks.values()) == {1}
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
    ticker = Ticker(table, DirectPoller(table, answers, source, policy, 10, lambda: now), 64, lambda: now)
    assert (await ticker.run("first")).claimed == 1_000
    due = [int(item["nextPollAt"]["N"]) - NOW for item in table.items.values()]
    # A tenth of the interval early at most, and never late: the tick an interval on finds them all.
    seconds = Counter(at // 1000 for at in due)
    assert set(seconds) == set(range(54, 60))
    assert all(100 < count < 250 for count in seconds.values())
    now = NOW + 60_000
    assert (await ticker.run("second")).claimed == 1_000
    assert set(source.checks.values()) == {2}
