"""Row 27: SIGTERM in mid-tick."""

import signal
import time

from tests.faults.world import World, until


def test_fault_27_a_running_poll_ends_and_no_other_begins(world: World) -> None:
    jobs = [world.add("job-1", polls=1), world.add("job-2", polls=1)]
    with world.daemon(SCHEDULER_CONCURRENCY="1") as daemon:
        with world.aws.faults.hold("Invoke", times=1) as held:
            held.wait()
            daemon.process.send_signal(signal.SIGTERM)
            until(lambda: daemon.events("scheduler.draining"))
        assert daemon.process.wait(10) == 0
    ended, untouched = sorted(jobs, key=lambda job: str(world.row(job)["status"]))
    assert (world.row(ended)["status"], world.answers(ended)) == ("COMPLETED", ["SendTaskSuccess"])
    assert (world.row(untouched)["status"], world.row(untouched)["attemptCount"]) == ("POLLING", 0)


def test_fault_27_the_drain_ends_with_its_grace(world: World) -> None:
    job = world.add("job-1", polls=1)
    settings = {"SCHEDULER_DRAIN_SECONDS": "0.5", "SCHEDULER_CHECK_TIMEOUT_SECONDS": "60"}
    with world.daemon(**settings) as daemon, world.aws.faults.hold("Invoke", times=1) as held:
        held.wait()
        started = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - started < 5
    assert (world.row(job)["status"], world.row(job)["attemptCount"]) == ("POLLING", 1)


def test_fault_27_a_second_signal_ends_it_at_once_and_the_lease_recovers_the_row(world: World) -> None:
    job = world.add("job-1", polls=1)
    settings = {"SCHEDULER_CHECK_TIMEOUT_SECONDS": "60"}
    with world.daemon(**settings) as daemon, world.aws.faults.hold("Invoke", times=1) as held:
        held.wait()
        daemon.process.send_signal(signal.SIGTERM)
        until(lambda: daemon.events("scheduler.draining"))
        assert daemon.stop(seconds=3) == -signal.SIGTERM
    world.make_due(job)
    with world.daemon():
        assert world.ended(job)["status"] == "COMPLETED"
    assert world.answers(job) == ["SendTaskSuccess"]
