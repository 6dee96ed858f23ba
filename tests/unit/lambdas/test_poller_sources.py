"""The poller Lambda polls each row by its own source: its limits, its checks, its batches."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

import making_sources
import named_sources
import poller
from batched_checks import BatchedChecks
from making_sources import made_sources, policies
from named_sources import Asks, Sources, Unmade
from scheduler.checks.spec import AskLambda, Limits, SourceSpec, spec_of
from scheduler.core.check_replies import Completed, InProgress, NotTogether, Report
from scheduler.core.timing import Policy
from scheduler.core.token_row import TokenRow
from tests.unit.lambdas.test_poller_function import NOW, World

FOR_EVER = 60.0


class Noting:
    """A source that notes how it is asked, and says that its jobs go on."""

    def __init__(self, most: int = 1) -> None:
        self.most = most
        self.alone: list[str] = []
        self.together: list[list[str]] = []

    def check(self, row: TokenRow) -> Report:
        self.alone.append(row.job_id)
        return InProgress()

    def check_together(self, rows: Sequence[TokenRow]) -> list[Report] | NotTogether:
        self.together.append(sorted(row.job_id for row in rows))
        return [Completed(row.job_id) for row in rows]


def spec(name: str, **limits: Any) -> SourceSpec:
    return SourceSpec(name, AskLambda("any"), limits=Limits(**limits))


def polled(world: World, event: Any, default: Asks, **named: tuple[Asks, Limits]) -> Any:
    specs = {name: SourceSpec(name, AskLambda("any"), limits=limits) for name, (_, limits) in named.items()}
    sources = Sources(default, specs, lambda made: named[made.name][0])
    policy = Policy(interval_seconds=60, lease_seconds=30, shards=4, chance=lambda: 0.0)
    table: Any = world.table
    answers: Any = world.answers
    made = poller.Poller(table, answers, "tokens", policies(policy, specs, 10.0), sources, lambda: NOW)
    return made.answer(event)


def test_each_row_is_polled_by_its_own_source_and_at_its_interval() -> None:
    world, default, reports = World(), Noting(), Noting()
    world.add("a")
    world.add("b", source="reports")
    world.add("c", source={"name": "reports", "input": {"x": "1"}})
    replies = polled(world, {"jobIds": [*"abc"]}, default, reports=(reports, Limits(interval_seconds=300)))
    assert [reply["attempt"] for reply in replies["results"]] == [1, 1, 1]
    assert (default.alone, sorted(reports.alone)) == (["a"], ["b", "c"])
    assert [(world.row(job_id)["nextPollAt"] - NOW) / 1000 for job_id in "abc"] == [60, 300, 300]


def test_a_row_whose_source_is_not_known_is_left_alone_and_says_so() -> None:
    world = World()
    world.add("a", source="of a newer file")
    before = world.row("a")
    reply = polled(world, {"jobId": "a"}, Noting())
    assert (reply["status"], reply["outcome"]) == ("IN_PROGRESS", "left_alone")
    assert reply["reason"] == "the row names source 'of a newer file', which is not known here"
    assert world.row("a") == before


def test_a_row_that_does_not_say_how_often_it_is_asked_is_asked_as_often_as_its_source_has_it() -> None:
    world, reports = World(), Noting()
    world.add("a", source="reports", maxAttempts=None, attemptCount=2, expiresAt=None)
    limits = Limits(max_attempts=2)
    assert polled(world, {"jobId": "a"}, Noting(), reports=(reports, limits)) == {"status": "MAX_ATTEMPTS"}
    assert reports.alone == []


def test_what_is_asked_of_one_source_within_a_moment_is_asked_together_and_of_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(named_sources, "BatchedChecks", partial(BatchedChecks, seconds=FOR_EVER))
    world, default, one, other = World(), Noting(), Noting(2), Noting(3)
    for job_id, source in {"a": "one", "b": "other", "c": "one", "d": "other", "e": "other", "f": None}.items():
        world.add(job_id, source=source)
    replies = polled(world, {"jobIds": [*"abcdef"]}, default, one=(one, Limits()), other=(other, Limits()))
    assert [reply["status"] for reply in replies["results"]] == ["COMPLETED"] * 5 + ["IN_PROGRESS"]
    assert (one.together, other.together) == ([["a", "c"]], [["b", "d", "e"]])
    assert (default.alone, one.alone, other.alone) == (["f"], [], [])


def test_a_source_is_made_once_and_not_before_it_is_asked() -> None:
    made = []

    def make(spec: SourceSpec) -> Asks:
        made.append(spec.name)
        return Noting()

    sources = Sources(Noting(), {"one": spec("one"), "other": spec("other")}, make)
    assert made == []
    assert sources.of("one") is sources.of("one")
    assert made == ["one"]


def test_the_jobs_of_a_source_that_cannot_be_made_here_are_charged_nothing() -> None:
    def make(spec: SourceSpec) -> Asks:
        message = f"no such service: {spec.name}"
        raise ValueError(message)

    world = World()
    world.add("a", source="new")
    unmade = Sources(Noting(), {"new": spec("new")}, make).of("new")
    assert unmade == Unmade("new", "ValueError: no such service: new")
    reply = polled(world, {"jobId": "a"}, Noting(), new=(unmade, Limits()))
    assert reply["outcome"] == "unasked"
    assert reply["reason"] == ("source new cannot be asked from the poller Lambda: ValueError: no such service: new")
    assert world.row("a")["attemptCount"] == 0


def test_a_sources_limits_make_its_policy() -> None:
    entry = {
        "lambda": {"function": "f"},
        "interval_seconds": 5,
        "backoff": {"factor": 2.0, "longest": 80},
        "timeout_seconds": 30,
        "max_attempts": 9,
    }
    default = Policy(interval_seconds=60, lease_seconds=31, shards=4)
    made = policies(default, {"one": spec_of("one", entry), "other": spec("other")}, 10.0).sources
    one = made["one"]
    assert (one.interval_seconds, one.backoff, one.longest_interval_seconds, one.max_attempts) == (5, 2.0, 80, 9)
    assert one.lease_seconds == pytest.approx(51)
    other = made["other"]
    assert (other.interval_seconds, other.lease_seconds, other.max_attempts) == (60, 31, None)
    assert other.given is one.given is default.given


def test_the_sources_that_are_packed_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    packed = tmp_path / "sources.json"
    monkeypatch.setattr(making_sources, "_PACKED", packed)
    assert made_sources(10.0).specs == {}
    packed.write_text(
        """{
        "h": {"http": {"url": "https://example.com/{jobId}", "auth": {"bearer": {"secret": "s"}}}, "status": "body.s"},
        "a": {"aws": {"service": "glue", "operation": "GetJobRun"}, "status": "JobRun.JobRunState"},
        "l": {"lambda": {"function": "mine", "batch_size": 7}},
        "n": {"aws": {"service": "glue", "operation": "GetNothing"}, "status": "S"},
        "s": {"aws": {"service": "nothing", "operation": "GetNothing"}, "status": "S"}
        }""",
        "utf-8",
    )
    sources = made_sources(10.0)
    assert list(sources.specs) == [*"halns"]
    assert {name: type(sources.of(name)).__name__ for name in sources.specs} == {
        "h": "HttpChecks",
        "a": "AwsChecks",
        "l": "LambdaChecks",
        "n": "Unmade",
        "s": "Unmade",
    }
    assert (sources.of("l").most, sources.of("h").most) == (7, 1)
