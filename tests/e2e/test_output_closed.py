"""Output that nobody reads to its end, as with `| head -3`."""

import json
import os
import subprocess
from typing import Any

import pytest

from tests.e2e.cloud import COMMAND, Cloud
from tests.e2e.process import piped


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_daemon_whose_log_nobody_reads_drains_and_ends_quietly(cloud: Cloud, style: str) -> None:
    settings = {"SCHEDULER_INTERVAL_SECONDS": "0.2", "SCHEDULER_LOG_FORMAT": style}
    with piped("run", environment=cloud.environment | settings) as daemon:
        assert "scheduler.started" in daemon.stdout.readline()
        assert "tick.finished" in daemon.stdout.readline()
        assert daemon.ended_unread() == (1, "")


@pytest.mark.parametrize("command", ["tick", "deploy", "start", "poll job-1", "monitor", "monitor --json", "check"])
@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_command_whose_output_nobody_reads_ends_quietly(cloud: Cloud, command: str, closed: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    # Settings that are none make each command say something on either stream.
    settings = {"SCHEDULER_NONESUCH": "1", "SCHEDULER_SOURCE_FUNCTION": "nowhere"}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {closed: writer}
    with os.fdopen(writer, "wb"):
        done = subprocess.run(
            [COMMAND, *command.split()], env=cloud.environment | settings, timeout=60, check=False, text=True, **streams
        )
    assert done.returncode in {0, 1}
    assert "Traceback" not in f"{done.stdout}{done.stderr}"
    assert "Exception ignored" not in f"{done.stdout}{done.stderr}"


@pytest.mark.parametrize("json_", [[], ["--json"]], ids=["people", "json"])
def test_a_watch_that_is_piped_shows_one_survey_after_the_other(cloud: Cloud, json_: list[str]) -> None:
    with piped("monitor", "--watch", "--every", "0.2", *json_, environment=cloud.environment) as watch:
        if json_:
            assert [json.loads(watch.stdout.readline())["tokenRows"] for _ in range(3)] == [[]] * 3
        else:
            lines = iter(watch.stdout.readline, "")
            assert [next(line for line in lines if line.strip() == "token rows") for _ in range(3)]
        assert watch.ended_unread() == (1, "")


def test_a_single_tick_goes_on_where_nobody_reads_its_log(cloud: Cloud) -> None:
    cloud.put_row(cloud.make_job(completionPolls=5))
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as log:
        done = subprocess.run(
            [COMMAND, "tick", "--json"], env=cloud.environment, stdout=subprocess.PIPE, stderr=log, check=False
        )
    assert (done.returncode, json.loads(done.stdout)["polled"]) == (0, 1)
