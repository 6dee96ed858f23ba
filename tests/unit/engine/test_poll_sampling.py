import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from scheduler import log
from scheduler.core.outcome import Kind, Outcome
from scheduler.engine.attention import Attention
from scheduler.engine.poll_log import PollLog
from scheduler.web.health import Health

IN_PROGRESS = Outcome(Kind.IN_PROGRESS, "a", "run", 2, 9)
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(params=["info"])
def lines(request: pytest.FixtureRequest, restored_logging: None) -> Lines:
    del restored_logging
    stream = io.StringIO()
    log.configure(request.param, "json", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def polls(log: PollLog, clock: Clock, count: int, seconds: float, outcome: Outcome = IN_PROGRESS) -> None:
    for _ in range(count):
        clock.now += seconds / count
        log.note(outcome, 7)


def test_ten_polls_a_second_have_a_line_each(lines: Lines) -> None:
    clock = Clock()
    polls(PollLog(clock), clock, 100, 10.0)
    told = lines()
    assert len(told) == 100
    assert not any("stands_for" in line for line in told)


def test_beyond_ten_a_second_a_line_says_for_how_many_it_stands(lines: Lines) -> None:
    clock = Clock()
    sampled = PollLog(clock)
    polls(sampled, clock, 3_300, 10.0)
    told = lines()
    assert len(told) == pytest.approx(110, abs=2)  # ten at once, after a time without any
    assert told[-1]["stands_for"] == 33
    clock.now += 10
    sampled.note(IN_PROGRESS, 7)
    assert sum(line.get("stands_for", 1) for line in lines()) == 3_301


def test_only_jobs_in_progress_are_sampled(lines: Lines) -> None:
    clock = Clock()
    polls(PollLog(clock), clock, 50, 0.0, Outcome(Kind.CHECK_FAILED, "a", error="so"))
    assert len(lines()) == 50


@pytest.mark.parametrize("lines", ["debug"], indirect=True)
def test_at_level_debug_each_poll_has_its_line(lines: Lines) -> None:
    clock = Clock()
    polls(PollLog(clock), clock, 50, 0.0)
    told = lines()
    assert [line["level"] for line in told] == ["info"] * 10 + ["debug"] * 40


def test_the_report_counts_what_has_no_line(lines: Lines) -> None:
    attention = Attention(Health())
    for _ in range(50):
        attention.note(IN_PROGRESS)
    assert len(lines()) < 50
    assert attention.take().polled == 50
