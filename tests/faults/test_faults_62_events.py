"""Fault 62: jobs that are handed over to the poller Lambda as events, which may be refused, lost, late or run twice."""

import asyncio
import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.aws_server.gate import PATIENCE_SECONDS
from tests.e2e.cloud import COMMAND
from tests.faults.world import POLLER, Daemon, World, until

BY_EVENTS = {"SCHEDULER_MODE": "lambda", "SCHEDULER_LAMBDA_INVOCATION": "event", "SCHEDULER_LAMBDA_BATCH_SIZE": "3"}


@contextmanager
def daemon(world: World, **settings: str) -> Iterator[Daemon]:
    with world.daemon(**BY_EVENTS | settings) as running:
        yield running


def handed_over(*daemons: Daemon) -> Counter[str]:
    return Counter(line["job_id"] for each in daemons for line in each.events("poll.handed_over"))


def hang(world: World) -> None:
    """Install a poller that takes its events and never ends."""

    async def never(_: Any) -> None:
        await asyncio.Event().wait()

    world.aws.functions.add(POLLER, never)


def test_fault_62_jobs_are_handed_over_once_for_each_poll_however_long_that_takes(world: World) -> None:
    world.install_poller()
    jobs = [world.add(f"job-{number}", polls=2) for number in range(6)]
    with daemon(world) as running:
        rows = [world.ended(job, 60) for job in jobs]
        assert running.stop() == 0
    assert {(row["status"], row["attemptCount"]) for row in rows} == {("COMPLETED", 2)}
    assert handed_over(running) == {job.job_id: 2 for job in jobs}
    # Each of these polls is a process of its own and lasts for some ticks of 0.2 s.
    ticks = running.events("tick.finished")
    assert len(ticks) > 3
    assert sum(tick["handed_over"] for tick in ticks) == 12
    assert set(world.aws.jobs.all_checks().values()) == {2}
    assert world.complaints(running) == []


def note_replies(world: World, gate: threading.Event) -> list[str]:
    """Install the poller Lambda behind a gate; gives a list that grows by what it says of each job."""
    said: list[str] = []

    def handler(event: Any) -> None:
        gate.wait(PATIENCE_SECONDS)
        results = json.loads(world.poller_lambda(event).stdout)["results"]
        said.extend(result.get("outcome", result["status"]) for result in results)

    world.aws.functions.add(POLLER, handler)
    return said


def test_fault_62_an_event_that_is_delivered_twice_polls_its_jobs_once(world: World) -> None:
    gate = threading.Event()
    gate.set()
    said = note_replies(world, gate)
    world.aws.functions.deliver(2)
    jobs = [world.add(f"job-{number}", polls=9, row={"intervalSeconds": 60}) for number in range(3)]
    with daemon(world):
        until(lambda: len(said) == 6)
    assert Counter(said) == {"IN_PROGRESS": 3, "lost": 3}
    assert {world.row(job)["attemptCount"] for job in jobs} == {1}
    assert set(world.aws.jobs.all_checks().values()) == {1}


def test_fault_62_of_two_daemons_that_hand_a_job_over_one_gets_it_polled(world: World) -> None:
    gate = threading.Event()
    said = note_replies(world, gate)
    jobs = [world.add(f"job-{number}", polls=9, row={"intervalSeconds": 60}) for number in range(3)]
    with daemon(world) as one, daemon(world) as other:
        until(lambda: len(handed_over(one)) == len(handed_over(other)) == 3)
        gate.set()
        until(lambda: len(said) == 6)
    assert Counter(said) == {"IN_PROGRESS": 3, "lost": 3}
    assert {world.row(job)["attemptCount"] for job in jobs} == {1}
    assert set(world.aws.jobs.all_checks().values()) == {1}


def test_fault_62_what_was_handed_over_and_lost_is_handed_over_by_whoever_comes_next(world: World) -> None:
    world.install_poller()
    world.aws.functions.deliver(0)
    job = world.add("job-1")
    with daemon(world) as first:
        until(lambda: handed_over(first))
        world.ticks(first, more=3)
        assert handed_over(first) == {"job-1": 1}
        assert world.row(job)["attemptCount"] == 0
    world.aws.functions.deliver(1)
    with daemon(world):
        assert world.ended(job, 60)["attemptCount"] == 1


def test_fault_62_an_event_whose_reply_was_lost_is_not_handed_over_again(world: World) -> None:
    world.install_poller()
    world.aws.faults.drop_reply("Invoke", containing="dueBy")
    job = world.add("job-1", row={"maxAttempts": 1})
    with daemon(world) as running:
        assert world.ended(job, 60)["status"] == "COMPLETED"
        (told,) = world.complaints(running)
    assert (told["event"], handed_over(running)) == ("poll.check_failed", Counter())
    assert world.aws.jobs.checks("job-1") == 1


def test_fault_62_a_queue_that_refuses_slows_the_lane_and_spends_nothing(world: World) -> None:
    world.install_poller()
    refused = world.aws.faults.fail("Invoke", code="TooManyRequestsException", containing="dueBy", times=4)
    jobs = [world.add(f"job-{number}", row={"maxAttempts": 1}) for number in range(6)]
    with daemon(world) as running:
        rows = [world.ended(job, 60) for job in jobs]
        (began,) = running.events("trouble.began")
    assert (began["part"], began["reason"], began["unready"]) == (f"source {POLLER}", "throttled", False)
    assert (refused.met, {(row["status"], row["attemptCount"]) for row in rows}) == (4, {("COMPLETED", 1)})


def test_fault_62_a_poller_that_hangs_holds_up_no_tick_no_other_job_and_no_stop(world: World) -> None:
    hang(world)
    for number in range(6):
        world.add(f"job-{number}")
    with daemon(world, SCHEDULER_CONCURRENCY="1", SCHEDULER_LAMBDA_BATCH_SIZE="1") as running:
        until(lambda: len(handed_over(running)) == 6)
        world.ticks(running, more=3)
        assert running.readiness()[0] == 200
        stopped = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - stopped < 5
    assert set(handed_over(running).values()) == {1}


def test_fault_62_a_tick_that_stands_alone_hands_over_and_ends(world: World) -> None:
    hang(world)
    world.add("job-1")
    shown = subprocess.run(
        [COMMAND, "tick", "--json"], env=world.environment | BY_EVENTS, stdout=subprocess.PIPE, check=True
    )
    tick = json.loads(shown.stdout)
    assert (tick["due"], tick["handed_over"], tick["claimed"]) == (1, 1, 0)
