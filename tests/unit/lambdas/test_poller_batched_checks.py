"""The poller Lambda asks for the jobs of one invocation together, where its source takes that."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

import named_sources
import poller
from batched_checks import BatchedChecks
from lambda_checks import LambdaChecks
from named_sources import Sources
from scheduler.core.check_replies import Completed, InProgress, NotTogether, Report, Unanswered
from scheduler.core.timing import Policy
from tests.unit.lambdas.lambda_fakes import FakeDynamoDB, FakeFunctions, FakeStepFunctions, client_error
from tests.unit.lambdas.test_poller_function import NOW, World, no_other

FOR_EVER = 60.0
"""A moment that does not end within a test: batches are full."""


def in_threads(work: Callable[[str], Report], job_ids: str) -> list[Report]:
    with ThreadPoolExecutor(len(job_ids)) as pool:
        return list(pool.map(work, job_ids))


def done(job_id: str) -> Report:
    return Completed({"jobId": job_id})


class Source:
    """Notes how it is asked."""

    def __init__(self, together: Callable[[list[str]], list[Report] | NotTogether]) -> None:
        self.batches: list[list[str]] = []
        self.singles: list[str] = []
        self._together = together

    def together(self, job_ids: list[str]) -> list[Report] | NotTogether:
        self.batches.append(job_ids)
        return self._together(job_ids)

    def alone(self, job_id: str) -> Report:
        self.singles.append(job_id)
        return InProgress()


def each_done(job_ids: list[str]) -> list[Report]:
    return [done(job_id) for job_id in job_ids]


def test_threads_that_ask_within_a_moment_ask_together_and_each_gets_its_own_report() -> None:
    source = Source(each_done)
    checks = BatchedChecks(source.together, source.alone, 4, FOR_EVER)
    assert in_threads(checks.check, "abcd") == [done(job_id) for job_id in "abcd"]
    assert in_threads(checks.check, "efgh") == [done(job_id) for job_id in "efgh"]
    assert [sorted(batch) for batch in source.batches] == [[*"abcd"], [*"efgh"]]
    assert source.singles == []


def test_a_batch_that_is_not_full_is_asked_when_its_moment_is_over() -> None:
    source = Source(each_done)
    checks = BatchedChecks(source.together, source.alone, 4, 0)
    assert [checks.check(job_id) for job_id in "ab"] == [done("a"), done("b")]
    assert source.batches == [["a"], ["b"]]


def test_where_a_batch_cannot_be_read_each_job_is_asked_for_by_itself() -> None:
    source = Source(lambda _: NotTogether("so"))
    checks = BatchedChecks(source.together, source.alone, 3, FOR_EVER)
    assert in_threads(checks.check, "abc") == [InProgress()] * 3
    assert (len(source.batches), sorted(source.singles)) == (1, [*"abc"])


def test_a_crash_is_that_of_one_job_and_the_others_are_asked_for_by_themselves() -> None:
    def crash(_: list[str]) -> list[Report]:
        message = "a fault of ours"
        raise RuntimeError(message)

    def checked(job_id: str) -> Report:
        try:
            return checks.check(job_id)
        except RuntimeError:
            return Unanswered("crashed")

    source = Source(crash)
    checks = BatchedChecks(source.together, source.alone, 3, FOR_EVER)
    reports = in_threads(checked, "abc")
    assert (reports.count(Unanswered("crashed")), reports.count(InProgress())) == (1, 2)


def polled(world: World, functions: FakeFunctions, event: Any, size: int) -> dict[str, Any]:
    table: Any = world.table
    answers: Any = world.answers
    source: Any = functions
    policy = Policy(interval_seconds=60, lease_seconds=30, shards=4, chance=lambda: 0.5)
    sources = Sources(LambdaChecks(source, "source", size), {}, no_other)
    made = poller.Poller(table, answers, "tokens", policy, sources, lambda: NOW)
    return made.answer(event)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(named_sources, "BatchedChecks", partial(BatchedChecks, seconds=FOR_EVER))
    world = World(FakeDynamoDB(), FakeStepFunctions())
    for job_id in "abc":
        world.add(job_id)
    return world


def test_jobs_of_one_invocation_are_asked_for_together(world: World) -> None:
    states = {"a": {"status": "IN_PROGRESS"}, "b": {"status": "COMPLETED"}, "c": {"status": "FAILED"}}
    functions = FakeFunctions(lambda request: {"results": [states[job_id] for job_id in request["jobIds"]]})
    reply = polled(world, functions, {"jobIds": [*"cab"]}, size=25)
    assert [result["status"] for result in reply["results"]] == ["FAILED", "IN_PROGRESS", "COMPLETED"]
    (request,) = functions.requests
    assert (request["action"], sorted(request["jobIds"])) == ("CHECK_STATUS", [*"abc"])


def test_a_source_that_lambda_does_not_run_spends_no_attempt_of_any(world: World) -> None:
    functions = FakeFunctions(lambda _: client_error("TooManyRequestsException", status=429))
    reply = polled(world, functions, {"jobIds": [*"abc"]}, size=3)
    assert [result["outcome"] for result in reply["results"]] == ["unasked"] * 3
    assert [world.row(job_id)["attemptCount"] for job_id in "abc"] == [0, 0, 0]
    assert len(functions.requests) == 1


@pytest.mark.parametrize(("event", "size"), [({"jobIds": ["a"]}, 25), ({"jobIds": ["a", "b"]}, 1), ({"jobId": "a"}, 9)])
def test_a_job_is_asked_for_by_itself_where_there_is_no_other_or_the_source_takes_one(
    world: World, event: Any, size: int
) -> None:
    functions = FakeFunctions(lambda _: {"status": "IN_PROGRESS"})
    polled(world, functions, event, size)
    assert {frozenset(request) for request in functions.requests} == {frozenset({"action", "jobId"})}


def test_the_size_of_a_batch_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("SCHEDULER_SOURCE_BATCH_SIZE", "25")
    poller._poller.cache_clear()
    made = poller._poller()
    poller._poller.cache_clear()
    assert made.sources.default.most == 25
