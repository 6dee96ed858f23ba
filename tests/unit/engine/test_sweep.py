"""The sweep: little by little, within its budget of reads, and from where it was."""

import asyncio
from collections import deque

import pytest

from scheduler.core.instant import Instant
from scheduler.core.service_calls import Refusal
from scheduler.engine.sweep import PAGE_ROWS, ROWS_A_SECOND, sweep_for_ever, sweep_once
from scheduler.errors import CloudError
from tests.engines import JobsInMemory
from tests.fakes import FakeTokenTable, row_item
from tests.unit.conftest import Logs
from tests.virtual_time import in_virtual_time, now

pytestmark = pytest.mark.usefixtures("logs")

NOW = 1_000_000
THROTTLED = CloudError("table tokens could not be used: slow down", Refusal.THROTTLED)


class Sweepable:
    """A table of so many rows, and pages that are refused before they are read."""

    def __init__(self, rows: int, refusals: int = 0) -> None:
        self.rows = rows
        self.refusals = refusals
        self.position = 0
        self.swept: list[tuple[float, int]] = []
        self.refused_at: list[float] = []
        self.instants: deque[Instant] = deque(maxlen=5)

    async def sweep(self, at: Instant, limit: int) -> tuple[int, bool]:
        self.instants.append(at)
        if self.refusals:
            self.refusals -= 1
            self.refused_at.append(now())
            raise THROTTLED
        read = min(limit, self.rows - self.position)
        self.swept.append((now(), read))
        self.position += read
        ended = self.position == self.rows
        if ended:
            self.position = 0
        return read, ended

    async def run(self, seconds: float) -> None:
        """Sweep for a time."""
        sweeping = asyncio.create_task(sweep_for_ever(self, lambda: NOW + round(now() * 1_000)))
        await asyncio.sleep(seconds)
        sweeping.cancel()
        await asyncio.wait([sweeping])


@in_virtual_time
async def test_no_more_rows_are_read_in_a_second_than_the_budget_allows() -> None:
    table = Sweepable(100_000)
    await table.run(60)
    read = sum(rows for _, rows in table.swept)
    assert ROWS_A_SECOND * 59 <= read <= ROWS_A_SECOND * 60 + PAGE_ROWS
    for second in range(60):
        within = sum(rows for at, rows in table.swept if second <= at < second + 1)
        assert within <= ROWS_A_SECOND + PAGE_ROWS


@in_virtual_time
async def test_a_table_of_20_000_rows_is_gone_through_in_40_seconds() -> None:
    table = Sweepable(20_000)
    await table.run(40.4)
    assert sum(rows for _, rows in table.swept[:80]) == 20_000
    assert table.swept[79][0] <= 40


@pytest.mark.parametrize("rows", [0, 1, 100])
@in_virtual_time
async def test_a_small_table_is_gone_through_once_a_second(rows: int) -> None:
    table = Sweepable(rows)
    await table.run(9.5)
    assert [at for at, _ in table.swept] == [float(second) for second in range(10)]


@in_virtual_time
async def test_a_table_that_refuses_is_asked_again_less_and_less_often_and_from_where_it_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scheduler.engine.sweep.random.random", lambda: 1.0)
    table = Sweepable(1_000)
    await table.run(0.9)
    assert table.position == 500
    table.refusals = 6
    start = now()
    await table.run(60)
    assert [round(at - start, 2) for at in table.refused_at] == [0, 1, 3, 7, 15, 25]
    # A second page came at once, and so did the third: what it was refused before is forgotten.
    assert [round(at - start, 2) for at, _ in table.swept[2:4]] == [35, 35.5]


@in_virtual_time
async def test_a_refusal_after_a_page_is_a_first_one_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.engine.sweep.random.random", lambda: 1.0)
    table = Sweepable(100, refusals=5)
    await table.run(26)
    table.refusals, table.refused_at[:] = 2, []
    at = now()
    await table.run(4)
    assert [round(each - at) for each in table.refused_at] == [0, 1]


@in_virtual_time
async def test_rests_after_refusals_have_full_jitter() -> None:
    rests = set()
    for _ in range(20):
        table = Sweepable(100, refusals=2)
        await table.run(1.5)
        rests.add(round(table.refused_at[1] - table.refused_at[0], 3) if len(table.refused_at) > 1 else 1.5)
    assert len(rests) > 10
    assert max(rests) <= 1.5


@in_virtual_time
async def test_a_sweep_reads_the_clock_anew_for_each_page() -> None:
    table = Sweepable(10_000)
    await table.run(2.2)
    assert list(table.instants) == [NOW, NOW + 500, NOW + 1_000, NOW + 1_500, NOW + 2_000]


@in_virtual_time
async def test_refusals_are_told_at_debug_alone(logs: Logs) -> None:
    """Whoever needs the table tells of its trouble."""
    table = Sweepable(100, refusals=2)
    await table.run(5)
    assert [(line["level"], line["event"]) for line in logs()] == [("debug", "sweep.refused")] * 2


async def test_a_tick_that_stands_alone_sweeps_the_whole_table_at_once() -> None:
    table = FakeTokenTable()
    for number in range(3 * PAGE_ROWS + 10):
        table.put(row_item(f"job-{number:04}"))
    finder = table.finder("auto")
    await sweep_once(finder, NOW)
    assert table.client.calls["scan"] == 4
    assert len([row async for page in finder.pages(NOW) for row in page.rows]) == 3 * PAGE_ROWS + 10


async def test_a_sweep_of_a_whole_table_ends_with_its_refusal() -> None:
    with pytest.raises(CloudError, match="slow down"):
        await sweep_once(Sweepable(100, refusals=1), NOW)


@in_virtual_time
async def test_rows_of_other_creators_are_polled_with_the_tick_after_they_were_swept() -> None:
    jobs = JobsInMemory({}, NOW, "auto", clock=now)
    sweeping = asyncio.create_task(sweep_for_ever(jobs.finder, lambda: NOW))
    await asyncio.sleep(0.5)
    jobs.add("foreign")
    await asyncio.sleep(1)
    report = await jobs.engine.ticker.run("tick", asyncio.Event())
    await jobs.engine.lane.drained()
    assert (report.due, dict(jobs.source.checks)) == (1, {"foreign": 1})
    sweeping.cancel()
