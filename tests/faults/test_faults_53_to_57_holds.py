"""Faults 53 to 57: what becomes of held rows where their replica dies, sleeps, is cut off or is of another version.

Three of these tests wait for real: it is the product's own seconds that they are about. What else is promised of beats
and takeovers is tested with a clock that is turned, in tests/unit/engine/test_replicas.py.
"""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e.cloud import COMMAND
from tests.faults.world import HOLDING, KILLED, AddedJob, Daemon, World, until

TAKEN_OVER_SECONDS = 45
CUT_OFF_SECONDS = 20
RENEW = "unknownChecks"
"""What every renewal writes, and no other write of a job that its source knows."""
QUICK = HOLDING | {"SCHEDULER_CHECK_TIMEOUT_SECONDS": "1", "SCHEDULER_HOLD_SECONDS": "24"}
"""A lease lasts 22 s then, and a hold of a job with an interval of a second is renewed after 1.5."""


def waiting(world: World, count: int, interval: float, **row: object) -> list[AddedJob]:
    """Add jobs that go on for long."""
    more = {"intervalSeconds": interval, "maxAttempts": 10_000} | row
    return [world.add(f"job-{number:04}", polls=100_000, row=more) for number in range(count)]


def held_by(world: World, name: str | None = None) -> set[str]:
    """Give the jobs whose rows are held, by a replica or by any."""
    rows = world.rows().items()
    return {job_id for job_id, row in rows if row.get("heldBy") and name in {None, row["heldBy"]}}


def name_of(world: World, others: set[str]) -> str:
    """Wait for a replica that is none of the others, and give its name."""
    (name,) = until(lambda: set(world.replicas()) - others)
    return str(name)


def all_polled(world: World, jobs: list[AddedJob], times: int) -> bool:
    return all(world.aws.jobs.checks(job.job_id) >= times for job in jobs)


# Those that wait


def test_fault_53_killed_while_it_holds_rows(world: World) -> None:
    jobs = waiting(world, 30, 1)
    with world.daemon(**HOLDING) as killed, ExitStack() as stack:
        until(lambda: len(held_by(world)) == len(jobs) and all_polled(world, jobs, 3))
        first = name_of(world, set())
        other = stack.enter_context(world.daemon(**HOLDING))
        second = name_of(world, {first})
        world.ticks(other)
        lost = held_by(world, first)
        killed.process.kill()
        assert killed.process.wait(10) == KILLED
        died = time.monotonic()
        saved = {job_id: world.row(job_id)["attemptCount"] for job_id in lost}
        checks = {job_id: world.aws.jobs.checks(job_id) for job_id in lost}
        assert len(lost) > 10
        until(lambda: all(world.aws.jobs.checks(job_id) > checks[job_id] for job_id in lost), 60)
        assert time.monotonic() - died < TAKEN_OVER_SECONDS
        assert lost <= held_by(world, second)
        # The checks since the last write are forgotten: the claim of the takeover counts on from what was saved.
        for job_id in lost:
            assert saved[job_id] < checks[job_id]
            assert world.row(job_id)["attemptCount"] == saved[job_id] + 1
        until(lambda: set(world.replicas()) == {second})
        for job in jobs:
            world.aws.jobs.add(job.job_id)
        assert {world.ended(job)["status"] for job in jobs} == {"COMPLETED"}
        assert other.stop() == 0
    assert [world.answers(job) for job in jobs] == [["SendTaskSuccess"]] * len(jobs)


def test_fault_54_asleep_longer_than_its_beat(world: World) -> None:
    jobs = waiting(world, 20, 1)
    with world.daemon(**HOLDING, AWS_ACCESS_KEY_ID="sleeper") as sleeper, ExitStack() as stack:
        until(lambda: len(held_by(world)) == len(jobs) and all_polled(world, jobs, 2))
        first = name_of(world, set())
        sleeper.process.send_signal(signal.SIGSTOP)
        checked = stack.enter_context(world.aws.faults.late("Invoke", 0, signed_by="sleeper", times=None))
        asleep = time.monotonic()
        until(lambda: time.monotonic() > asleep + CUT_OFF_SECONDS + 2, 60)
        sleeper.process.send_signal(signal.SIGCONT)
        (dropped,) = until(lambda: sleeper.events("replica.dropped_all"))
        assert (dropped["replica"], dropped["held"]) == (first, len(jobs))
        assert checked.met == 0  # nothing was polled before it was dropped
        second = name_of(world, {first})
        # It is the same process: what it held it takes over from itself, and asks nobody's leave.
        until(lambda: held_by(world, second) == {job.job_id for job in jobs}, 30)
        until(lambda: set(world.replicas()) == {second}, 30)
        for job in jobs:
            world.aws.jobs.add(job.job_id)
        assert {world.ended(job)["status"] for job in jobs} == {"COMPLETED"}
        assert sleeper.stop() == 0


def test_fault_55_cut_off_from_the_token_table_while_the_source_can_be_reached(world: World) -> None:
    jobs = waiting(world, 10, 0.5)
    with world.daemon(**HOLDING, AWS_ACCESS_KEY_ID="cutoff") as daemon:
        until(lambda: len(held_by(world)) == len(jobs) and all_polled(world, jobs, 2))
        with world.aws.faults.never_answer("dynamodb:*", signed_by="cutoff", times=None):
            cut, last = time.monotonic(), _Last(world)
            until(last.is_quiet, 40)
            assert last.seen - cut < CUT_OFF_SECONDS + 1
            assert last.seen - cut > 5  # it went on for a while: its source was there
        for job in jobs:
            world.aws.jobs.add(job.job_id)
        assert {world.ended(job, 60)["status"] for job in jobs} == {"COMPLETED"}
        assert daemon.stop() == 0
    assert [world.answers(job) for job in jobs] == [["SendTaskSuccess"]] * len(jobs)


class _Last:
    """When the last check was seen."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._count = -1
        self.seen = time.monotonic()

    def is_quiet(self) -> bool:
        """Tell whether nothing was checked for four seconds."""
        count = sum(self._world.aws.jobs.all_checks().values())
        if count != self._count:
            self._count, self.seen = count, time.monotonic()
        return time.monotonic() - self.seen > 4


# Writes that go wrong


def test_fault_56_a_claim_for_a_hold_whose_reply_is_lost_for_good(world: World) -> None:
    """The SDK has given the claim up: the row is held in the table, and its replica does not know."""
    (job,) = waiting(world, 1, 1)
    with world.aws.faults.drop_reply("BatchExecuteStatement", containing="claimId", times=3) as lost:
        with world.daemon(**HOLDING) as daemon:
            until(lambda: all_polled(world, [job], 3))
            row = world.row(job)
            assert (row["attemptCount"], row["version"]) == (1, 1)
            assert daemon.stop() == 0
        assert lost.met == 3
    assert world.row(job).get("heldBy") is None


def test_fault_56_a_renewal_whose_reply_is_lost(world: World) -> None:
    (job,) = waiting(world, 1, 1)
    with world.daemon(**QUICK) as daemon:
        with world.aws.faults.drop_reply("dynamodb:*", containing=RENEW, times=3) as lost:
            lost.wait(3)
        before = world.aws.jobs.checks(job.job_id)
        until(lambda: world.aws.jobs.checks(job.job_id) > before + 2)
        assert world.row(job)["heldBy"] == name_of(world, set())
        assert [line for line in world.complaints(daemon) if line["event"] != "health.changed"] == []
        assert daemon.stop() == 0


def test_fault_56_a_renewal_that_is_lost_to_another(world: World) -> None:
    (job,) = waiting(world, 1, 1)
    later = int(time.time() * 1000) + 3_600_000
    with world.daemon(**QUICK) as daemon:
        with world.aws.faults.hold("dynamodb:*", containing=RENEW) as renewal:
            renewal.wait()
            version = world.row(job)["version"]
            world.change(job, claimId="another's", version=version + 1, nextPollAt=later, heldBy="another")
            changed = world.item(job)
        world.ticks(daemon, 10)
        checks = world.aws.jobs.checks(job.job_id)
        world.ticks(daemon, 10)
        assert (world.item(job), world.aws.jobs.checks(job.job_id)) == (changed, checks)
        assert world.complaints(daemon) == []
        assert daemon.stop() == 0
    assert world.item(job) == changed


# Giving free


def test_a_drain_gives_every_held_row_free_and_due_when_it_is(world: World) -> None:
    jobs = waiting(world, 2_000, 600)
    with world.daemon(**HOLDING, SCHEDULER_CONCURRENCY="64") as daemon:
        until(lambda: all_polled(world, jobs, 1), 60)
        started = time.time()
        assert daemon.stop() == 0
        assert time.time() - started < 20
    rows = world.rows()
    assert len(rows) == len(jobs)
    assert held_by(world) == set()
    assert world.replicas() == {}
    dues = [row["nextPollAt"] / 1000 - started for row in rows.values()]
    assert max(dues) < 601
    # Some were polled twice: what is taken up together is spread over its interval.
    assert {job_id: row["attemptCount"] for job_id, row in rows.items()} == world.aws.jobs.all_checks()
    with world.daemon(**HOLDING):
        world.make_due(jobs[7])
        until(lambda: world.aws.jobs.checks(jobs[7].job_id) == 2)


def test_the_command_poll_wins_a_held_row(world: World) -> None:
    (job,) = waiting(world, 1, 600)
    with world.daemon(**HOLDING) as daemon:
        until(lambda: all_polled(world, [job], 1) and held_by(world))
        world.aws.jobs.add(job.job_id)
        done = subprocess.run([COMMAND, "poll", job.job_id], env=world.environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert world.ended(job)["status"] == "COMPLETED"
        assert daemon.stop() == 0
    assert world.answers(job) == ["SendTaskSuccess"]


# Settings


def test_no_more_rows_are_held_than_is_set_and_the_rest_is_polled_all_the_same(world: World) -> None:
    jobs = waiting(world, 20, 1)
    with world.daemon(**HOLDING, SCHEDULER_HOLD_ROWS="5"):
        until(lambda: all_polled(world, jobs, 2), 60)
        assert len(held_by(world)) <= 5
        until(lambda: len(held_by(world)) == 5)


@pytest.mark.parametrize(
    "settings",
    [{"SCHEDULER_HOLD_SECONDS": "0"}, HOLDING | {"SCHEDULER_DUE": "scan"}, HOLDING | {"SCHEDULER_HOLD_ROWS": "0"}],
)
def test_nothing_is_held_where_that_is_off_or_the_index_is_not_used(world: World, settings: dict[str, str]) -> None:
    (job,) = waiting(world, 1, 0.5)
    with world.daemon(**settings, SCHEDULER_CHECK_TIMEOUT_SECONDS="1") as daemon:
        until(lambda: all_polled(world, [job], 2))
        world.ticks(daemon)
        assert held_by(world) == set()
        assert world.replicas() == {}
        assert world.row(job)["attemptCount"] >= 2


def test_with_a_cron_held_rows_are_polled_at_its_fires_and_at_no_other_time(world: World) -> None:
    with world.daemon(**HOLDING, SCHEDULER_CRON="*/3 * * * * *", SCHEDULER_INTERVAL_SECONDS="") as daemon:
        until(lambda: daemon.events("tick.finished"))
        (job,) = waiting(world, 1, 1)
        until(lambda: all_polled(world, [job], 4))
        polls = [datetime.fromisoformat(line["timestamp"]) for line in daemon.events("poll.in_progress")]
        assert held_by(world)
    assert [at for at in polls if at.second % 3 or at.microsecond > 900_000] == []
    fires = [at.replace(microsecond=0) for at in polls]  # a poll may come late in its second
    assert {(later - earlier).total_seconds() for earlier, later in pairwise(fires)} == {3}


# Other versions

OLDER = "b7d10f4"
"""The last commit before rows were held."""
_MAKE_TABLE = """
import asyncio, sys
from types import SimpleNamespace
import aioboto3
from scheduler.aws import deploy
async def make():
    async with aioboto3.Session().client("dynamodb", endpoint_url=sys.argv[2]) as client:
        await deploy.deploy_table(SimpleNamespace(dynamodb=client), sys.argv[1], indexed=True)
asyncio.run(make())
"""


@pytest.fixture(scope="session")
def older(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give the environment in which this Python runs the program as it was before rows were held."""
    folder = tmp_path_factory.mktemp("older")
    repository = Path(__file__).parents[2]
    archive = subprocess.run(["git", "archive", OLDER], cwd=repository, capture_output=True, check=False)
    if archive.returncode:
        lacks = f"the history lacks {OLDER}: {archive.stderr.decode().strip()}"
        if os.environ.get("CI") == "true":
            pytest.fail(lacks)
        pytest.skip(lacks)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return {"PYTHONPATH": str(folder)}


def running_older(world: World, older: dict[str, str]) -> AbstractContextManager[Daemon]:
    return world.daemon(command=(sys.executable, "-P", "-m", "scheduler", "run"), **older)


def complaints(world: World, *daemons: Daemon) -> list[str]:
    """Give what daemons have complained of, but for settings that the older program does not know."""
    return [line["event"] for line in world.complaints(*daemons) if line["event"] != "settings.unknown"]


def end_all(world: World, jobs: list[AddedJob]) -> None:
    """Let all jobs complete; each must be answered once."""
    for job in jobs:
        world.aws.jobs.add(job.job_id)
    assert {world.ended(job, 60)["status"] for job in jobs} == {"COMPLETED"}
    assert [world.answers(job) for job in jobs] == [["SendTaskSuccess"]] * len(jobs)
    assert [world.aws.ledger.offered(job.token) for job in jobs] == [1] * len(jobs)


def test_fault_57_the_older_program_is_the_older_program(world: World, older: dict[str, str]) -> None:
    (job,) = waiting(world, 1, 0.5)
    with running_older(world, older) as daemon:
        until(lambda: all_polled(world, [job], 1))
        (started,) = daemon.events("scheduler.started")
        assert started["version"] == "0.1.0"
        assert daemon.stop() == 0
    assert world.replicas() == {}


def test_fault_57_a_newer_replica_joins_older_ones(world: World, older: dict[str, str]) -> None:
    with running_older(world, older) as old:
        jobs = waiting(world, 20, 1)
        until(lambda: all_polled(world, jobs, 1))
        with world.daemon(**HOLDING) as new:
            until(lambda: len(held_by(world)) > 5)
            more = [world.add(f"more-{number}", polls=3, row={"intervalSeconds": 0.5}) for number in range(10)]
            assert {world.ended(job, 60)["status"] for job in more} == {"COMPLETED"}
            end_all(world, jobs)
            assert complaints(world, old, new) == []
            assert (old.stop(), new.stop()) == (0, 0)


def test_fault_57_an_older_replica_joins_newer_ones_and_stays(world: World, older: dict[str, str]) -> None:
    """A downgrade: what a newer replica gives free when it stops is polled by the older one at once."""
    jobs = waiting(world, 20, 1)
    with world.daemon(**HOLDING) as new:
        until(lambda: len(held_by(world)) == len(jobs))
        with running_older(world, older) as old:
            world.ticks(old)
            before = world.aws.jobs.all_checks()
            until(lambda: all(world.aws.jobs.checks(job_id) > count + 1 for job_id, count in before.items()))
            assert len(held_by(world)) == len(jobs)  # the older one has left them alone
            assert new.stop() == 0
            assert held_by(world) == set()
            assert {row["attemptCount"] > 2 for row in world.rows().values()} == {True}
            end_all(world, jobs)
            assert complaints(world, old, new) == []
            assert old.stop() == 0


def test_fault_57_a_newer_replica_dies_beside_an_older_one(world: World, older: dict[str, str]) -> None:
    jobs = waiting(world, 5, 1)
    with running_older(world, older) as old, world.daemon(**HOLDING) as new:
        until(lambda: held_by(world))
        new.process.kill()
        assert new.process.wait(10) == KILLED
        world.ticks(old)
        for job in jobs:
            world.make_due(job)  # their holds end
        end_all(world, jobs)
        assert old.stop() == 0


def test_fault_57_a_table_and_rows_of_the_older_program_work_unchanged(world: World, older: dict[str, str]) -> None:
    world.dynamodb.delete_table(TableName=world.table)
    make = [sys.executable, "-P", "-c", _MAKE_TABLE, world.table, world.dynamodb.meta.endpoint_url]
    subprocess.run(make, env=world.environment | older, check=True)
    jobs = waiting(world, 5, 1)
    with running_older(world, older) as old:
        until(lambda: all_polled(world, jobs, 2))
        old.process.kill()
        assert old.process.wait(10) == KILLED
    for job in jobs:
        world.make_due(job)
    rows = {job_id: row["attemptCount"] for job_id, row in world.rows().items()}
    with world.daemon(**HOLDING) as new:
        until(lambda: len(held_by(world)) == len(jobs))
        assert all(world.row(job_id)["attemptCount"] > count for job_id, count in rows.items())
        end_all(world, jobs)
        assert world.complaints(new) == []
        assert new.stop() == 0


def test_fault_57_the_older_monitor_takes_no_offence_at_rows_of_replicas(world: World, older: dict[str, str]) -> None:
    waiting(world, 2, 1)
    with world.daemon(**HOLDING):
        until(lambda: len(held_by(world)) == 2)
        command = [sys.executable, "-P", "-m", "scheduler", "monitor", "--json"]
        done = subprocess.run(command, env=world.environment | older, capture_output=True, text=True, check=False)
    shown = json.loads(done.stdout)["tokenRows"]
    assert "job-0000" in json.dumps(shown), (done.stdout, done.stderr)
