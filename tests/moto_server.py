"""moto's server: many of AWS's services in memory, written by people who know nothing of this project."""

import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

REGION = "us-east-1"
_LOCK = Path(__file__).parent.parent / "requirements" / "moto.txt"
_READY_SECONDS = 60
_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@dataclass(frozen=True, slots=True)
class Moto:
    """A server that runs."""

    endpoint: str

    def client(self, service: str) -> Any:
        """Give boto3's client of one of its services, to start jobs with."""
        make: Any = boto3.client
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return make(service, endpoint_url=self.endpoint, region_name=REGION, **keys)

    def environment(self, *services: str) -> dict[str, str]:
        """Give the variables that lead the SDK to it for these services alone, by their ids: `glue`, `emr_serverless`.

        The rest may lead to another cloud.
        """
        return {f"AWS_ENDPOINT_URL_{service.upper()}": self.endpoint for service in services}

    def moves(self, model: str, times: int) -> None:
        """Let the things of a model move on to their next state when they have been asked for so often."""
        transition = {"progression": "manual", "times": times}
        self._tell("state-manager/set-transition", {"model_name": model, "transition": transition})

    def use_no_containers(self) -> None:
        """Let jobs that AWS runs in containers succeed with none."""
        self._tell("config", {"batch": {"use_docker": False}, "lambda": {"use_docker": False}})

    def _tell(self, path: str, body: object) -> None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.endpoint}/moto-api/{path}", json.dumps(body).encode(), headers)
        urllib.request.urlopen(request, timeout=10).close()


@contextmanager
def moto_server() -> Iterator[Moto]:
    """Run a server of one's own on a free port; it is installed beside the test tools on first use."""
    program = _installed()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = program.parent.parent / f"moto-{port}.log"
    environment = {"PATH": os.defpath, "AWS_DEFAULT_REGION": REGION, "PYTHONUNBUFFERED": "1", **_KEYS}
    with log.open("wb") as output:
        # In a group of its own, so that a Ctrl-C ends it when its user is done, and not before.
        process = subprocess.Popen(
            [program, "-H", "127.0.0.1", "-p", str(port)],
            env=environment, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        running = Moto(f"http://127.0.0.1:{port}")
        _wait(running, process, log)
        running.use_no_containers()
        yield running
    finally:
        process.terminate()
        process.wait(10)
        log.unlink()


def _installed() -> Path:
    """Give the program, in an environment of its own: it brings what would overwrite the SDK's own dependencies."""
    home = Path(sys.prefix) / "moto"
    marker = home / f"{hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:16]}.installed"
    # Test processes side by side come here at the same moment.
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists():
            shutil.rmtree(home, ignore_errors=True)
            venv.create(home, with_pip=True)
            command = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*command, "--require-hashes", "-r", str(_LOCK)], check=True)
            marker.touch()
    return home / "bin" / "moto_server"


def _wait(server: Moto, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{server.endpoint}/moto-api/config", timeout=2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    process.kill()
    message = f"moto's server did not start: {log.read_text('utf-8', 'replace')[-500:]}"
    raise RuntimeError(message)
