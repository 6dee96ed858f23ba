"""Rows 21 and 22: clocks that are wrong, jump, or stand in a time zone whose clocks change."""

import asyncio
import importlib.util
import itertools
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from apscheduler.executors.base import BaseExecutor
from apscheduler.schedulers import base
from apscheduler.triggers.base import BaseTrigger

from scheduler.aws.clients import admin_clients
from scheduler.aws.deploy import deploy_table
from scheduler.aws.due_finder import DueFinder
from scheduler.aws.token_table import TokenTable
from scheduler.core.answers import Succeed
from scheduler.core.attributes import from_item
from scheduler.core.check_replies import Completed, InProgress
from scheduler.core.instant import Instant, format_iso, parse_iso
from scheduler.engine.direct_polling import DirectPoller
from scheduler.engine.report import TickReport
from scheduler.schedule import cron_trigger, interval_trigger
from tests.backends import local_environment
from tests.fakes import FakeSource, FakeStepFunctions, FakeTokenTable, fixed_policy, row_item, shard_of
from tests.faults.engine import Engine

NOW = parse_iso("2026-01-01T00:10:00Z")
MINUTES_10 = 600_000
DONE = Completed({"status": "COMPLETED"})


class Watch:
    """A clock on somebody's wall: it shows what it is set to."""

    def __init__(self, at: Instant) -> None:
        self.at = at

    def __call__(self) -> Instant:
        return self.at


class Replica:
    """One daemon's ticker, with a clock of its own."""

    def __init__(self, table: Any, answers: FakeStepFunctions, source: FakeSource, at: Instant) -> None:
        self.clock = Watch(at)
        poller = DirectPoller(table, answers, source, fixed_policy(), 10, self.clock)
        self._engine = Engine(table.finder(), poller, self.clock, 8)

    async def tick(self) -> TickReport:
        return await self._engine.tick()


class RealTable(TokenTable):
    """A real token table, which knows how to find what is due in it."""

    def __init__(self, clients: Any, name: str) -> None:
        super().__init__(clients, name, "auto")
        self._clients = clients

    def finder(self) -> DueFinder:
        return DueFinder(self, self._clients, 4, "auto", time.monotonic)


@pytest.fixture(params=["fake", "real"])
async def table(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Give a token table in which job-1 has been due for a minute."""
    item: Any = row_item(expiresAt={"S": "2099-01-01T00:00:00Z"}, version={"N": "0"}, **shard_of("job-1"))
    item["nextPollAt"] = {"N": str(NOW - 60_000)}
    if request.param == "fake":
        fake = FakeTokenTable()
        fake.put(item)
        yield fake
        return
    for name, value in local_environment(request.getfixturevalue("dynamodb_local")).items():
        monkeypatch.setenv(name, value)
    name = f"tokens-{uuid.uuid4().hex}"
    async with admin_clients() as clients:
        await deploy_table(clients, name, indexed=True)
        await clients.dynamodb.put_item(TableName=name, Item=item)
        yield RealTable(clients, name)
        await clients.dynamodb.delete_table(TableName=name)


async def row(table: Any) -> dict[str, Any]:
    return from_item(await table.get("job-1"))


async def test_fault_21_a_clock_10_minutes_ahead_answers_no_job_twice(table: Any) -> None:
    """The replica ahead takes the row out of the other's lease; both check the job and both answer."""
    answers, source = FakeStepFunctions(), FakeSource({"job-1": [DONE]})
    answers.wait("AQ-job-1")
    right = Replica(table, answers, source, NOW)
    ahead = Replica(table, answers, source, NOW + MINUTES_10)
    source.hold()
    checking = asyncio.Event()
    source.on_check = checking.set
    slow = asyncio.create_task(right.tick())
    await checking.wait()
    checking.clear()
    fast = asyncio.create_task(ahead.tick())
    await checking.wait()
    source.let_go()
    reports = [await slow, await fast]
    assert source.checks["job-1"] == len(answers.calls) == 2
    assert [type(answer) for answer in answers.ledger["AQ-job-1"]] == [Succeed]
    assert sorted(report.completed for report in reports) == [0, 1]
    assert [(report.errors, report.trouble) for report in reports] == [(0, None)] * 2
    assert (await row(table))["status"] in {"COMPLETED", "CLOSED"}
    assert [(await replica.tick()).due for replica in (right, ahead)] == [0, 0]
    assert len(answers.calls) == 2


async def test_fault_21_a_clock_that_jumps_back_polls_no_row_twice_and_the_job_ends_once(table: Any) -> None:
    answers, source = FakeStepFunctions(), FakeSource({"job-1": [InProgress(), DONE]})
    answers.wait("AQ-job-1")
    jumping, right = (Replica(table, answers, source, NOW) for _ in range(2))
    assert (await jumping.tick()).claimed == 1
    jumping.clock.at -= MINUTES_10
    assert [(await jumping.tick()).due for _ in range(3)] == [0, 0, 0]
    right.clock.at += 60_000
    assert (await right.tick()).completed == 1
    jumping.clock.at += 2 * MINUTES_10
    assert (await jumping.tick()).due == 0
    assert (source.checks["job-1"], len(answers.calls)) == (2, 1)
    assert ((await row(table))["status"], (await row(table))["attemptCount"]) == ("COMPLETED", 2)


async def test_fault_21_a_clock_that_jumps_back_in_mid_tick_bends_no_monotonic_timer() -> None:
    table, answers = FakeTokenTable(), FakeStepFunctions()
    source = FakeSource({f"job-{number}": [InProgress()] for number in range(3)})
    for job_id in source.scripts:
        table.put(row_item(job_id, expiresAt={"S": "2099-01-01T00:00:00Z"}))
    replica = Replica(table, answers, source, NOW)

    def jump() -> None:
        replica.clock.at -= MINUTES_10

    source.on_check = jump
    report = await replica.tick()
    assert (report.polled, report.errors, report.cut_short) == (3, 0, False)
    assert 0 <= report.duration_ms < 10_000
    # What the tick reckons with is its own start; a row is never due sooner than the interval after it was polled.
    assert [from_item(item)["nextPollAt"] >= NOW + 60_000 for item in table.items.values()] == [True] * 3


def test_fault_21_health_knows_no_clock_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second copy of the module is read under clocks that the test holds: its defaults are bound when it is read."""
    wall, monotonic = Watch(1_000_000), Watch(500)
    monkeypatch.setattr(time, "time", wall)
    monkeypatch.setattr(time, "monotonic", monotonic)
    spec = importlib.util.find_spec("scheduler.web.health")
    assert spec
    assert spec.loader
    copy = importlib.util.module_from_spec(spec)
    # A dataclass looks its own module up.
    monkeypatch.setitem(sys.modules, "a_copy_of_health", copy)
    copy.__name__ = "a_copy_of_health"
    exec(spec.loader.get_code(spec.name), copy.__dict__)  # type: ignore[attr-defined]  # noqa: S102
    health = copy.Health()
    health.ticked(good_for=30)
    for wall.at in (0, 10_000_000):
        ready, shown = health.readiness()
        assert (ready, shown["lastTickSecondsAgo"]) == (True, 0)
    monotonic.at += 29
    assert health.readiness()[1]["lastTickSecondsAgo"] == 29
    monotonic.at += 2
    assert health.readiness()[0] is False


async def test_fault_21_a_row_is_given_up_by_the_clock_of_who_polls_it_and_told_once() -> None:
    table, answers, source = FakeTokenTable(), FakeStepFunctions(), FakeSource({"job-1": [InProgress()]})
    table.put(row_item(expiresAt={"S": format_iso(NOW + MINUTES_10 // 2)}))
    answers.wait("AQ-job-1")
    ahead, right = (Replica(table, answers, source, NOW + early) for early in (MINUTES_10, 0))
    assert ((await ahead.tick()).failed, (await right.tick()).due) == (1, 0)
    assert (len(answers.calls), from_item(table.items["job-1"])["status"]) == (1, "EXPIRED")


# --- row 22: in Berlin the clocks change on 29 March 2026 at 01:00 UTC, and back on 25 October at 01:00 UTC

BERLIN = ZoneInfo("Europe/Berlin")
CHANGES = {
    "spring": datetime(2026, 3, 28, 12, 0, tzinfo=UTC),
    "autumn": datetime(2026, 10, 24, 12, 0, tzinfo=UTC),
}


class Noted(BaseExecutor):  # type: ignore[misc]  # APScheduler has no types
    """Runs nothing; notes what it would have run, and for which times."""

    def __init__(self) -> None:
        super().__init__()
        self.fired: list[datetime] = []

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        assert len(run_times) == 1
        self.fired.append(run_times[0].astimezone(UTC))
        self._run_job_success(job.id, [])


class Sleeper(base.BaseScheduler):  # type: ignore[misc]
    """APScheduler itself, woken when it asks to be, by a clock that a test moves."""

    def wakeup(self) -> None:
        """Do nothing: the test wakes it."""

    def shutdown(self, wait: bool = True) -> None:  # noqa: FBT001, FBT002 - APScheduler's own signature
        super().shutdown(wait)


def lived(trigger: BaseTrigger, start: datetime, hours: int, monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """Let APScheduler live through some hours as the daemon sets it up, and give when it fired."""
    now = start

    class Now(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return now.astimezone(tz)

    monkeypatch.setattr(base, "datetime", Now)
    noted, schedule = Noted(), Sleeper(timezone=UTC)
    schedule.add_executor(noted)
    options: Any = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
    schedule.add_job(print, trigger, next_run_time=start, **options)
    schedule.start()
    while now < start + timedelta(hours=hours):
        now += timedelta(seconds=schedule._process_jobs())
    schedule.shutdown()
    assert noted.fired[0] == start  # the first tick comes at once, whatever the schedule
    return noted.fired[1:]


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def machine_zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """Set the process's own time zone, as TZ does."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("machine_zone")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("schedule", "minutes"),
    [("*/20 * * * *", {20}), ("0 * * * *", {60}), (1_200, {20}), ("30 2 * * *", None), ("15 3 * * *", None)],
)
def test_fault_22_a_change_of_the_clocks_leaves_no_gap_and_makes_no_double(
    monkeypatch: pytest.MonkeyPatch, change: str, schedule: str | float, minutes: set[int] | None
) -> None:
    start = CHANGES[change]
    trigger = cron_trigger(schedule, BERLIN) if isinstance(schedule, str) else interval_trigger(schedule)
    fired = lived(trigger, start, 30, monkeypatch)
    if minutes is None:
        assert [fire.astimezone(BERLIN).day - start.astimezone(BERLIN).day for fire in fired] == [1]
    else:
        assert {(late - early).total_seconds() / 60 for early, late in itertools.pairwise(fired)} == minutes
        assert len(fired) >= 29


def test_fault_22_instants_are_utc_wherever_the_machine_stands(machine_zone: str) -> None:
    assert machine_zone
    assert parse_iso("2026-03-29T01:30:00") == parse_iso("2026-03-29T01:30:00Z") == 1_774_747_800_000
    assert parse_iso("2026-03-29T03:30:00+02:00") == 1_774_747_800_000
    assert format_iso(1_774_747_800_000) == "2026-03-29T01:30:00.000Z"
