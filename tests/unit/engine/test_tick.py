"""Ticks over the clouds in memory: what is due is found and handed on, and polls go on beside it."""

import asyncio
import random
from typing import Any

import pytest

from scheduler.core.answers import PendingAnswer, Succeed, write_pending
from scheduler.core.attributes import to_attribute
from scheduler.core.check_replies import Completed, Failed, InProgress, Report, Unanswered, Unasked
from scheduler.core.effects import Mark
from scheduler.core.instant import parse_iso
from scheduler.core.service_calls import Refusal
from scheduler.core.timing import Policy
from scheduler.engine import tick
from scheduler.engine.events import any_set
from tests.engines import JobsInMemory
from tests.fake_dynamodb import MAX_ITEM_BYTES, item_size, refused
from tests.fakes import row_item, shard_of
from tests.unit.conftest import Logs
from tests.unit.engine.lane_fakes import MISSING
from tests.unit.engine.test_report import figures
from tests.virtual_time import idle, in_virtual_time, now, until

pytestmark = pytest.mark.usefixtures("logs")

NOW = parse_iso("2026-01-01T00:10:00Z")
DONE = Completed({"status": "COMPLETED"})
BUSY = Unasked("TooManyRequestsException: slow down", Refusal.THROTTLED)
GONE = Unasked("function jobs does not exist", Refusal.MISSING)


def found(**counts: Any) -> dict[str, Any]:
    """Give the figures of a tick, without the time that it took."""
    expected = figures(**counts)
    del expected["duration_ms"]
    return expected


def many(count: int, line: Report = DONE) -> dict[str, Report]:
    return {f"job-{number:03}": line for number in range(count)}


# --- counts


async def test_a_tick_with_nothing_due_does_nothing() -> None:
    assert await JobsInMemory({}, NOW).tick() == found()


async def test_a_tick_counts_what_became_of_its_rows() -> None:
    jobs = JobsInMemory({"a": DONE, "b": Failed("no paper"), "c": InProgress(), "d": Unanswered("it sleeps")}, NOW)
    assert await jobs.tick() == found(due=4, polled=4, claimed=4, completed=1, failed=1, errors=1)


async def test_a_row_that_is_not_due_is_not_taken() -> None:
    jobs = JobsInMemory({"a": InProgress()}, NOW)
    jobs.add("a", nextPollAt={"N": str(NOW + 1)})
    assert await jobs.tick() == found()


async def test_a_tick_shows_how_long_the_longest_due_row_has_waited() -> None:
    jobs = JobsInMemory({"a": InProgress(), "b": InProgress()}, NOW)
    jobs.add("a", nextPollAt={"N": str(NOW - 90_500)})
    jobs.add("b", nextPollAt={"N": str(NOW - 1_000)})
    assert (await jobs.tick())["oldest_due_seconds"] == 90.5


async def test_a_tick_that_lasts_too_long_takes_no_more_rows() -> None:
    jobs = JobsInMemory(many(3), NOW, slots=1, longest=-1)
    assert await jobs.tick() == found(due=3, left=1, polled=2, claimed=2, completed=2, cut_short=True)
    assert await jobs.tick() == found(due=1, polled=1, claimed=1, completed=1, cut_short=True)


# --- ticks find, lanes poll


async def test_a_tick_is_over_while_its_polls_go_on() -> None:
    jobs = JobsInMemory(many(5, InProgress()), NOW)
    jobs.source.hold()
    report = await jobs.engine.ticker.run("tick-1", asyncio.Event())
    await until(lambda: jobs.source.in_flight == 5)
    assert (report.due, report.polled, report.cut_short) == (5, 0, False)
    jobs.source.let_go()
    await jobs.engine.lane.ended()


async def test_a_tick_counts_the_polls_that_have_ended_since_the_last_one() -> None:
    jobs = JobsInMemory(many(3), NOW)
    fired = asyncio.Event()
    first = await jobs.engine.ticker.run("tick-1", fired)
    await jobs.engine.lane.drained()
    second = await jobs.engine.ticker.run("tick-2", fired)
    third = await jobs.engine.ticker.run("tick-3", fired)
    assert [(report.due, report.completed) for report in (first, second, third)] == [(3, 0), (0, 3), (0, 0)]


async def test_a_job_that_is_still_polled_is_not_found_again() -> None:
    jobs = JobsInMemory({"a": DONE, "b": DONE}, NOW)
    jobs.source.hold()
    fired = asyncio.Event()
    await jobs.engine.ticker.run("tick-1", fired)
    for job_id in "ab":  # as if their leases had run out
        jobs.table.items[job_id]["nextPollAt"] = {"N": "1000"}
    report = await jobs.engine.ticker.run("tick-2", fired)
    assert report.due == 0
    jobs.source.let_go()
    await jobs.engine.lane.drained()
    assert (jobs.source.checks, jobs.statuses()) == ({"a": 1, "b": 1}, "CC")


async def test_no_more_polls_are_in_flight_than_there_are_slots() -> None:
    jobs = JobsInMemory(many(20, InProgress()), NOW, slots=3)
    jobs.source.hold()
    ticking = asyncio.create_task(jobs.tick())
    await until(lambda: jobs.source.in_flight == 3)
    await idle()
    jobs.source.let_go()
    assert ((await ticking)["polled"], jobs.source.most_in_flight) == (20, 3)


async def test_no_page_is_read_before_the_lane_has_taken_the_last_one() -> None:
    jobs = JobsInMemory(many(20, InProgress()), NOW, slots=2)
    jobs.table.client.page_rows = 4
    jobs.source.hold()
    ticking = asyncio.create_task(jobs.tick())
    await until(lambda: jobs.source.in_flight == 2)
    await idle()
    # Two are polled, two wait behind them: of the second page nothing was taken.
    assert (jobs.table.client.calls["scan"], len(jobs.engine.lane.in_hand)) == (2, 4)
    jobs.source.let_go()
    assert (await ticking)["polled"] == 20


async def test_a_tick_whose_lane_is_full_goes_on_as_it_gets_free() -> None:
    jobs = JobsInMemory(many(50), NOW, slots=2)
    assert await jobs.tick() == found(due=50, polled=50, claimed=50, completed=50)


@in_virtual_time
async def test_a_tick_whose_lane_is_full_hears_of_its_room_though_it_reads_no_waiting_row_again() -> None:
    jobs = JobsInMemory(many(50, InProgress()), NOW, "index", slots=2, clock=now)
    for job_id in jobs.source.scripts:
        jobs.add(job_id, nextPollAt={"N": "1000"}, **shard_of(job_id))
    jobs.source.instead = lambda _: InProgress()
    check = jobs.source.check

    async def slow(row: Any) -> Report:
        await asyncio.sleep(0.2)
        return await check(row)

    jobs.source.check = slow  # type: ignore[method-assign]
    report = await jobs.engine.ticker.run("tick-1", asyncio.Event())
    await jobs.engine.lane.drained()
    assert (len(jobs.source.checks), report.cut_short) == (50, False)


@in_virtual_time
async def test_a_full_lane_holds_up_no_tick_beyond_the_next_fire() -> None:
    jobs = JobsInMemory(many(5), NOW, slots=1, clock=now)
    jobs.source.hold()
    fired = asyncio.Event()
    ticking = asyncio.create_task(jobs.engine.ticker.run("tick-1", fired))
    await asyncio.sleep(1)
    assert not ticking.done()
    fired.set()
    report = await ticking
    assert (report.due, report.left, report.polled, report.cut_short) == (5, 3, 0, True)
    jobs.source.let_go()
    await jobs.engine.lane.ended()


@in_virtual_time
async def test_a_tick_whose_lane_stays_full_is_over_after_half_a_minute() -> None:
    jobs = JobsInMemory(many(5), NOW, slots=1, clock=now, check_timeout=600)
    jobs.source.hold()
    report = await jobs.engine.ticker.run("tick-1", asyncio.Event())
    assert (report.left, report.cut_short) == (3, True)
    assert now() == pytest.approx(tick.LONGEST_SECONDS, abs=1)
    jobs.source.let_go()
    await jobs.engine.lane.ended()


@in_virtual_time
async def test_a_tick_that_is_cancelled_leaves_its_polls_to_end() -> None:
    jobs = JobsInMemory(many(5), NOW, slots=1, clock=now)
    jobs.source.hold()
    ticking = asyncio.create_task(jobs.engine.ticker.run("tick-1", asyncio.Event()))
    await until(lambda: jobs.source.in_flight)
    ticking.cancel()
    await asyncio.wait([ticking])
    jobs.source.let_go()
    await jobs.engine.lane.drained()
    assert jobs.statuses().count("C") == 2


# --- behind what no lane takes


async def test_behind_rows_that_their_lane_has_no_room_for_are_some_that_need_no_source() -> None:
    jobs = JobsInMemory(many(30, InProgress()), NOW, "index", slots=2)
    for job_id in jobs.source.scripts:
        jobs.add(job_id, nextPollAt={"N": "1000"}, **shard_of(job_id))
    kept = to_attribute(write_pending(PendingAnswer(Succeed('{"kept":1}'))))
    for job_id in ("kept-1", "kept-2", "kept-3"):
        jobs.add(job_id, pendingAnswer=kept, nextPollAt={"N": "2000"}, **shard_of(job_id))
    jobs.source.hold()
    ticking = asyncio.create_task(jobs.engine.ticker.run("tick-1", fired := asyncio.Event()))
    await until(lambda: len(jobs.answers.ledger) == 3)
    fired.set()
    jobs.source.let_go()
    assert (await ticking).left > 0
    await jobs.engine.lane.drained()


@in_virtual_time
async def test_no_tick_reads_more_than_so_many_rows_that_nobody_takes() -> None:
    jobs = JobsInMemory(many(1_000), NOW, "index", slots=1)
    for job_id in jobs.source.scripts:
        jobs.add(job_id, nextPollAt={"N": "1000"}, **shard_of(job_id))
    jobs.engine.lane.stop(MISSING.troubles[0])
    fired = asyncio.Event()
    fired.set()
    report = await jobs.engine.ticker.run("tick-1", fired)
    assert tick.MOST_PASSED_OVER <= report.left <= tick.MOST_PASSED_OVER + 125
    jobs.engine.lane.close()


@in_virtual_time
async def test_the_next_tick_looks_beyond_them() -> None:
    jobs = JobsInMemory(many(1_000), NOW, "index", slots=1)
    for job_id in jobs.source.scripts:
        jobs.add(job_id, nextPollAt={"N": "1000"}, **shard_of(job_id))
    kept = to_attribute(write_pending(PendingAnswer(Succeed('{"kept":1}'))))
    jobs.add("kept", pendingAnswer=kept, nextPollAt={"N": "1500"}, **shard_of("kept"))
    jobs.table.client.page_rows = 100
    jobs.engine.lane.stop(MISSING.troubles[0])
    fired = asyncio.Event()
    fired.set()
    for _ in range(6):
        await jobs.engine.ticker.run("tick", fired)
    assert list(jobs.answers.ledger) == ["AQ-kept"]
    jobs.engine.lane.close()


@in_virtual_time
async def test_strays_that_no_lane_takes_are_read_once_a_pass() -> None:
    jobs = JobsInMemory(many(3), NOW, "auto", clock=now)
    await jobs.finder.sweep(NOW, 100)
    jobs.engine.lane.stop(MISSING.troubles[0])
    fired = asyncio.Event()
    fired.set()
    report = await jobs.engine.ticker.run("tick-1", fired)
    assert (report.left, jobs.table.client.calls["batch_get_item"]) == (3, 1)
    jobs.engine.lane.close()


async def test_a_scan_that_was_cut_goes_on_with_the_next_tick_so_that_every_row_gets_its_turn() -> None:
    jobs = JobsInMemory(many(12, InProgress()), NOW, slots=1)
    fired = asyncio.Event()
    fired.set()
    for number in range(6):
        await jobs.engine.ticker.run(f"tick-{number}", fired)
        await jobs.engine.lane.drained()
        for item in jobs.table.items.values():
            item["nextPollAt"] = {"N": "1000"}  # everything is due all the time
    assert jobs.source.checks == dict.fromkeys(jobs.source.scripts, 1)


# --- heartbeats while the source cannot be asked


@in_virtual_time
async def test_all_tasks_get_their_heartbeats_while_the_source_takes_nothing_and_no_attempt_is_spent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scheduler.engine.lanes.random.random", lambda: 1.0)  # a rest of half a second
    jobs = JobsInMemory(many(100, GONE), NOW, slots=4, clock=now)
    for job_id in jobs.source.scripts:
        jobs.add(job_id, heartbeat={"BOOL": True}, nextPollAt={"N": str(NOW - 1)})
    jobs.engine.lane.stop(MISSING.troubles[0])
    ticking = asyncio.create_task(jobs.engine.ticker.run("tick-1", asyncio.Event()))
    await asyncio.sleep(0.1)
    ticking.cancel()
    assert jobs.answers.heartbeats == {f"AQ-{job_id}": 1 for job_id in jobs.source.scripts}
    assert {item["attemptCount"]["N"] for item in jobs.table.items.values()} == {"0"}
    assert jobs.engine.health.readiness()[1]["reason"] == "source jobs: does not exist"
    jobs.engine.lane.close()


# --- trouble


async def test_a_table_that_cannot_be_read_is_told_and_not_raised(logs: Logs) -> None:
    jobs = JobsInMemory({"a": DONE}, NOW)
    jobs.table.client.go_down("ResourceNotFoundException")
    line = "table tokens does not exist; `callback-scheduler deploy` makes it"
    assert await jobs.tick() == found(trouble=line)
    finished = logs()[-1]
    assert (finished["level"], finished["event"], finished["trouble"]) == ("warning", "tick.finished", line)
    assert jobs.engine.health.readiness()[1]["reason"] == "token table: does not exist"


async def test_what_is_in_flight_is_polled_to_its_end_where_finding_fails() -> None:
    jobs = JobsInMemory({"a": DONE, "b": DONE}, NOW)
    jobs.table.client.page_rows = 1
    scan, pages = jobs.table.client.scan, iter([True])

    async def broken(**asked: Any) -> Any:
        if next(pages, False):
            return await scan(**asked)
        raise refused(message="the second page is lost")

    jobs.table.client.scan = broken  # type: ignore[method-assign]
    error = "table tokens could not be used: InternalServerError: the second page is lost"
    assert await jobs.tick() == found(due=1, polled=1, claimed=1, completed=1, trouble=error)


async def test_a_table_that_cannot_be_written_stops_the_taking_of_rows() -> None:
    jobs = JobsInMemory(many(20), NOW, slots=1)
    jobs.table.fail_next_writes(20)
    report = await jobs.tick()
    assert report["trouble"] == "ThrottlingException: as the test asked for"
    assert report["polled"] < 3
    assert jobs.engine.lane.in_hand == set()


async def test_while_the_table_is_in_trouble_no_tick_asks_it_and_afterwards_all_is_polled() -> None:
    jobs = JobsInMemory(many(20), NOW, slots=1)
    jobs.table.fail_next_writes(1)
    await jobs.tick()
    scans = jobs.table.client.calls["scan"]
    assert (await jobs.tick())["trouble"] == "ThrottlingException: as the test asked for"
    assert jobs.table.client.calls["scan"] == scans
    jobs.engine.attention.table_trouble = None  # the daemon has asked the table, and it is there
    await jobs.tick()
    assert jobs.statuses() == "C" * 20


async def test_a_source_that_does_not_exist_stops_the_taking_of_rows_and_spends_nothing() -> None:
    jobs = JobsInMemory(many(20, GONE), NOW, slots=1)
    report = await jobs.tick()
    assert (report["trouble"], report["errors"], report["cut_short"]) == ("function jobs does not exist", 0, True)
    assert report["unasked"] == report["polled"] < 3
    assert {item["attemptCount"]["N"] for item in jobs.table.items.values()} == {"0"}
    jobs.engine.lane.close()


@in_virtual_time
async def test_a_source_that_is_there_again_gets_all_that_was_left() -> None:
    jobs = JobsInMemory(many(20, GONE), NOW, slots=4, clock=now)
    ticking = asyncio.create_task(jobs.engine.ticker.run("tick-1", asyncio.Event()))
    await asyncio.sleep(1)
    for script in jobs.source.scripts.values():
        script[:] = [DONE]
    report = await ticking
    await jobs.engine.lane.drained()
    assert (jobs.statuses(), report.cut_short, jobs.engine.lane.trouble) == ("C" * 20, False, None)
    assert {item["attemptCount"]["N"] for item in jobs.table.items.values()} == {"1"}


@in_virtual_time
async def test_a_source_that_takes_five_checks_a_second_gets_all_jobs_done_and_no_attempt_is_lost() -> None:
    jobs = JobsInMemory(many(60), NOW, slots=32, clock=now)
    taken: list[float] = []

    def busy(job_id: str) -> Report | None:
        if len([at for at in taken if at > now() - 1]) >= 5:
            return BUSY
        taken.append(now())
        return jobs.source.scripts[job_id][0]  # type: ignore[return-value]  # no exception stands there

    jobs.source.instead = busy
    while "P" in jobs.statuses():
        assert now() < 120, "it takes too long"
        await jobs.engine.ticker.run("tick", asyncio.Event())
        await asyncio.sleep(1)
    await jobs.engine.lane.drained()
    assert jobs.statuses() == "C" * 60
    assert {item["attemptCount"]["N"] for item in jobs.table.items.values()} == {"1"}
    # At first as many are refused as there are slots; then few.
    assert sum(jobs.source.checks.values()) < 60 + 32 + 60


async def test_a_job_that_its_source_does_not_know_troubles_no_other() -> None:
    jobs = JobsInMemory({"a": Unanswered("job not found"), "b": DONE}, NOW, slots=1)
    assert await jobs.tick() == found(due=2, polled=2, claimed=2, completed=1, errors=1)


async def test_a_poll_that_crashes_does_not_end_the_tick(logs: Logs) -> None:
    jobs = JobsInMemory({"a": RuntimeError("a fault of ours"), "b": DONE}, NOW, slots=1)
    assert await jobs.tick() == found(due=2, polled=2, claimed=1, completed=1, errors=1)
    (crash,) = [line for line in logs() if line["event"] == "poll.crashed"]
    assert (crash["job_id"], crash["level"]) == ("a", "error")
    assert "RuntimeError: a fault of ours" in crash["exception"]


async def test_a_row_that_crashes_its_poller_has_spent_an_attempt() -> None:
    jobs = JobsInMemory({"a": RuntimeError("a fault of ours")}, NOW)
    await jobs.tick()
    assert jobs.table.items["a"]["attemptCount"] == {"N": "1"}


async def test_a_malformed_row_is_set_aside_while_the_rest_is_polled(logs: Logs) -> None:
    jobs = JobsInMemory({"a": DONE, "b": DONE, "c": DONE}, NOW)
    jobs.add("b", maxAttempts={"S": "ten"})
    assert await jobs.tick() == found(due=3, polled=3, claimed=2, completed=2, errors=1)
    assert [jobs.status(job_id) for job_id in "abc"] == ["COMPLETED", "QUARANTINED", "COMPLETED"]
    (line,) = [line for line in logs() if line["event"] == "row.quarantined"]
    assert (line["job_id"], line["error"]) == ("b", "maxAttempts (type S) must be a whole number of 0 or more")


async def test_a_row_whose_time_is_no_whole_number_is_polled_and_mended() -> None:
    jobs = JobsInMemory({"a": InProgress(), "b": DONE}, NOW)
    jobs.add("a", nextPollAt={"N": "1760000000123.5"})
    await jobs.tick()
    assert jobs.table.items["a"]["nextPollAt"] == {"N": str(NOW + 60_000)}
    assert jobs.statuses() == "PC"


# --- replicas


def ours(count: int, line: Report, **changes: Any) -> JobsInMemory:
    """Give jobs of our own creator, which an index finds."""
    jobs = JobsInMemory(many(count, line), NOW, "index", slots=16, clock=now)
    for job_id in jobs.source.scripts:
        jobs.add(job_id, version={"N": "0"}, nextPollAt={"N": "1000"}, **(shard_of(job_id) | changes))
    return jobs


async def ticks_until_idle(jobs: JobsInMemory, seconds: float = 10) -> None:
    """Tick, and again wherever the ticker asks for it before the next fire, as the daemon does."""
    ticker, until_then = jobs.engine.ticker, now() + seconds
    while now() < until_then:
        await ticker.run("tick", asyncio.Event())
        try:
            async with asyncio.timeout(until_then - now()):
                await any_set((ticker.again, jobs.engine.attention.room))
        except TimeoutError:
            return


@in_virtual_time
async def test_rows_of_a_page_that_was_left_to_another_replica_are_looked_at_again_in_a_second() -> None:
    jobs = ours(12, DONE, dueShard={"N": "0"})
    write, claims = jobs.table.write, iter([True])
    answered: list[float] = []

    async def lost_once(effect: Any) -> Any:
        if next(claims, False):
            jobs.table.items[effect.row.job_id]["version"] = {"N": "7"}  # another replica was quicker
        if isinstance(effect, Mark):
            answered.append(now())
        return await write(effect)

    jobs.table.write = lost_once  # type: ignore[method-assign]
    await ticks_until_idle(jobs)
    assert jobs.statuses() == "C" * 12
    assert max(answered) < 1.5


@in_virtual_time
async def test_two_replicas_share_a_backlog_and_lose_few_claims() -> None:
    random.seed(45)  # rows of a page go out in any order
    jobs = ours(200, InProgress())
    policy = Policy(60, 31, 4, chance=lambda: 0)  # its claims have ids of their own
    other = JobsInMemory({}, NOW, "index", slots=16, clock=now, policy=policy, table=jobs.table, source=jobs.source)
    await asyncio.gather(ticks_until_idle(jobs), ticks_until_idle(other))
    reports = [each.reported() for each in (jobs, other)]
    lost, won = [report.lost for report in reports], [report.claimed for report in reports]
    assert (len(jobs.source.checks), set(jobs.source.checks.values())) == (200, {1})
    assert (sum(won), min(won) > 20, sum(lost) < 60) == (200, True, True)


@in_virtual_time
async def test_what_a_busy_source_did_not_take_is_asked_again_before_the_next_fire() -> None:
    jobs = JobsInMemory(many(20), NOW, slots=32, clock=now)
    refusals = iter(range(10))
    jobs.source.instead = lambda _: BUSY if next(refusals, None) is not None else None
    await ticks_until_idle(jobs, seconds=30)
    assert jobs.statuses() == "C" * 20


@in_virtual_time
async def test_what_a_source_that_was_gone_did_not_take_is_asked_again_before_the_next_fire() -> None:
    jobs = JobsInMemory(many(20), NOW, slots=4, clock=now)
    jobs.source.instead = lambda _: GONE if now() < 2 else None
    await ticks_until_idle(jobs, seconds=30)
    assert (jobs.statuses(), jobs.engine.lane.trouble) == ("C" * 20, None)


# --- stopping


async def test_lanes_that_are_closed_take_no_more_rows_and_end_what_they_have() -> None:
    jobs = JobsInMemory(many(20), NOW, slots=2)
    jobs.source.hold()
    ticking = asyncio.create_task(jobs.engine.ticker.run("tick-1", asyncio.Event()))
    await until(lambda: jobs.source.in_flight == 2)
    ticking.cancel()
    jobs.engine.lane.close()
    jobs.source.let_go()
    await jobs.engine.lane.ended()
    assert (jobs.statuses().count("C"), len(jobs.answers.ledger)) == (2, 2)


async def test_aborted_polls_leave_their_rows_for_later() -> None:
    jobs = JobsInMemory({"a": DONE, "b": DONE}, NOW)
    jobs.source.hold()
    await jobs.engine.ticker.run("tick-1", asyncio.Event())
    await until(lambda: jobs.source.in_flight == 2)
    jobs.engine.lane.abort()
    await jobs.engine.lane.ended()
    assert (jobs.answers.calls, jobs.statuses()) == ([], "PP")


async def test_every_slot_is_given_back() -> None:
    jobs = JobsInMemory({"a": RuntimeError("a fault of ours"), "b": InProgress()}, NOW, slots=1)
    for _ in range(3):
        jobs.add("a")
        jobs.add("b")
        assert (await jobs.tick())["polled"] == 2


# --- events


async def test_a_tick_ends_with_its_figures_and_every_line_has_its_id(logs: Logs) -> None:
    await JobsInMemory({"a": DONE, "b": InProgress()}, NOW).tick()
    assert {line["tick_id"] for line in logs()} == {"tick-1"}
    finished = logs()[-1]
    assert (finished["event"], finished["level"]) == ("tick.finished", "info")
    assert {name: finished[name] for name in found()} == found(due=2, polled=2, claimed=2, completed=1)
    assert finished["duration_ms"] >= 0
    assert "trouble" not in finished


@pytest.mark.parametrize(
    "line", [DONE, Failed("no paper"), InProgress(), Unanswered("it sleeps"), BUSY, RuntimeError("bug")]
)
@pytest.mark.parametrize("code", ["", "InvalidToken", "ThrottlingException", "ValidationException"])
async def test_a_canary_token_is_in_no_line_of_the_log(logs: Logs, line: Report | Exception, code: str) -> None:
    jobs = JobsInMemory({"a": line}, NOW)
    jobs.add("a", taskToken={"S": "AQ-canary"}, heartbeat={"BOOL": True})
    if code:
        jobs.answers.fail_next(3, code)
    await jobs.tick()
    assert logs()
    assert "canary" not in str(logs())


# --- one row is no other's affair


async def polls_the_rest(jobs: JobsInMemory) -> bool:
    """Tick once with one poison row that is found first; tell whether the others were polled all the same."""
    await jobs.tick()
    return [jobs.status(job_id) for job_id in ("b", "c", "d")] == ["COMPLETED"] * 3


def poisoned(**attributes: Any) -> JobsInMemory:
    jobs = JobsInMemory({"a": DONE, "b": DONE, "c": DONE, "d": DONE}, NOW, slots=1)
    jobs.add("a", **attributes)
    return jobs


async def test_a_row_with_a_second_fault_in_its_version_stops_no_tick() -> None:
    assert await polls_the_rest(poisoned(expiresAt={"S": "tomorrow"}, version={"S": "x"}))


@pytest.mark.parametrize("expires", ["2026-01-01T01:00:00Z", "tomorrow"])
async def test_a_row_that_is_full_stops_no_tick(expires: str) -> None:
    room = MAX_ITEM_BYTES - item_size(row_item("a", expiresAt={"S": expires}, note={"S": ""}))
    assert await polls_the_rest(poisoned(expiresAt={"S": expires}, note={"S": "x" * room}))


async def test_a_row_with_an_interval_beyond_all_numbers_stops_no_tick() -> None:
    assert await polls_the_rest(poisoned(intervalSeconds={"N": "1E+60"}))


@pytest.mark.parametrize("due", ["scan", "auto"])
@in_virtual_time
async def test_a_claim_that_is_lost_holds_up_no_other_row_for_long_wherever_it_was_found(due: Any) -> None:
    jobs = JobsInMemory({"a": DONE, "b": DONE, "c": DONE, "d": DONE}, NOW, due, clock=now)
    write, claims = jobs.table.write, iter([True])

    async def contended(effect: Any) -> Any:
        if next(claims, False):
            jobs.table.items["a"]["attemptCount"] = {"N": "3"}  # somebody else's poller was quicker
        return await write(effect)

    jobs.table.write = contended  # type: ignore[method-assign]
    await jobs.finder.sweep(NOW, 100)
    await ticks_until_idle(jobs)
    if due == "auto":  # the sweep finds again what was left
        await jobs.finder.sweep(NOW, 100)
        await ticks_until_idle(jobs)
    assert jobs.statuses() == "CCCC"
