"""The simulated source: jobs with scripts, asked through Lambda's Invoke."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from tests.aws_server.gate import PATIENCE_SECONDS, Clock, Gate, Tally
from tests.aws_server.states import MOST_OUTPUT_BYTES
from tests.aws_server.wire import Call, Dropped, Reply, refuse, reply

Behaviour = Literal[
    "normal",
    "slow",
    "hang",
    "function_error",
    "not_json",
    "nan",
    "unknown_status",
    "unknown_job",
    "oversized",
    "throttled",
]
BEHAVIOURS: frozenset[str] = frozenset(get_args(Behaviour))


@dataclass(slots=True)
class Job:
    """A job, and how it answers.

    It ends at its `polls`-th answered poll: COMPLETED with `result`, or FAILED for the reason `fail_with`. `script`
    says how the first checks are answered, one entry each, `always` how all the others are; only checks that are
    answered normally (late ones too) count as polls. `slow_seconds` are of the server's clock.
    """

    job_id: str
    polls: int = 1
    fail_with: str | None = None
    result: Any = None
    slow_seconds: float = 30.0
    script: list[Behaviour] = field(default_factory=list)
    always: Behaviour = "normal"
    answered: int = 0


class Jobs:
    """The jobs of the simulated source; each check is counted, also of jobs that nobody added."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._checks: dict[str, Tally] = {}
        self._hung = Gate()
        self._batches: list[list[str]] = []

    def add(  # noqa: PLR0913 - all but the first are options, by name
        self,
        job_id: str,
        *,
        polls: int = 1,
        fail_with: str | None = None,
        result: Any = None,
        script: Sequence[Behaviour] = (),
        always: Behaviour = "normal",
        slow_seconds: float = 30.0,
    ) -> Job:
        """Add a job, or replace one; see `Job`."""
        if unknown := {always, *script} - BEHAVIOURS:
            message = f"no such behaviours: {sorted(unknown)}; there are {sorted(BEHAVIOURS)}"
            raise ValueError(message)
        job = self._jobs[job_id] = Job(job_id, polls, fail_with, result, slow_seconds, list(script), always)
        return job

    def checks(self, job_id: str) -> int:
        """Count the checks of a job."""
        return self._tally(job_id).count

    def all_checks(self) -> dict[str, int]:
        """Count the checks of every job that was checked."""
        return {job_id: tally.count for job_id, tally in self._checks.items() if tally.count}

    async def checked(self, job_id: str, count: int = 1, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until a job has been checked so often. Raises TimeoutError."""
        await self._tally(job_id).reached(count, seconds)

    def wait_checked(self, job_id: str, count: int = 1, seconds: float = PATIENCE_SECONDS) -> None:
        """Do the same in a thread without a loop."""
        self._tally(job_id).wait(count, seconds)

    def release_hung(self) -> None:
        """Close the connections of all checks that hang."""
        hung, self._hung = self._hung, Gate()
        hung.open()

    def asked_together(self) -> list[list[str]]:
        """Give the job ids of each check that asked for several jobs."""
        return list(self._batches)

    async def invoke(self, call: Call) -> Reply:
        """Answer `{"action": "CHECK_STATUS", "jobId"}` or `"jobIds"`. Raises Dropped and RefusedError."""
        match call.json:
            case {"action": "CHECK_STATUS", "jobId": str(job_id)} if job_id:
                return await self._check(call, job_id)
            case {"action": "CHECK_STATUS", "jobIds": [*job_ids]} if all(isinstance(each, str) for each in job_ids):
                return await self._check_many(call, job_ids)
        return reply(call, {"error": "this source knows CHECK_STATUS alone"})

    async def _check_many(self, call: Call, job_ids: list[str]) -> Reply:
        """Check jobs as one function does: what hangs, raises or is throttled for one is so for all of them."""
        self._batches.append(job_ids)
        replies = await asyncio.gather(*(self._check(call, job_id) for job_id in job_ids))
        if raised := next((each for each in replies if "X-Amz-Function-Error" in each.headers), None):
            return raised
        return Reply(200, b'{"results": [%s]}' % b", ".join(each.body for each in replies))

    async def _check(self, call: Call, job_id: str) -> Reply:
        job = self._jobs.get(job_id)
        behaviour: Behaviour = "unknown_job"
        if job:
            behaviour = job.script.pop(0) if job.script else job.always
        moment = self._clock.now() + (job.slow_seconds if job else 0)
        hung = self._hung
        self._tally(job_id).hit()
        if behaviour == "hang":
            await hung.passed(None)
            raise Dropped
        if behaviour == "slow":
            await self._clock.until(moment)
        if job and behaviour in {"normal", "slow"}:
            return reply(call, _poll(job))
        return _misbehave(call, job_id, behaviour)

    def _tally(self, job_id: str) -> Tally:
        return self._checks.setdefault(job_id, Tally(f"a check of {job_id}"))


def function_error(call: Call, kind: str, message: str) -> Reply:
    """Give Lambda's reply where the function itself has raised."""
    return reply(call, {"errorType": kind, "errorMessage": message}, {"X-Amz-Function-Error": "Unhandled"})


def _poll(job: Job) -> dict[str, Any]:
    job.answered += 1
    known = {"jobId": job.job_id, "pollCount": job.answered, "completionPolls": job.polls}
    if job.answered < job.polls:
        return known | {"status": "IN_PROGRESS"}
    if job.fail_with is not None:
        return known | {"status": "FAILED", "reason": job.fail_with}
    return known | {"status": "COMPLETED"} | ({} if job.result is None else {"data": job.result})


def _misbehave(call: Call, job_id: str, behaviour: Behaviour) -> Reply:
    completed = {"jobId": job_id, "status": "COMPLETED"}
    match behaviour:
        case "function_error":
            return function_error(call, "RuntimeError", f"the source broke down over {job_id}")
        case "throttled":
            refuse("TooManyRequestsException", "Rate Exceeded.")
        case "not_json":
            return Reply(200, b"status: COMPLETED", {"Content-Type": "application/json"})
        case "nan":
            return Reply(200, json.dumps(completed | {"data": float("nan")}).encode())
        case "unknown_status":
            return reply(call, completed | {"status": "ON_HOLD"})
        case "oversized":
            return reply(call, completed | {"data": "x" * MOST_OUTPUT_BYTES})
    return reply(call, {"error": f"unknown job {job_id!r:.100}"})
