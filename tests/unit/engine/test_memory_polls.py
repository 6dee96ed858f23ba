"""Polls from memory: held rows are polled on timers, at their own interval, and never lost from sight."""

import random
from itertools import pairwise

import pytest

from scheduler.core.check_replies import Completed, InProgress, Report, Unanswered, Unasked
from scheduler.core.effects import Keep
from scheduler.core.instant import Instant
from scheduler.core.row_reader import read_row
from scheduler.core.service_calls import Refusal
from scheduler.core.timing import Policy
from scheduler.engine.held_row import Stage
from scheduler.errors import CloudError
from tests.replicas import LEASE, Cloud, Replica
from tests.unit.conftest import Logs
from tests.virtual_time import idle, in_virtual_time, now, sleep

pytestmark = pytest.mark.usefixtures("logs")

BUSY = Unasked("TooManyRequestsException: slow down", Refusal.THROTTLED)
GONE = Unasked("ResourceNotFoundException: no such function", Refusal.MISSING)


@in_virtual_time
async def test_a_held_row_is_polled_at_its_own_interval_with_no_read_and_no_write() -> None:
    cloud = Cloud()
    cloud.add(intervalSeconds={"N": "7"})
    async with Replica(cloud).running() as replica:
        await replica.take_up()
        asked, writes = cloud.table.client.calls.copy(), len(cloud.table.writes)
        await sleep(100)
        assert (cloud.table.client.calls, len(cloud.table.writes)) == (asked, writes)
        assert cloud.source.checks["job-1"] == [7.0 * number for number in range(15)]
        assert replica.row().attempts == 15


@in_virtual_time
async def test_rows_taken_up_together_are_spread_over_their_interval_and_stay_so() -> None:
    cloud = Cloud()
    ids = cloud.add_many(100)
    chances = random.Random(1)
    policy = Policy(10, LEASE, 4, chance=chances.random, longest_hold_seconds=3_600)
    async with Replica(cloud, policy=policy).running() as replica:
        await replica.take_up()
        await sleep(2_500)  # several renewals
        for first in (10.0, 1_000.0, 2_480.0):
            phases = sorted(next(at for at in cloud.source.checks[job_id] if at >= first) - first for job_id in ids)
            assert all(0 <= phase < 10.001 for phase in phases)
            assert max(later - earlier for earlier, later in pairwise(phases)) < 1
        for job_id in ids:
            gaps = [later - earlier for earlier, later in pairwise(cloud.source.checks[job_id])]
            assert gaps[1:] == pytest.approx([10.0] * (len(gaps) - 1))


@in_virtual_time
async def test_a_row_taken_up_alone_keeps_its_interval_from_the_start() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(
        cloud, policy=Policy(10, LEASE, 4, chance=lambda: 0.7, longest_hold_seconds=99)
    ).running() as one:
        await one.take_up()
        await sleep(25)
    assert cloud.source.checks["job-1"] == [0, 10, 20]


@in_virtual_time
async def test_no_poll_starts_that_might_outlast_its_hold() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud, hold=60).running() as replica:
        await replica.take_up()
        cloud.table.fail_next_writes(10_000)
        await sleep(200)
        assert cloud.source.checks["job-1"] == [0, 10, 20]  # a poll takes 31 s at most, and the hold lasts 60
        assert replica.rows == {}


@in_virtual_time
async def test_a_poll_that_stood_in_the_queue_for_long_starts_only_where_it_still_fits_into_its_hold() -> None:
    cloud = Cloud()
    cloud.add_many(2)
    async with Replica(cloud, hold=50, slots=1).running() as replica:
        await replica.take_up("job-0001", "job-0000")
        cloud.table.fail_next_writes(10_000)
        cloud.source.seconds = 9.5  # of the second row's poll at 19 s there is no more room at 28.5
        await sleep(100)
        assert max(at for checks in cloud.source.checks.values() for at in checks) + LEASE <= 50


@in_virtual_time
async def test_a_poll_that_waited_for_its_renewal_comes_as_soon_as_that_got_through() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud, hold=60).running() as replica:
        await replica.take_up()
        cloud.table.fail_next_writes(12)  # from 24 s, when the hold is to be renewed, on
        await sleep(70)
    checks = cloud.source.checks["job-1"]
    assert checks[:3] == [0, 10, 20]
    assert 30 < checks[3] < 40
    assert checks[4:] == [40, 50, 60, 70][: len(checks) - 4]


@pytest.mark.parametrize(("report", "waits"), [(BUSY, "slowed down"), (GONE, "stopped")])
@in_virtual_time
async def test_a_row_whose_source_refused_the_check_is_asked_again_and_pays_nothing(
    report: Unasked, waits: str
) -> None:
    del waits
    cloud = Cloud()
    cloud.add(maxAttempts={"N": "3"})
    cloud.source.scripts["job-1"] = [report, report, report, report, report, Completed("done")]
    async with Replica(cloud, interval=600).running() as replica:
        await replica.take_up()
        await sleep(300)
        assert replica.rows == {}
    assert cloud.item()["status"] == {"S": "COMPLETED"}
    assert (cloud.number("attemptCount"), len(cloud.source.checks["job-1"])) == (1, 6)


@in_virtual_time
async def test_an_answer_that_cannot_be_given_for_want_of_its_token_costs_the_job_nothing() -> None:
    cloud = Cloud()
    cloud.add(maxAttempts={"N": "1"})
    cloud.source.default = Completed("done")
    async with Replica(cloud).running() as replica:
        cloud.table.unread = 2
        await replica.take_up()
        await sleep(25)
    assert cloud.item()["status"] == {"S": "COMPLETED"}
    assert len(cloud.answers.ledger["AQ-job-1"]) == 1


@in_virtual_time
async def test_what_found_no_room_is_polled_in_the_order_in_which_it_became_due() -> None:
    cloud = Cloud()
    ids = cloud.add_many(40)
    async with Replica(cloud, slots=4, interval=10).running() as replica:
        cloud.source.seconds = 1.0  # four a second are due, and four a second are polled: all slots are always taken
        await replica.take_up(*ids)
        await sleep(120)
        counts = [len(cloud.source.checks[job_id]) for job_id in ids]
    assert max(counts) - min(counts) <= 1
    assert min(counts) >= 11


@in_virtual_time
async def test_nobody_starves_where_there_is_more_to_poll_than_can_be() -> None:
    cloud = Cloud()
    ids = cloud.add_many(80)
    async with Replica(cloud, slots=4, interval=10).running() as replica:
        cloud.source.seconds = 1.0  # twice as much is due as can be polled
        await replica.take_up(*ids)
        await sleep(400)
        counts = [len(cloud.source.checks[job_id]) for job_id in ids]
        assert max(counts) - min(counts) <= 2
        assert not replica.polls.keeps_up()
        assert replica.polls.lateness() > 1


@in_virtual_time
async def test_polls_that_were_missed_are_missed_and_the_phase_is_kept() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud, interval=7).running() as replica:
        await replica.take_up()
        await sleep(5)
        cloud.source.hang()
        await sleep(20)  # the check of 7 s runs into its time-out at 17, that of 21 s goes on at 25
        cloud.source.recover()
        await sleep(20)
    assert cloud.source.checks["job-1"] == [0, 7, 21, 28, 35, 42]


@in_virtual_time
async def test_a_job_is_asked_for_the_last_time_when_it_expires_and_not_later() -> None:
    cloud = Cloud()
    cloud.add(expiresAt={"S": "2026-01-01T00:00:25Z"})
    async with Replica(cloud).running() as replica:
        await replica.take_up()
        await sleep(60)
        assert replica.rows == {}
    assert cloud.source.checks["job-1"] == [0, 10, 20, 25]
    assert cloud.item()["status"] == {"S": "EXPIRED"}


@in_virtual_time
async def test_a_job_gets_as_many_checks_as_it_may_have() -> None:
    cloud = Cloud()
    cloud.add(maxAttempts={"N": "4"})
    async with Replica(cloud).running() as replica:
        await replica.take_up()
        await sleep(100)
        assert replica.rows == {}
    assert cloud.source.checks["job-1"] == [0, 10, 20, 30]
    assert cloud.item()["status"] == {"S": "MAX_ATTEMPTS"}


@in_virtual_time
async def test_an_end_that_could_not_be_written_is_written_by_the_next_poll() -> None:
    cloud = Cloud()
    cloud.add()
    cloud.source.default = Completed("done")
    async with Replica(cloud).running() as replica:
        await replica.take_up()
        cloud.table.fail_next_writes(3)  # the claim was made: these are the mark's
        await sleep(15)
        assert replica.rows == {}
    assert cloud.item()["status"] == {"S": "COMPLETED"}
    assert len(cloud.answers.ledger["AQ-job-1"]) == 1


@in_virtual_time
async def test_an_answer_that_is_kept_leaves_memory() -> None:
    cloud = Cloud()
    cloud.add()
    cloud.source.default = Completed("done")
    cloud.answers.fail_next(3)
    async with Replica(cloud).running() as replica:
        await replica.take_up()
        await sleep(5)
        assert replica.rows == {}
    assert isinstance(cloud.table.writes[-1], Keep)
    assert "heldBy" not in cloud.item()
    assert cloud.due_in() < 0


# A cron


def every_minute(moment: Instant) -> Instant:
    return -(-moment // 60_000) * 60_000


@in_virtual_time
async def test_with_a_cron_polls_happen_at_its_fires_and_at_no_other_time() -> None:
    cloud = Cloud()
    cloud.add("often", intervalSeconds={"N": "7"})
    cloud.add("seldom", intervalSeconds={"N": "100"})
    async with Replica(cloud, first_fire=every_minute).running() as replica:
        await replica.take_up()
        await sleep(700)
    assert cloud.source.checks["often"] == [60.0 * number for number in range(12)]
    assert cloud.source.checks["seldom"] == [0, 120, 240, 360, 480, 600]


@in_virtual_time
async def test_with_a_cron_rows_that_are_taken_over_wait_for_its_next_fire() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud, first_fire=every_minute).running() as replica:
        await sleep(5)
        replica.taking_up.take_up([read_row(cloud.item())], at_a_fire=True)
        await sleep(60)
    assert cloud.source.checks["job-1"] == [60]


@in_virtual_time
async def test_with_a_cron_a_poll_at_the_expiry_waits_for_a_fire_too() -> None:
    cloud = Cloud()
    cloud.add(expiresAt={"S": "2026-01-01T00:01:30Z"})
    async with Replica(cloud, first_fire=every_minute).running() as replica:
        await replica.take_up()
        await sleep(300)
    assert cloud.source.checks["job-1"] == [0, 60, 120]
    assert cloud.item()["status"] == {"S": "EXPIRED"}


# Beats and clocks


@in_virtual_time
async def test_nothing_is_polled_while_the_others_cannot_believe_that_this_replica_lives() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud).running() as replica:
        await replica.take_up()
        await sleep(15)
        replica.held.fresh = lambda: False
        await sleep(20)
        assert cloud.source.checks["job-1"] == [0, 10]


@in_virtual_time
async def test_a_row_goes_on_where_a_late_beat_counts_after_all() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud).running() as replica:
        await replica.take_up()
        await sleep(19.5)
        replica.held.fresh = lambda: False
        await sleep(1)  # the poll of 20 s met it
        replica.held.fresh = lambda: True
        await sleep(20)
    assert cloud.source.checks["job-1"] == [0, 10, 21, 30, 40]


@in_virtual_time
async def test_what_was_queued_when_the_beat_went_stale_is_not_polled() -> None:
    cloud = Cloud()
    cloud.add_many(2)
    async with Replica(cloud, slots=1).running() as replica:
        cloud.source.seconds = 5
        await replica.take_up("job-0000", "job-0001")
        await sleep(1)
        replica.held.fresh = lambda: False
        await sleep(30)
        assert cloud.source.checks == {"job-0000": [0]}
        replica.held.fresh = lambda: True
        await sleep(10)
        assert set(cloud.source.checks) == {"job-0000", "job-0001"}


@in_virtual_time
async def test_a_hold_ends_by_a_clock_that_runs_on_while_the_machine_sleeps() -> None:
    cloud = Cloud()
    cloud.add()
    async with Replica(cloud, hold=60).running() as replica:
        await replica.take_up()
        await sleep(5)
        replica.asleep = 25  # 30 s of the hold have passed: with a lease of 31 s no poll fits in any more
        cloud.table.fail_next_writes(1_000)
        await sleep(100)
        assert cloud.source.checks["job-1"] == [0]


# Heartbeats


@pytest.mark.parametrize("trouble", ["hung", "stopped"])
@in_virtual_time
async def test_held_rows_that_want_heartbeats_get_them_whatever_their_source_does(trouble: str) -> None:
    cloud = Cloud()
    ids = cloud.add_many(20, heartbeat={"BOOL": True})
    async with Replica(cloud, slots=2).running() as replica:
        await replica.take_up(*ids)
        await sleep(60)
        before = cloud.answers.heartbeats.copy()
        if trouble == "hung":
            cloud.source.hang()
        else:
            cloud.source.default = GONE
            replica.lane.poller.source.probe = _missing  # type: ignore[attr-defined]
        await sleep(300)
        beats = {job_id: cloud.answers.heartbeats[f"AQ-{job_id}"] - before[f"AQ-{job_id}"] for job_id in ids}
        assert min(beats.values()) >= 20, beats  # one for each interval; a hung check sends its own when it ends
        assert max(beats.values()) <= 45, beats
        assert len(replica.rows) == len(ids)


async def _missing() -> None:
    message = "there is no such function"
    raise CloudError(message, Refusal.MISSING)


@in_virtual_time
async def test_rows_that_want_heartbeats_do_not_starve_behind_others() -> None:
    cloud = Cloud()
    ids = cloud.add_many(40)
    for job_id in ids[:10]:
        cloud.add(job_id, heartbeat={"BOOL": True})
    async with Replica(cloud, slots=2, interval=10).running() as replica:
        cloud.source.seconds = 1
        await replica.take_up(*ids)
        await sleep(400)
        counts = [len(cloud.source.checks[job_id]) for job_id in ids]
        assert max(counts) <= 2 * min(counts), counts


# Nothing is ever lost from sight


def in_sight(replica: Replica) -> list[str]:
    """Give what is wrong with where held rows stand: each must be on a timer, in line, in the lane, or be renewed."""
    timers = {(id(held), at) for at, held in replica.polls._timers}
    renewals = {(id(held), at) for at, held in replica.renewals._timers}
    line = [id(held) for each in replica.polls.lines.values() for held in each.rows]
    lanes = replica.dispatch.lanes
    queued = {job_id for lane in lanes for work in lane._queue for job_id in work.job_ids}
    polled = {polling.get_name().removeprefix("poll ") for lane in lanes for polling in lane._polls}
    assert len(line) == len(set(line))
    wrong = []
    for job_id, held in replica.rows.items():
        match held.stage:
            case Stage.TIMED:
                seen = (id(held), held.rings) in timers
            case Stage.WAITING:
                seen = id(held) in line
            case Stage.RENEWING:
                seen = (id(held), held.renew_at) in renewals
            case Stage.QUEUED:
                seen = job_id in queued | polled
            case Stage.POLLING:
                seen = job_id in polled
            case _:
                seen = False
        if not seen:
            wrong.append(f"{job_id} is {held.stage}")
        if (id(held), held.renew_at) not in renewals:
            wrong.append(f"{job_id} is not renewed")
    return wrong


@pytest.mark.parametrize("seed", range(12))
@in_virtual_time
async def test_no_row_is_ever_lost_from_sight(seed: int) -> None:  # noqa: C901  one case for each trouble
    chance = random.Random(seed)
    cloud = Cloud()
    ids = cloud.add_many(30)
    for job_id in ids[:5]:
        cloud.add(job_id, heartbeat={"BOOL": True})
    policy = Policy(5, LEASE, 4, chance=chance.random, longest_hold_seconds=80)
    fresh = True
    async with Replica(cloud, slots=3, policy=policy).running() as replica:
        replica.held.fresh = lambda: fresh
        await replica.take_up(*ids)
        for _ in range(400):
            match chance.randrange(12):
                case 0:
                    reports: list[Report] = [BUSY, GONE, Unanswered("hm")]
                    cloud.source.default = chance.choice(reports)
                case 1:
                    fresh = chance.random() < 0.5
                case 2:
                    replica.lane.drop()  # as where the table is in trouble
                case 3:
                    cloud.table.fail_next_writes(chance.randrange(4))
                case 4:
                    await replica.renewals.give_free(
                        chance.sample(list(replica.rows.values()), k=len(replica.rows) // 4)
                    )
                case 5:
                    cloud.source.seconds = chance.choice([0, 0.5, 12])
                case 6:
                    replica.dispatch.nobody_waits()
                case 7:
                    cloud.table.lose_next_reply()
                case _:
                    cloud.source.default = InProgress()
            await sleep(chance.choice([0, 0.1, 1, 5]))
            await idle()
            assert in_sight(replica) == []
        # Whatever happened: once all is well again, every row that is still held is polled within an interval or two.
        fresh, cloud.source.seconds = True, 0
        cloud.source.default = InProgress()
        await replica.take_up(*[job_id for job_id in ids if job_id not in replica.rows])
        await sleep(60)
        at = now()
        await sleep(20)
        assert [job_id for job_id in replica.rows if cloud.source.checks[job_id][-1] < at] == []
        assert in_sight(replica) == []


@in_virtual_time
async def test_a_poll_that_a_lane_left_when_it_stopped_comes_once_the_lane_opens() -> None:
    cloud = Cloud()
    ids = cloud.add_many(3)
    async with Replica(cloud, slots=1, interval=600).running() as replica:
        cloud.source.hang()
        await replica.take_up(*ids)  # one is polled, one is queued, one waits in line or is queued
        cloud.source.scripts[ids[0]] = [GONE, Completed("done")]
        cloud.source.recover()
        cloud.source.default = Completed("done")
        await sleep(60)
    assert cloud.table.client.items[ids[2]]["status"] == {"S": "COMPLETED"}
    assert {cloud.item(job_id)["status"]["S"] for job_id in ids} == {"COMPLETED"}


@in_virtual_time
async def test_two_pieces_of_work_never_poll_one_row(logs: Logs) -> None:
    del logs
    cloud = Cloud()
    ids = cloud.add_many(2)
    async with Replica(cloud, slots=1, interval=5).running() as replica:
        cloud.source.seconds = 4
        await replica.take_up(*ids)
        cloud.table.fail_next_writes(1)
        await replica.renewals.give_free(
            [replica.row(ids[1])]
        )  # it is in the lane's queue, and could not be given free
        await sleep(30)
    checks = cloud.source.checks[ids[1]]
    assert all(later - earlier >= 4 for earlier, later in pairwise(checks))
