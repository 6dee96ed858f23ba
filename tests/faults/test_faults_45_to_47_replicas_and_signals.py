"""Faults 45 to 47: many replicas at one backlog, and signals in every phase."""

import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.cloud import COMMAND
from tests.faults.world import Daemon, World, until

PHASES: dict[str, str] = {
    "the first look at the table": "DescribeTable",
    "probing the table": "GetItem",
    "probing the source": "GetFunctionConfiguration",
    "finding": "Query",
    "reading": "BatchGetItem",
    "sweeping": "Scan",
}


def test_fault_45_four_replicas_share_a_backlog_with_few_claims_lost(world: World) -> None:
    jobs = [world.add(f"job-{number:03}") for number in range(400)]
    with ExitStack() as stack:
        replicas = [stack.enter_context(world.daemon()) for _ in range(4)]
        until(lambda: all(row["status"] == "COMPLETED" for row in world.rows().values()), 60)
        ticks = [tick for replica in replicas for tick in replica.events("tick.finished")]
        shares = [sum(tick["completed"] for tick in replica.events("tick.finished")) for replica in replicas]
    lost = sum(tick["lost"] for tick in ticks)
    writes = world.aws.calls["UpdateItem"]
    print(f"{writes} writes, {lost} claims lost, shares {shares}")  # noqa: T201  the figures of the day
    assert (len(jobs), sum(world.aws.jobs.all_checks().values())) == (400, 400)
    assert writes <= 1_000, f"{writes} writes, {lost} claims lost, shares {shares}"


@pytest.mark.parametrize("operation", PHASES.values(), ids=PHASES)
def test_fault_46_sigterm_while_the_cloud_hangs_ends_within_5_seconds(world: World, operation: str) -> None:
    hangs = world.aws.faults.never_answer(operation, times=None)
    if operation == "BatchGetItem":
        world.add()
    with world.daemon() as daemon:
        hangs.wait()
        started = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - started < 5
    hangs.cancel()


@pytest.mark.parametrize("after", [0.0, 0.3, 0.6, 0.9])
def test_fault_46_sigterm_while_it_starts_ends_within_5_seconds(world: World, after: float) -> None:
    with world.daemon() as daemon:
        time.sleep(after)  # somewhere in its start, wherever that is on this machine
        started = time.monotonic()
        # Before there is anything to drain, it is the signal's default action, or the command's own end by it.
        assert daemon.stop() in {0, -signal.SIGTERM, 128 + signal.SIGTERM}
        assert time.monotonic() - started < 5


def test_fault_46_sigterm_while_names_cannot_be_looked_up_ends_within_5_seconds(world: World, tmp_path: Any) -> None:
    asked = tmp_path / "asked"
    hanging = (
        f"import pathlib, socket, time\ndef hang(*_, **__):\n  pathlib.Path({str(asked)!r}).touch()\n  time.sleep(60)\n"
    )
    (tmp_path / "sitecustomize.py").write_text(f"{hanging}socket.getaddrinfo = hang\n", "utf-8")
    hosts = {"SCHEDULER_HTTP_HOST": "127.0.0.1", "AWS_ENDPOINT_URL": "http://nowhere.invalid:4566"}
    with world.daemon(PYTHONPATH=str(tmp_path), **hosts) as daemon:
        until(asked.exists)
        started = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - started < 5


def test_fault_46_sigterm_while_access_is_denied_ends_within_5_seconds(world: World) -> None:
    world.aws.faults.deny("*")
    with world.daemon() as daemon:
        until(lambda: daemon.events("trouble.began"))
        started = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - started < 5


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare of util-linux")
def test_fault_47_a_second_signal_ends_process_1_at_once(world: World, tmp_path: Any) -> None:
    world.add("job-1", always="hang")
    output = tmp_path / "process-1.jsonl"
    settings = world.environment | {"SCHEDULER_CHECK_TIMEOUT_SECONDS": "60", "SCHEDULER_DRAIN_SECONDS": "60"}
    with output.open("wb") as log:
        command = ["unshare", "--pid", "--fork", "--kill-child", COMMAND, "run"]
        outer = subprocess.Popen(command, env=settings, stdout=log, stdin=subprocess.DEVNULL)
        try:
            daemon = Daemon(outer, output)
            world.aws.jobs.wait_checked("job-1")
            (child,) = subprocess.check_output(["pgrep", "-P", str(outer.pid)], text=True).split()
            subprocess.check_call(["kill", "-TERM", child])
            until(lambda: daemon.events("scheduler.draining"))
            subprocess.check_call(["kill", "-TERM", child])
            assert outer.wait(3) == 128 + signal.SIGTERM
        finally:
            outer.kill()
            outer.wait()
