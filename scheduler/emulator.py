"""The embedded local cloud: ministack as a separate program, since it pins another botocore than aioboto3 does."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
import venv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp

from scheduler.assets import asset
from scheduler.errors import SchedulerError

HOST = "127.0.0.1"
_HOME = Path(sys.prefix) / "emulator"
_READY_SECONDS = 60.0
_STOP_SECONDS = 5.0


def program() -> Path:
    """Give where the program is, or will be once it is installed."""
    return _HOME / "bin" / "ministack"


def environment(port: int, home: Path) -> dict[str, str]:
    """Give the emulator's whole environment: its Lambdas inherit it, so that nothing of the user's may be in it."""
    return {
        # Its own interpreter first: that is the one which runs the Lambdas, and it has boto3.
        "PATH": f"{program().parent}{os.pathsep}{os.defpath}",
        "HOME": str(home),
        "TMPDIR": str(home),
        "BIND_HOST": HOST,
        "MINISTACK_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


async def install() -> None:
    """Install the emulator in an environment of its own beside this one. Raises SchedulerError."""
    await asyncio.to_thread(venv.create, _HOME, with_pip=True, clear=True)
    lock = asset("requirements", "emulator.txt")
    process = await asyncio.create_subprocess_exec(
        str(_HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--require-hashes", "-r", str(lock),
        stdout=sys.stderr,
    )  # fmt: skip
    if await process.wait():
        shutil.rmtree(_HOME, ignore_errors=True)
        message = f"the embedded cloud could not be installed from {lock}; what pip says stands above"
        raise SchedulerError(message)


@asynccontextmanager
async def emulator() -> AsyncIterator[str]:
    """Run the emulator on a free loopback port and give its endpoint; nothing of it stays behind.

    Raises SchedulerError where it does not start.
    """
    if not program().exists():
        print("installing the embedded cloud, once ...", file=sys.stderr)  # noqa: T201
        await install()
    home = Path(tempfile.mkdtemp(prefix="callback-scheduler-"))
    try:
        port = _free_port()
        output = home / "emulator.log"
        with output.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                str(program()),
                cwd=home,
                env=environment(port, home),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            endpoint = f"http://{HOST}:{port}"
            await _ready(endpoint, process, output)
            yield endpoint
        finally:
            await _stop(process)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def _ready(endpoint: str, process: asyncio.subprocess.Process, output: Path) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_READY_SECONDS), aiohttp.ClientSession() as session:
            while process.returncode is None:
                with suppress(aiohttp.ClientError):
                    async with session.get(f"{endpoint}/_localstack/health") as response:
                        if response.ok:
                            return
                await asyncio.sleep(0.1)
    said = " | ".join((await asyncio.to_thread(output.read_text, "utf-8", "replace")).splitlines()[-3:])
    message = f"the embedded cloud did not start: {said or 'it said nothing'}"
    raise SchedulerError(message)


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End the emulator and the Lambda processes it started, which share its process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()


if __name__ == "__main__":
    asyncio.run(install())
