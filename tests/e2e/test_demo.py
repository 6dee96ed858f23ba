"""The demo: one command, a whole cloud, and nothing left of it."""

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.e2e.cloud import COMMAND, PLAIN, until


def processes_in(folder: Path) -> list[str]:
    """Find the processes that were started with this folder for their temporary files."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        if bytes(folder) in environment:
            found.append((process / "cmdline").read_text("utf-8"))
    return found


def test_the_demo_ends_by_itself_and_leaves_nothing_behind(tmp_path: Path) -> None:
    started = time.monotonic()
    done = subprocess.run(
        [COMMAND, "demo"],
        env=PLAIN | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "8 of 8 workflows ended as they should")
    assert time.monotonic() - started < 40
    assert done.stdout.count("SUCCESS") == 6
    assert done.stdout.count("FAILED") == 2
    assert processes_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_is_kept_goes_on_until_it_is_interrupted(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    work = tmp_path / "work"
    work.mkdir()
    with errors.open("wb") as output:
        demo = subprocess.Popen(
            [COMMAND, "demo", "--keep", "--succeeding", "1", "--interval", "0.5"],
            env=PLAIN | {"TMPDIR": str(work)},
            stdout=subprocess.DEVNULL,
            stderr=output,
        )
    try:
        until(lambda: "go on until Ctrl-C" in errors.read_text("utf-8"))
        assert demo.poll() is None
        assert len(processes_in(work)) > 1
        os.kill(demo.pid, signal.SIGINT)
        assert demo.wait(20) == 0
    finally:
        demo.kill()
    assert processes_in(work) == []
    assert list(work.iterdir()) == []
