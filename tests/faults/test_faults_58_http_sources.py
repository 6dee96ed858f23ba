"""Fault 58 through the daemon: an HTTP source that is hostile, beside a source whose jobs stay on time."""

import json
import os
import time
from itertools import cycle
from pathlib import Path

import pytest

from tests.faults.test_faults_24_and_39_two_sources import CLAIMS, SECOND, Punctual
from tests.faults.world import HOLDING, Daemon, World, until
from tests.http_jobs.asking import LISTS
from tests.http_jobs.replies import Answer, Drip, Endless, Reply, html
from tests.http_jobs.server import HttpJobs

JOBS = 12
MOST_GROWTH = 60_000_000
"""The longest body for each of eight slots, twice over, and what a daemon takes as it warms up; far from 1 GB."""
HOSTILE: dict[str, Answer] = {
    "redirects elsewhere": Reply(302, b"", {"Location": "http://127.0.0.2:9/jobs/other"}),
    "drips": Drip(),
    "a gigabyte in chunks": Endless(told=False),
    "HTML with 200": html(),
}
THROTTLED = {"Retry-After": Reply(429, b"", {"Retry-After": "2"}), "no Retry-After": Reply(429)}


def settings_of(service: HttpJobs) -> dict[str, str]:
    entry = {"http": {"url": f"{service.url}/jobs/{{jobId}}"}, **LISTS, "timeout_seconds": 1, "interval_seconds": 1}
    return {
        "SCHEDULER_SOURCE_FUNCTION": "punctual",
        "SCHEDULER_DRAIN_SECONDS": "0",
        "SCHEDULER_CONCURRENCY": "8",
        "SCHEDULER_SOURCES": json.dumps({"reports": entry}),
    }


def resident(daemon: Daemon) -> int:
    pages = Path(f"/proc/{daemon.process.pid}/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def watched(world: World, daemon: Daemon, punctual: Punctual, seconds: float = 4) -> int:
    """Watch the other source's jobs for a while: none may be late; gives how much the daemon has grown."""
    until(lambda: len(punctual.times) == 3)
    since, before, most = time.monotonic(), resident(daemon), 0

    def over() -> bool:
        nonlocal most
        most = max(most, resident(daemon))
        return time.monotonic() > since + seconds

    until(over, seconds + 10)
    # The machine of a test may be busy; alone they would be asked once a second.
    assert punctual.longest_gap(since) < 3
    assert {row["status"] for row in world.rows().values()} == {"POLLING"}
    return most - before


def added(world: World) -> tuple[Punctual, list[str]]:
    punctual = Punctual(world)
    for number in range(3):
        world.add(f"punctual-{number}", row=SECOND)
    row = {"source": "reports", "maxAttempts": 1_000}
    return punctual, [world.add(f"reports-{number}", row=row).job_id for number in range(JOBS)]


@pytest.mark.parametrize("settings", [HOLDING, CLAIMS], ids=["held", "claim by claim"])
def test_fault_58_a_hostile_http_source_ends_no_job_fills_no_memory_and_delays_nobody(
    world: World, settings: dict[str, str]
) -> None:
    ways = cycle(HOSTILE.values())
    with HttpJobs.running() as service:
        service.answer = lambda _: next(ways)
        punctual, jobs = added(world)
        with world.daemon(**settings_of(service), **settings) as daemon:
            until(lambda: daemon.events("poll.check_failed"))
            assert watched(world, daemon, punctual) < MOST_GROWTH
            assert {line["job_id"] for line in daemon.events("poll.check_failed")} <= set(jobs)
            assert daemon.readiness()[0] == 200


@pytest.mark.parametrize("settings", [HOLDING, CLAIMS], ids=["held", "claim by claim"])
@pytest.mark.parametrize("answer", THROTTLED.values(), ids=THROTTLED)
def test_fault_58_429_for_ever_spends_no_attempt_slows_the_lane_and_is_said_once(
    world: World, answer: Reply, settings: dict[str, str]
) -> None:
    with HttpJobs.running() as service:
        service.answer = lambda _: answer
        punctual, jobs = added(world)
        with world.daemon(**settings_of(service), **settings) as daemon:
            until(lambda: service.seen)
            watched(world, daemon, punctual)
            # Jobs that are asked once a second would make four times as many as there are jobs.
            assert len(service.seen) < 2 * JOBS
            assert [line["part"] for line in daemon.events("trouble.began")] == ["source reports"]
            service.polls = dict.fromkeys(jobs, 1)
            service.answer = service.status
            rows = [world.ended(job) for job in jobs]
    assert {(row["status"], row["attemptCount"]) for row in rows} == {("COMPLETED", 1)}
