"""Dying at a chosen point of a poll."""

import os
import signal

import pytest

from scheduler.core.answers import Succeed
from scheduler.core.check_replies import Completed, InProgress
from scheduler.core.effects import Check, Claim, Delivered, Delivery
from scheduler.core.failpoints import VARIABLE, with_failpoint
from scheduler.core.outcome import Outcome
from scheduler.core.protocol import poll
from tests.fakes import fixed_policy, token_row

NOW = 1_000_000
POINTS = [f"{side}-{effect}" for effect in ("claim", "check", "send", "mark") for side in ("before", "after")]


class _DiedError(Exception):
    pass


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []

    def die(process: int, number: int) -> None:
        found.append((process, number))
        raise _DiedError

    monkeypatch.setattr(os, "kill", die)
    return found


def run_to_the_end() -> Outcome:
    row = token_row()
    polling = with_failpoint(poll(row, fixed_policy(), NOW, NOW))
    told = [None, row.claimed("claim-1"), Completed({"status": "COMPLETED"}), Delivery(Delivered.DELIVERED), None]
    try:
        for result in told:
            polling.send(result)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome
    pytest.fail("the poll goes on")


@pytest.mark.parametrize("point", POINTS)
def test_the_process_kills_itself_at_the_chosen_point(
    point: str, deaths: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, point)
    with pytest.raises(_DiedError):
        run_to_the_end()
    assert deaths == [(os.getpid(), signal.SIGKILL)]


@pytest.mark.parametrize("point", ["after-keep", "nowhere"])
def test_a_point_that_is_never_reached_changes_nothing(
    point: str, deaths: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, point)
    assert isinstance(run_to_the_end().answer, Succeed)
    assert deaths == []


def test_without_the_variable_the_poll_is_the_very_same() -> None:
    polling = poll(token_row(), fixed_policy(), NOW, NOW)
    assert with_failpoint(polling) is polling
    assert isinstance(next(polling), Claim)
    assert isinstance(polling.send(token_row()), Check)
    with pytest.raises(StopIteration):
        polling.send(InProgress())
