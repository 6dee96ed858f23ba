"""The daemon: its schedule, its clocks, its health, and everything in it that may wait or fail."""

import asyncio
from typing import Any

import pytest

from scheduler.core.check_replies import Completed, InProgress, Unasked
from scheduler.core.service_calls import Refusal
from scheduler.engine.report import TickReport
from scheduler.errors import CloudError
from tests.fake_dynamodb import refused
from tests.unit.daemons import DaemonOf, daemon_of, wall
from tests.virtual_time import in_virtual_time, now

__all__ = ["daemon_of", "wall"]

DONE = Completed({"status": "COMPLETED"})
BUSY = Unasked("TooManyRequestsException: slow down", Refusal.THROTTLED)
GONE = Unasked("function jobs does not exist", Refusal.MISSING)


@pytest.fixture(autouse=True)
def longest_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the jitter out of every wait: each is as long as it may be."""
    monkeypatch.setattr("random.random", lambda: 1.0)


# --- the schedule


@in_virtual_time
async def test_the_first_tick_comes_at_once_and_then_one_with_each_interval(daemon_of: DaemonOf) -> None:
    daemon = daemon_of(interval_seconds=10)
    await daemon.after(45)
    assert daemon.ticked_at() == [0, 10, 20, 30, 40]
    await daemon.stop()


@in_virtual_time
async def test_with_a_cron_ticks_come_at_its_fires(daemon_of: DaemonOf) -> None:
    daemon = daemon_of(cron="*/5 * * * *")
    await daemon.after(901)
    assert daemon.ticked_at() == [0, 300, 600, 900]
    await daemon.stop()


@in_virtual_time
async def test_a_job_is_polled_at_its_interval_until_it_has_ended(daemon_of: DaemonOf) -> None:
    daemon = daemon_of({"a": InProgress()}, interval_seconds=10)
    daemon.jobs.source.scripts["a"] = [InProgress(), InProgress(), DONE]
    await daemon.after(30)
    assert (daemon.jobs.source.checks["a"], daemon.jobs.statuses()) == (3, "C")
    await daemon.stop()


@in_virtual_time
async def test_polls_that_take_longer_than_the_interval_skip_no_tick_and_hold_up_no_other_job(
    daemon_of: DaemonOf,
) -> None:
    daemon = daemon_of({"slow": DONE}, interval_seconds=1, check_timeout_seconds=60)
    daemon.jobs.source.hold()
    await daemon.after(2.5)
    daemon.jobs.add("kept", pendingAnswer={"M": {"tries": {"N": "0"}, "output": {"S": "{}"}}})
    await daemon.after(30)
    assert len(daemon.ticked_at()) >= 30
    assert daemon.lines("tick.skipped") == []
    assert (daemon.jobs.status("slow"), daemon.jobs.status("kept")) == ("POLLING", "COMPLETED")
    daemon.jobs.source.let_go()
    await daemon.stop()


@in_virtual_time
async def test_finding_that_takes_longer_than_the_interval_skips_ticks_and_is_told_once_a_spell(
    daemon_of: DaemonOf,
) -> None:
    daemon = daemon_of(interval_seconds=1)
    client = daemon.jobs.table.client
    await daemon.after(2.5)
    for skipped in (3, 5):
        client.hold()  # the tick of the third second hangs, the next fire waits for it, those after it are skipped
        await daemon.after(skipped + 1.1)
        client.let_go()
        await daemon.after(2.9)
    assert [(line["level"], line["skipped_ticks"]) for line in daemon.lines("tick.skipped")] == [
        ("warning", 1),
        ("warning", 3),
    ]
    assert {line["reason"] for line in daemon.lines("tick.skipped")} == {
        "finding what is due takes longer than the interval"
    }
    assert daemon.daemon._skipped == 6
    await daemon.stop()


@in_virtual_time
async def test_a_tick_that_was_waited_for_follows_at_once(daemon_of: DaemonOf) -> None:
    daemon = daemon_of(interval_seconds=10)
    await daemon.after(5)
    daemon.jobs.table.client.hold()
    await daemon.after(15.5)
    daemon.jobs.table.client.let_go()
    await daemon.after(10)
    assert daemon.ticked_at() == [0, 10, 20.5, 30]
    await daemon.stop()


@in_virtual_time
async def test_a_backlog_is_worked_off_though_the_next_fire_is_far(daemon_of: DaemonOf) -> None:
    daemon = daemon_of({f"job-{number:03}": DONE for number in range(100)}, interval_seconds=3_600, concurrency=2)
    await daemon.after(1)
    assert daemon.jobs.statuses() == "C" * 100
    await daemon.stop()


@in_virtual_time
async def test_what_a_busy_source_did_not_take_is_asked_again_long_before_the_next_fire(daemon_of: DaemonOf) -> None:
    daemon = daemon_of({f"job-{number:03}": DONE for number in range(20)}, interval_seconds=3_600, concurrency=32)
    refusals = iter(range(10))
    daemon.jobs.source.instead = lambda _: BUSY if next(refusals, None) is not None else None
    await daemon.after(30)
    assert daemon.jobs.statuses() == "C" * 20
    await daemon.stop()


@in_virtual_time
async def test_a_source_that_is_there_again_gets_what_is_due_long_before_the_next_fire(daemon_of: DaemonOf) -> None:
    daemon = daemon_of({f"job-{number:03}": DONE for number in range(20)}, interval_seconds=3_600, concurrency=4)
    daemon.jobs.source.instead = lambda _: GONE if now() < 100 else None
    await daemon.after(99)
    assert (daemon.jobs.statuses(), daemon.health.readiness()[0]) == ("P" * 20, False)
    await daemon.after(13)
    assert (daemon.jobs.statuses(), daemon.health.readiness()[0]) == ("C" * 20, True)
    await daemon.stop()


@in_virtual_time
async def test_with_a_cron_a_source_that_takes_nothing_is_not_asked_again_before_the_next_fire(
    daemon_of: DaemonOf,
) -> None:
    daemon = daemon_of({"a": GONE}, cron="0 * * * *")
    await daemon.after(60)
    asked = daemon.jobs.source.checks["a"]
    await daemon.after(2_800)
    assert daemon.jobs.source.checks["a"] == asked
    daemon.jobs.source.scripts["a"] = [DONE]
    await daemon.after(200)
    assert daemon.jobs.statuses() == "C"
    await daemon.stop()


# --- clocks


@pytest.mark.parametrize("minutes", [-10, 10])
@in_virtual_time
async def test_ticks_go_on_where_the_wall_clock_is_set(daemon_of: DaemonOf, minutes: int) -> None:
    daemon = daemon_of(interval_seconds=5)
    await daemon.after(12)
    daemon.wall.set_by = minutes * 60
    await daemon.after(20)
    gaps = [later - sooner for sooner, later in zip(daemon.ticked_at(), daemon.ticked_at()[1:], strict=False)]
    assert len(daemon.ticked_at()) >= 6
    assert max(gaps) <= 5
    assert [(line["level"], line["seconds"]) for line in daemon.lines("clock.jumped")] == [("warning", minutes * 60.0)]
    await daemon.stop()


@pytest.mark.parametrize("seconds", [-1.5, 1.5])
@in_virtual_time
async def test_a_clock_that_is_put_right_by_a_little_is_not_told_of(daemon_of: DaemonOf, seconds: float) -> None:
    daemon = daemon_of(interval_seconds=5)
    await daemon.after(7)
    daemon.wall.set_by = seconds
    await daemon.after(20)
    assert daemon.lines("clock.jumped") == []
    await daemon.stop()


@in_virtual_time
async def test_a_clock_that_differs_from_the_services_is_a_warning_until_it_does_no_more(daemon_of: DaemonOf) -> None:
    daemon = daemon_of(interval_seconds=5)
    await daemon.after(2)
    assert "warnings" not in daemon.health.readiness()[1]
    for skew, shown in ((240.4, "240 s fast"), (-31.0, "31 s slow")):
        daemon.skew.by = skew
        await daemon.after(2)
        ready, found = daemon.health.readiness()
        assert (ready, found["warnings"]) == (True, [f"clock: this machine's clock is {shown}"])
    daemon.skew.by = None
    await daemon.after(2)
    assert "warnings" not in daemon.health.readiness()[1]
    assert [line["event"] for line in daemon.lines("trouble.began", "trouble.over")] == [
        "trouble.began",
        "trouble.over",
    ]
    await daemon.stop()


# --- health


@in_virtual_time
async def test_it_is_ready_from_the_first_tick_on(daemon_of: DaemonOf) -> None:
    daemon = daemon_of(interval_seconds=60)
    assert not daemon.health.readiness()[0]
    await daemon.after(0.1)
    assert daemon.health.readiness()[0]
    await daemon.after(200)
    assert daemon.health.readiness()[0]
    await daemon.stop()


@in_virtual_time
async def test_it_is_unready_half_a_minute_after_a_tick_should_have_ended(daemon_of: DaemonOf) -> None:
    daemon = daemon_of(interval_seconds=60)
    await daemon.after(1)

    async def hangs(tick_id: str, fired: asyncio.Event | None = None, **_: Any) -> TickReport:
        await asyncio.Event().wait()
        raise AssertionError(tick_id, fired)

    daemon.engine.ticker.run = hangs  # type: ignore[method-assign]
    await daemon.after(88)
    assert daemon.health.readiness()[0]
    await daemon.after(2)
    assert daemon.health.readiness()[1]["reason"] == "the last tick ended too long ago"
    assert await daemon.stop() < 1


@in_virtual_time
async def test_trouble_that_only_time_ends_is_over_by_itself(daemon_of: DaemonOf) -> None:
    daemon = daemon_of({"a": DONE}, interval_seconds=1)
    daemon.jobs.answers.fail_next(3)
    await daemon.after(0.5)
    assert daemon.health.readiness()[1]["reason"] == "answers: throttled"
    daemon.jobs.table.items.clear()
    await daemon.after(115)
    assert not daemon.health.readiness()[0]
    await daemon.after(10)
    assert daemon.health.readiness()[0]
    await daemon.stop()


@in_virtual_time
async def test_a_lane_that_only_time_makes_well_is_well_by_itself(daemon_of: DaemonOf) -> None:
    daemon = daemon_of({"a": BUSY}, interval_seconds=1)
    await daemon.after(0.5)
    assert daemon.health.readiness()[1]["warnings"] == ["source jobs: throttled"]
    daemon.jobs.table.items.clear()
    await daemon.after(62)
    assert "warnings" not in daemon.health.readiness()[1]
    await daemon.stop()


# --- a cloud that is not there


@in_virtual_time
async def test_a_table_that_is_missing_is_waited_for_with_one_warning(daemon_of: DaemonOf) -> None:
    daemon = daemon_of({"a": DONE}, interval_seconds=60)
    client = daemon.jobs.table.client
    client.go_down("ResourceNotFoundException")
    await daemon.after(60)
    assert daemon.ticked_at() == []
    assert daemon.health.readiness()[1]["reason"] == "token table: does not exist"
    (began,) = daemon.lines("trouble.began")
    assert began["error"] == "table tokens does not exist; `callback-scheduler deploy` makes it"
    # At first after half a second, then less and less often, and each ten seconds in the end.
    assert client.calls["describe_table"] == len([0, 0.5, 1.5, 3.5, 7.5, 15.5, 25.5, 35.5, 45.5, 55.5])
    client.come_back()
    await daemon.after(10)
    assert (daemon.jobs.statuses(), daemon.health.readiness()[0]) == ("C", True)
    assert len(daemon.lines("trouble.over")) == 1
    await daemon.stop()


@in_virtual_time
async def test_a_tick_that_the_table_failed_is_made_again_once_the_table_is_there(daemon_of: DaemonOf) -> None:
    daemon = daemon_of(interval_seconds=3_600)
    await daemon.after(1)
    daemon.jobs.add("a")
    daemon.jobs.source.scripts["a"] = [DONE]
    daemon.wall.set_by = 10  # a tick follows at once
    daemon.jobs.table.client.fail("scan", *[refused("ThrottlingException")] * 2)
    await daemon.after(5)
    assert daemon.jobs.statuses() == "C"
    assert [line.get("trouble", "")[-40:] for line in daemon.lines("tick.finished")][1:3] == [
        "ThrottlingException: as the test asked for"[-40:]
    ] * 2
    await daemon.stop()


@in_virtual_time
async def test_a_table_that_refused_a_poll_after_its_tick_is_asked_at_once_and_the_rest_is_polled(
    daemon_of: DaemonOf,
) -> None:
    daemon = daemon_of({f"job-{number}": DONE for number in range(9)}, interval_seconds=3_600, concurrency=4)
    daemon.jobs.table.fail_next_writes(1)
    await daemon.after(5)
    assert daemon.jobs.statuses() == "C" * 9
    await daemon.after(5)
    assert daemon.health.readiness()[0]
    await daemon.stop()


@in_virtual_time
async def test_a_source_that_is_missing_is_told_before_the_first_job_needs_it(daemon_of: DaemonOf) -> None:
    daemon = daemon_of(interval_seconds=60)

    async def missing() -> None:
        message = "function jobs does not exist; `callback-scheduler deploy` makes it"
        raise CloudError(message, Refusal.MISSING)

    daemon.jobs.source.probe = missing  # type: ignore[method-assign]
    await daemon.after(1)
    assert daemon.health.readiness()[1]["reason"] == "source jobs: does not exist"
    await daemon.stop()


# --- credentials


@in_virtual_time
async def test_clients_are_made_anew_within_seconds_where_their_credentials_are_refused(daemon_of: DaemonOf) -> None:
    daemon = daemon_of(interval_seconds=60)
    await daemon.after(30)
    assert daemon.clients.renewed_at == []
    daemon.engine.attention.note_refusal(Refusal.CREDENTIALS)
    await daemon.after(30)
    assert daemon.clients.renewed_at == [30.5]
    await daemon.stop()


@in_virtual_time
async def test_they_are_made_anew_less_and_less_often_while_the_refusal_goes_on(daemon_of: DaemonOf) -> None:
    daemon = daemon_of(interval_seconds=60)
    daemon.jobs.table.client.go_down("ExpiredTokenException")
    await daemon.after(60)
    gaps = [
        later - sooner
        for sooner, later in zip([0, *daemon.clients.renewed_at], daemon.clients.renewed_at, strict=False)
    ]
    assert (gaps[0], gaps == sorted(gaps), 8 <= gaps[-1] <= 20) == (0.5, True, True)
    await daemon.stop()


@in_virtual_time
async def test_after_a_quiet_time_they_are_made_anew_as_quickly_as_at_first(daemon_of: DaemonOf) -> None:
    daemon = daemon_of(interval_seconds=60)
    for refusal in (Refusal.CREDENTIALS, Refusal.DENIED):
        await daemon.after(100)
        at = now()
        daemon.engine.attention.note_refusal(refusal)
        await daemon.after(5)
        assert daemon.clients.renewed_at[-1] == at + 0.5
    assert len(daemon.clients.renewed_at) == 2
    await daemon.stop()


@in_virtual_time
async def test_clients_that_cannot_be_made_anew_are_tried_again_with_the_next_refusal(daemon_of: DaemonOf) -> None:
    daemon = daemon_of(interval_seconds=60)
    daemon.clients.error = CloudError("no region")
    for _ in range(2):
        daemon.engine.attention.note_refusal(Refusal.CREDENTIALS)
        await daemon.after(5)
    assert len(daemon.clients.renewed_at) == 2
    assert daemon.running
    assert not daemon.running.done()
    await daemon.stop()


# --- nothing dies unseen


@pytest.mark.parametrize("part", ["tick", "sweep", "watch", "renew"])
@in_virtual_time
async def test_whatever_dies_in_it_ends_it_with_the_error(daemon_of: DaemonOf, part: str) -> None:
    daemon = daemon_of({"a": DONE}, interval_seconds=1, due="auto")
    daemon.jobs.source.hold()
    await daemon.after(2)

    def dies(*_: Any, **__: Any) -> Any:
        message = f"the {part} is broken"
        raise ZeroDivisionError(message)

    match part:
        case "tick":
            daemon.engine.ticker.run = dies  # type: ignore[method-assign]
        case "sweep":
            daemon.jobs.finder.sweep = dies  # type: ignore[method-assign]
        case "watch":
            daemon.skew.seconds = dies  # type: ignore[method-assign]
        case "renew":
            daemon.clients.renew = dies  # type: ignore[method-assign]
            daemon.engine.attention.note_refusal(Refusal.CREDENTIALS)
    assert daemon.running
    with pytest.raises(ZeroDivisionError, match=f"the {part} is broken"):
        async with asyncio.timeout(10):
            await daemon.running
    await daemon.engine.lane.ended()
    assert daemon.engine.lane.in_flight == 0
