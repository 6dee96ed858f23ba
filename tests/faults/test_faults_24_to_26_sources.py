"""Rows 24 to 26: sources that are slow, broken, or know nothing of the job."""

import asyncio
from collections import Counter, deque
from typing import Any

from scheduler.core.check_replies import Completed, Report
from scheduler.core.instant import parse_iso
from scheduler.core.token_row import TokenRow
from scheduler.engine.direct_polling import DirectPoller
from tests.e2e.cloud import until
from tests.fakes import FakeStepFunctions, FakeTokenTable, fixed_policy, row_item
from tests.faults.engine import Engine
from tests.faults.world import World

NOW = parse_iso("2026-01-01T00:10:00Z")


class PartlySlow:
    """A source that answers at once, but for the jobs it is told to be slow about: those wait until `let_go` is set."""

    def __init__(self, *slow: str) -> None:
        self.let_go = asyncio.Event()
        self.checks: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0
        self._slow = slow

    async def probe(self) -> None:
        """Ask whether it is there: it is."""

    async def check(self, row: TokenRow) -> Report:
        """Answer at once, or once it is let go."""
        self.checks[row.job_id] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if row.job_id in self._slow:
                await self.let_go.wait()
        finally:
            self.in_flight -= 1
        return Completed({"status": "COMPLETED"})


async def test_fault_24_a_slow_job_holds_its_own_slot_and_the_others_are_on_time() -> None:
    """A slow check costs one slot of its lane, the slots are bounded, and the check has a deadline."""
    table, answers, source = FakeTokenTable(), FakeStepFunctions(), PartlySlow("job-00", "job-01")
    fast = [f"job-{number:02}" for number in range(2, 40)]
    for job_id in ["job-00", "job-01", *fast]:
        table.put(row_item(job_id))
        answers.wait(f"AQ-{job_id}")
    poller = DirectPoller(table, answers, source, fixed_policy(), 60, lambda: NOW)
    ticking = asyncio.create_task(Engine(table.finder(), poller, lambda: NOW, 3).tick())
    async with asyncio.timeout(20):
        while len(answers.ledger) < len(fast):
            assert not ticking.done()
            await asyncio.sleep(0)
    assert sorted(token.removeprefix("AQ-") for token in answers.ledger) == fast
    assert (source.in_flight, source.most_in_flight) == (2, 3)
    source.let_go.set()
    assert (await ticking).completed == len(fast) + 2
    assert set(source.checks.values()) == {1}


def test_fault_24_a_job_that_hangs_is_let_go_at_its_deadline_and_the_daemon_stays_ready(world: World) -> None:
    hung = world.add("hung", always="hang")
    others = [world.add(f"job-{number}", polls=2) for number in range(5)]
    with world.daemon(SCHEDULER_CHECK_TIMEOUT_SECONDS="1", SCHEDULER_CONCURRENCY="2") as daemon:
        assert [world.ended(job)["status"] for job in others] == ["COMPLETED"] * 5
        assert daemon.readiness()[0] == 200
        late, *_ = until(lambda: [line for line in daemon.events("poll.check_failed") if line["job_id"] == "hung"])
    assert late["error"] == "the source gave no reply within 1 s"
    assert world.row(hung)["status"] == "POLLING"


BROKEN = ("hang", "function_error", "not_json", "nan", "unknown_status")
SAID = {
    "hang": "the source gave no reply within 0.3 s",
    "function_error": "the source raised RuntimeError: the source broke down over function_error",
    "not_json": "the source's reply is not JSON: b'status: COMPLETED'",
    "nan": "the source's reply is not JSON: b'{",
    "unknown_status": "the source's reply has an unknown status: 'ON_HOLD'",
}


def test_fault_25_a_check_without_a_clear_status_is_a_spent_attempt_and_never_a_success(world: World) -> None:
    used_up = [world.add(name, always=name, row={"maxAttempts": 2}) for name in BROKEN]
    mended = [world.add(f"{name}-once", script=[name], polls=1) for name in BROKEN]
    with world.daemon(SCHEDULER_CHECK_TIMEOUT_SECONDS="0.3") as daemon:
        rows = [world.ended(job) for job in used_up + mended]
        failed = daemon.events("poll.check_failed")
    assert [row["status"] for row in rows] == ["MAX_ATTEMPTS"] * 5 + ["COMPLETED"] * 5
    # Two checks each; the third claim finds the attempts used up and checks nothing.
    assert [(row["attemptCount"], world.aws.jobs.checks(row["jobId"])) for row in rows] == [(3, 2)] * 5 + [(2, 2)] * 5
    for job in used_up:
        (answer,) = world.aws.ledger[job.token]
        assert (answer.operation, answer.error) == ("SendTaskFailure", "MaxAttemptsExceeded")
        assert SAID[job.job_id] in str(answer.cause)
        assert world.row(job)["lastError"].startswith(SAID[job.job_id])
    assert [world.answers(job) for job in mended] == [["SendTaskSuccess"]] * 5
    assert Counter(line["job_id"] for line in failed) == dict.fromkeys(BROKEN, 2) | {
        f"{name}-once": 1 for name in BROKEN
    }


UNKNOWN: Any = {"error": "JobNotFound: there is no such job"}
RUNNING: Any = {"status": "IN_PROGRESS"}


def test_fault_26_a_job_unknown_at_the_source_three_times_in_a_row_fails_for_that_reason(world: World) -> None:
    replies = {
        "gone": deque([UNKNOWN] * 9),
        "not-found": deque([{"status": "NOT_FOUND"}] * 9),
        # Known again in between: the count starts anew, and a source that cannot be understood breaks it too.
        "back": deque(
            [UNKNOWN, UNKNOWN, RUNNING, UNKNOWN, UNKNOWN, {"error": "Busy"}, UNKNOWN, {"status": "COMPLETED"}]
        ),
    }
    world.aws.functions.add("forgetful", lambda event: replies[event["jobId"]].popleft())
    jobs = {name: world.add(name, row={"maxAttempts": 20}) for name in replies}
    with world.daemon(SCHEDULER_SOURCE_FUNCTION="forgetful") as daemon:
        rows = {name: world.ended(name) for name in jobs}
        world.ticks(daemon)
    assert {name: row["status"] for name, row in rows.items()} == {
        "gone": "FAILED",
        "not-found": "FAILED",
        "back": "COMPLETED",
    }
    assert [rows[name]["attemptCount"] for name in replies] == [3, 3, 8]
    assert [len(left) for left in replies.values()] == [6, 6, 0]
    for name in ("gone", "not-found"):
        (answer,) = world.aws.ledger[jobs[name].token]
        assert (answer.operation, answer.error) == ("SendTaskFailure", "JobUnknown")
        assert str(answer.cause).startswith("3 checks in a row found no such job")
    assert world.answers(jobs["back"]) == ["SendTaskSuccess"]
