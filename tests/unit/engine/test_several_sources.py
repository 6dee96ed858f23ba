"""Several sources: each has its own slots, pace, deadline and intervals, and none notices what another one does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from scheduler.checks.spec import Limits
from scheduler.core.attributes import Attribute
from scheduler.core.check_replies import InProgress, Report, Unasked
from scheduler.core.service_calls import Refusal
from scheduler.core.trouble import Part, Trouble
from tests.fakes import row_item
from tests.replicas import START, Cloud, Replica
from tests.unit.conftest import Logs
from tests.virtual_time import in_virtual_time, now, sleep

pytestmark = pytest.mark.usefixtures("logs")

REPORTS: Attribute = {"S": "reports"}
PLAIN = Limits()


@asynccontextmanager
async def fires(replica: Replica, every: float) -> AsyncIterator[None]:
    """Let the replica tick so often, as the daemon does: a tick that waits for room is over with the next fire."""

    async def fire() -> None:
        while True:
            fired = asyncio.Event()
            ticking = asyncio.create_task(replica.ticker.run("tick", fired))
            await asyncio.sleep(every)
            fired.set()
            await ticking

    firing = asyncio.create_task(fire())
    try:
        yield
    finally:
        firing.cancel()
        await asyncio.wait([firing])


def crowd(cloud: Cloud, count: int, **changes: Attribute | None) -> None:
    """Add jobs at the source "reports" that are due before all others."""
    for number in range(count):
        due: dict[str, Attribute | None] = {"nextPollAt": {"N": str(START - count + number)}}
        cloud.add(f"crowd-{number:05}", **(due | {"source": REPORTS} | changes))


def lateness(cloud: Cloud, ids: list[str], interval: float) -> float:
    """Give by how much the latest poll of some jobs was late, their first one included."""
    checks = [[0.0, *cloud.source.checks[job_id]] for job_id in ids]
    return max(later - earlier - interval for times in checks for earlier, later in pairwise([*times, now()]))


# --- a source with many jobs leaves the others on time


@pytest.mark.parametrize(
    ("trouble", "hold"), [("hangs", 3_600), ("hangs", 0), ("throttles", 3_600), ("is gone", 0)], ids=str
)
@in_virtual_time
async def test_a_source_with_hundreds_of_jobs_leaves_the_others_on_time(trouble: str, hold: float) -> None:
    cloud = Cloud()
    crowd(cloud, 800)
    ids = cloud.add_many(15)
    reports = cloud.named["reports"]
    match trouble:
        case "hangs":
            reports.hang()
        case "throttles":
            reports.default = Unasked("slow down", Refusal.THROTTLED)
        case _:
            reports.default = Unasked("no such function", Refusal.MISSING)
    async with (
        Replica(cloud, interval=5, hold=hold, slots=16, named={"reports": PLAIN}).running() as replica,
        fires(replica, 1),
    ):
        await sleep(20)
        # What is polled claim by claim is found by ticks, and with the lease of a claim not before that has ended.
        assert lateness(cloud, ids, 5) < (0.2 if hold else 1.2)
        assert replica.health.readiness()[1].get("reason") in {None, "no tick has ended yet"} | (
            {"source reports: does not exist"} if trouble == "is gone" else {"source reports: throttled"}
        )
        assert all(cloud.number("attemptCount", f"crowd-{number:05}") <= 7 for number in range(800))


@in_virtual_time
async def test_it_leaves_them_on_time_in_scan_mode_too() -> None:
    cloud = Cloud()
    crowd(cloud, 800)
    ids = [f"e{number:02}" for number in range(20)]  # in the midst of the table
    for job_id in ids:
        cloud.add(job_id)
    cloud.named["reports"].hang()
    async with Replica(cloud, interval=5, hold=0, slots=16, named={"reports": PLAIN}).running() as replica:
        replica.find("scan")
        async with fires(replica, 1):
            await sleep(60)
    assert min(len(cloud.source.checks[job_id]) for job_id in ids) >= 4


@in_virtual_time
async def test_rows_of_other_creators_are_found_behind_thousands_of_a_source_that_hangs() -> None:
    cloud = Cloud()
    for number in range(800):
        cloud.table.put(row_item(f"crowd-{number:05}", source={"S": "reports"}))
    ids = [f"z{number:02}" for number in range(20)]  # the sweep finds them last
    for job_id in ids:
        cloud.table.put(row_item(job_id))
    cloud.named["reports"].hang()
    async with Replica(cloud, interval=5, slots=4, named={"reports": PLAIN}).running() as replica:
        replica.find("auto")
        async with fires(replica, 1):
            for _ in range(40):
                await replica.finder.sweep(replica.wall(), 250)
                await sleep(1)
    assert min(len(cloud.source.checks[job_id]) for job_id in ids) >= 2


@in_virtual_time
async def test_what_is_known_to_wait_is_not_read_again_and_still_counted() -> None:
    cloud = Cloud()
    crowd(cloud, 2_000)
    cloud.named["reports"].hang()
    async with Replica(cloud, hold=0, slots=8, named={"reports": Limits(timeout_seconds=900)}).running() as replica:
        fired = asyncio.Event()
        fired.set()
        for _ in range(6):
            await replica.ticker.run("tick", fired)
        read = cloud.table.client.calls["batch_get_item"]
        report = await replica.ticker.run("tick", fired)
        assert cloud.table.client.calls["batch_get_item"] - read <= 6
        assert (report.left, report.cut_short) == (2_000 - 16, True)  # some are in the lane
        assert report.oldest_due_seconds >= 1
        await sleep(31)  # some may have got an answer by now that needs no source
        await replica.ticker.run("tick", fired)
        assert cloud.table.client.calls["batch_get_item"] - read > 6


@in_virtual_time
async def test_no_source_takes_all_the_room_for_held_rows() -> None:
    cloud = Cloud()
    crowd(cloud, 300)
    async with Replica(cloud, most=100, slots=64, named={"reports": PLAIN}).running() as replica, fires(replica, 1):
        await sleep(3)
        assert (len(replica.rows), replica.held.counts["reports"]) == (75, 75)
        cloud.add_many(40)
        await sleep(3)
        assert (len(replica.rows), replica.held.counts) == (100, {"reports": 75, None: 25})
        assert min(len(checks) for checks in cloud.source.checks.values()) >= 1  # the others are polled claim by claim
        assert len(cloud.source.checks) == 40


@in_virtual_time
async def test_one_source_that_hangs_does_not_make_a_replica_one_that_lags() -> None:
    cloud = Cloud()
    crowd(cloud, 50)
    cloud.add()
    cloud.named["reports"].hang()
    async with Replica(cloud, slots=2, named={"reports": PLAIN}).running(replicas=True) as replica, fires(replica, 1):
        await sleep(8)
        assert replica.polls.lines["reports"].lateness(replica.boot()) > 1
        assert (replica.polls.lateness(), replica.polls.keeps_up(), replica.polls.keeps_up("reports")) == (
            0,
            True,
            False,
        )


# --- limits


def most_within(times: list[float], seconds: float) -> int:
    return max(len([at for at in times if begin <= at < begin + seconds]) for begin in times)


def all_checks(cloud: Cloud, source: str = "reports") -> list[float]:
    return sorted(at for times in cloud.named[source].checks.values() for at in times)


@in_virtual_time
async def test_a_rate_is_never_exceeded_and_is_reached() -> None:
    cloud = Cloud()
    crowd(cloud, 100, intervalSeconds={"N": "2"})
    limits = Limits(rate_per_second=5)
    async with Replica(cloud, named={"reports": limits}).running() as replica, fires(replica, 1):
        await sleep(60)
    times = all_checks(cloud)
    assert most_within(times, 0.999) == 5
    assert len(times) > 280


@in_virtual_time
async def test_slots_and_deadline_are_a_source_s_own() -> None:
    cloud = Cloud()
    crowd(cloud, 10)
    cloud.named["reports"].hang()
    limits = Limits(concurrency=3, timeout_seconds=4)
    async with Replica(cloud, named={"reports": limits}, slots=8).running() as replica, fires(replica, 1):
        await sleep(3.5)
        assert len(all_checks(cloud)) == 3
        await sleep(1)
        assert len(all_checks(cloud)) == 6
    assert "within 4 s" in str({held.last_error for held in replica.rows.values()})


@pytest.mark.parametrize(("asked", "paused"), [(120, 120), (5_000, 900)])
@in_virtual_time
async def test_a_source_is_not_asked_before_it_wants_to_be_and_nothing_is_spent(asked: float, paused: float) -> None:
    cloud = Cloud()
    crowd(cloud, 60)
    ids = cloud.add_many(5)
    busy: list[Report] = [Unasked("429", Refusal.THROTTLED, asked)]
    for number in range(60):
        cloud.named["reports"].scripts[f"crowd-{number:05}"] = [*busy, InProgress()]
    async with Replica(cloud, interval=5, slots=4, named={"reports": PLAIN}).running() as replica, fires(replica, 9):
        await sleep(paused - 1)
        assert len(all_checks(cloud)) <= 4
        assert {replica.health.readiness()[1]["warnings"][0]} == {"source reports: throttled"}
        held = [row for job_id, row in replica.rows.items() if job_id.startswith("crowd")]
        assert {row.attempts for row in held} == {0}
        assert lateness(cloud, ids, 5) < 0.2
        await sleep(paused + 60)
    assert len(all_checks(cloud)) > 4
    assert min(all_checks(cloud)[4:]) >= paused


@in_virtual_time
async def test_the_interval_of_a_held_row_grows_with_each_check() -> None:
    cloud = Cloud()
    cloud.add(source=REPORTS)
    cloud.add("own", intervalSeconds={"N": "7"}, source=REPORTS)
    limits = Limits(interval_seconds=10, backoff=2, longest_seconds=60)
    async with Replica(cloud, named={"reports": limits}).running() as replica:
        await replica.take_up()
        await sleep(251)
    checks = cloud.named["reports"].checks
    assert checks["job-1"] == [0, 10, 30, 70, 130, 190, 250]
    assert [later - earlier for earlier, later in pairwise(checks["own"])] == [7] * 35


@in_virtual_time
async def test_a_row_whose_interval_outgrows_any_hold_is_given_free_and_polled_claim_by_claim() -> None:
    cloud = Cloud()
    cloud.add(source=REPORTS)
    limits = Limits(interval_seconds=10, backoff=3, longest_seconds=400)
    async with Replica(cloud, hold=200, named={"reports": limits}).running() as replica, fires(replica, 1):
        await sleep(1_500)
        assert replica.rows == {}
    checks = cloud.named["reports"].checks["job-1"]
    assert [round(later - earlier) for earlier, later in pairwise(checks)] == pytest.approx(
        [10, 30, 90, 270, 400, 400], abs=2
    )


@in_virtual_time
async def test_the_most_attempts_of_its_source_end_a_row_that_does_not_say_it() -> None:
    cloud = Cloud()
    cloud.add(maxAttempts=None, expiresAt=None, attemptCount=None, version=None, source=REPORTS)
    cloud.add("more", maxAttempts=None, expiresAt=None)
    async with Replica(cloud, interval=5, named={"reports": Limits(max_attempts=3)}).running() as replica:
        await replica.take_up()
        await sleep(100)
        assert replica.row("more").attempts >= 20
    assert len(cloud.named["reports"].checks["job-1"]) == 3
    assert cloud.item()["status"] == {"S": "MAX_ATTEMPTS"}
    assert "expiresAt" not in cloud.item()


# --- a source that cannot be used


@pytest.mark.parametrize("refusal", [Refusal.DENIED, Refusal.CREDENTIALS])
@in_virtual_time
async def test_a_source_that_refuses_us_is_named_spends_nothing_and_recovers(refusal: Refusal) -> None:
    cloud = Cloud()
    crowd(cloud, 5)
    reports = cloud.named["reports"]
    reports.default = Unasked("401 Unauthorized", refusal)
    async with Replica(cloud, interval=5, named={"reports": PLAIN}).running() as replica, fires(replica, 1):
        await sleep(60)
        assert replica.health.readiness()[1]["reason"] == f"source reports: {refusal.value}"
        assert {held.attempts for held in replica.rows.values()} == {0}
        reports.default = InProgress()
        await sleep(30)
        assert replica.lanes["reports"].trouble is None
        assert {held.attempts > 0 for held in replica.rows.values()} == {True}


@pytest.mark.parametrize("named", [True, False])
@in_virtual_time
async def test_a_source_that_denied_us_before_any_row_was_held_is_tried_by_a_row_that_is_due(*, named: bool) -> None:
    cloud = Cloud()
    crowd(cloud, 5, **({} if named else {"source": None}))
    async with Replica(cloud, interval=5, named={"reports": PLAIN}).running() as replica, fires(replica, 1):
        lane = replica.lanes["reports"] if named else replica.lane
        lane.stop(Trouble.refused(Part.SOURCE, "not authorized to perform: lambda:GetFunction", Refusal.DENIED))
        await sleep(30)
        assert (lane.stopped, lane.trouble, len(replica.rows)) == (False, None, 5)


@in_virtual_time
async def test_a_source_whose_probe_says_nothing_of_our_credentials_is_not_called_well_before_a_poll_was_taken() -> (
    None
):
    cloud = Cloud()
    cloud.add(source=REPORTS)
    cloud.named["reports"].scripts["job-1"] = [Unasked("401", Refusal.CREDENTIALS)]
    async with Replica(cloud, named={"reports": PLAIN}).running() as replica:
        await replica.take_up()
        await sleep(0.1)
        replica.held.drop_all()  # nobody is left to try
        await sleep(60)
        assert replica.lanes["reports"].stopped


# --- sources that are not known here


@in_virtual_time
async def test_rows_of_a_source_that_is_not_known_here_are_neither_claimed_nor_in_the_way(logs: Logs) -> None:
    cloud = Cloud()
    crowd(cloud, 300)
    ids = cloud.add_many(5)
    async with Replica(cloud, interval=5).running() as replica, fires(replica, 1):
        await sleep(30)
        assert lateness(cloud, ids, 5) < 0.2
        assert not replica.health.readiness()[1].get("warnings")
    assert all("claimId" not in cloud.item(f"crowd-{number:05}") for number in range(300))
    (line,) = [line for line in logs() if line["event"] == "source.unknown"]
    assert json.loads(json.dumps(line))["error"] == "the row names source 'reports', which is not known here"


@in_virtual_time
async def test_what_a_dead_replica_held_is_taken_over_by_whoever_knows_its_source() -> None:
    cloud = Cloud()
    crowd(cloud, 40, intervalSeconds={"N": "600"})
    knows: Any = {"named": {"reports": PLAIN}}
    async with Replica(cloud, "dead", **knows).running(replicas=True, ticks=1):
        await sleep(5)
    async with (
        Replica(cloud, "stranger").running(replicas=True, ticks=1) as stranger,
        Replica(cloud, "b", **knows).running(replicas=True, ticks=1) as other,
    ):
        await sleep(80)
        assert (len(stranger.rows), len(other.rows)) == (0, 40)
