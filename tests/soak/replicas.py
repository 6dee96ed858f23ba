"""The replicas: daemons that run as processes of their own, sleep, and die."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.backends import local_environment
from tests.soak.plan import SHARDS
from tests.soak.witness import CHECK_TIMEOUT_SECONDS, Witness

INTERVAL_SECONDS = 0.5
_CLAIMER = "claimer"
"""So the access keys begin of the processes that claim for each poll, and hold nothing."""
_STOP_SECONDS = 30.0
_BAD = ("poll.crashed", "scheduler.crashed", "scheduler.failed", "row.quarantined", "row.refused")


class Replicas:
    """Some daemons over one cloud; each appends to a log of its own. The last one holds no rows."""

    def __init__(self, count: int, endpoint: str, table: str, folder: Path, witness: Witness) -> None:
        self.met: Counter[str] = Counter()
        """What befell them: kills, and sleeps by their length."""
        self.troubles: list[str] = []
        self._folder = folder
        self._witness = witness
        self._processes: list[Process | None] = [None] * count
        self._starts = 0
        self._keys = [""] * count
        """Each process signs its calls with an access key of its own, so that the server knows it."""
        self._environment = local_environment(endpoint) | {
            "SCHEDULER_TOKEN_TABLE": table,
            "SCHEDULER_INTERVAL_SECONDS": str(INTERVAL_SECONDS),
            "SCHEDULER_CHECK_TIMEOUT_SECONDS": str(CHECK_TIMEOUT_SECONDS),
            "SCHEDULER_SHARDS": str(SHARDS),
            "SCHEDULER_HTTP_PORT": "0",
            "SCHEDULER_LOG_LEVEL": "debug",
        }

    async def start(self) -> None:
        """Start all that do not run."""
        for number, process in enumerate(self._processes):
            if process is None:
                await self._start(number)

    async def kill(self, number: int) -> None:
        """Kill one, and start it again."""
        await self._kill(number)
        await self._start(number)

    def sleep(self, number: int, seconds: float) -> None:
        """Stop one, and note for how long it is going to sleep."""
        if self._signal(number, signal.SIGSTOP):
            self.met[f"sleeps of {seconds:.0f} s"] += 1

    def wake(self, number: int) -> None:
        """Let one that sleeps go on."""
        self._witness.slept(self._keys[number])
        self._signal(number, signal.SIGCONT)

    async def kill_all(self) -> None:
        """Kill all at once."""
        await asyncio.gather(*[self._kill(number) for number in range(len(self._processes))])

    async def stop(self) -> None:
        """Stop all as an orchestrator does, with SIGTERM; each must drain and exit with 0."""
        running = [process for process in self._processes if process]
        for number, process in enumerate(running):
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(_STOP_SECONDS):
                code = await process.wait()
            if code:
                self.troubles.append(f"replica {number} exited with {code} on SIGTERM")
        self._processes = [None] * len(running)

    async def abandon(self) -> None:
        """Kill what still runs: the soak ends here, whatever for."""
        running = [process for process in self._processes if process and process.returncode is None]
        for process in running:
            process.kill()
        for process in running:
            await process.wait()

    def taken_over(self) -> int:
        """Count the rows that replicas say they have taken over from others that were gone."""
        return sum(int(line["taken_over"]) for line in self._lines("replica.gone"))

    def dropped_all(self) -> int:
        """Count how often a replica has dropped what it held, since the others might have called it gone."""
        return sum(1 for _ in self._lines("replica.dropped_all"))

    def bad_lines(self, tokens: list[str]) -> list[str]:
        """Give what no log should show: crashes, rows set aside, and task tokens."""
        bad = []
        for log in sorted(self._folder.iterdir()):
            text = log.read_text("utf-8", "replace")
            bad += [f"{log.name}: {line[:500]}" for line in text.splitlines() if _event(line) in _BAD]
            if log.suffix == ".err" and text.strip():
                bad.append(f"{log.name}: {text.strip()[-500:]}")
            bad += [f"{log.name} shows a task token" for token in tokens if token in text]
        return bad

    def lines_about(self, job_id: str, most: int = 30) -> list[str]:
        """Give the last lines that the logs have about a job, in their order of time."""
        lines = [line for log in self._folder.glob("*.log") for line in log.read_text("utf-8", "replace").splitlines()]
        about = [line for line in lines if job_id in line]
        return sorted(about, key=lambda line: str(_read(line).get("timestamp")))[-most:]

    def _lines(self, event: str) -> Iterator[dict[str, Any]]:
        for log in self._folder.glob("*.log"):
            for line in log.read_text("utf-8", "replace").splitlines():
                if event in line and (read := _read(line)).get("event") == event:
                    yield read

    def _signal(self, number: int, given: signal.Signals) -> bool:
        process = self._processes[number]
        if process is None or process.returncode is not None:
            self.troubles.append(f"replica {number} was not there for a {given.name}")
            return False
        process.send_signal(given)
        return True

    async def _start(self, number: int) -> None:
        holds = number < len(self._processes) - 1
        self._starts += 1
        key = self._keys[number] = f"{'holder' if holds else _CLAIMER}{number}start{self._starts}"
        own = {"AWS_ACCESS_KEY_ID": key} | ({} if holds else {"SCHEDULER_HOLD_SECONDS": "0"})
        with (
            (self._folder / f"replica-{number}.log").open("ab") as log,
            (self._folder / f"replica-{number}.err").open("ab") as errors,
        ):
            self._processes[number] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "scheduler", "run"),
                env=self._environment | own,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for the soak, which kills them itself
            )

    async def _kill(self, number: int) -> None:
        process = self._processes[number]
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        code = await process.wait()
        self._processes[number] = None
        self.met["kills"] += 1
        if not self._keys[number].startswith(_CLAIMER):
            self._witness.killed(self._keys[number])
        if code != -signal.SIGKILL:
            self.troubles.append(f"replica {number} had ended by itself, with exit code {code}")


def _read(line: str) -> dict[str, Any]:
    try:
        read = json.loads(line)
    except ValueError:  # cut off by a kill
        return {}
    return read if isinstance(read, dict) else {}


def _event(line: str) -> str | None:
    return _read(line).get("event")
