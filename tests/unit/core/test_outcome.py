"""How a poll's outcome is told to whoever invoked the poller Lambda."""

from typing import Any

import pytest

from scheduler.core.answers import Succeed
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.states import EndState

WAITING = {"status": "IN_PROGRESS", "attempt": 2, "maxAttempts": 10}


def waiting(kind: Kind, error: str | None = None) -> Outcome:
    return Outcome(kind, "job-1", "execution", 2, 10, claimed=True, error=error)


def test_a_completed_job_has_reconnected() -> None:
    outcome = Outcome(Kind.ENDED, "job-1", end_state=EndState.COMPLETED, answer=Succeed('{"private":1}'))
    assert outcome.reply() == {"status": "COMPLETED", "reconnected": True}


@pytest.mark.parametrize("state", [state for state in EndState if state is not EndState.COMPLETED])
def test_any_other_end_is_its_state_alone(state: EndState) -> None:
    outcome = Outcome(Kind.ENDED, "job-1", "execution", 2, 10, end_state=state, error="TaskTimedOut", unmarked="late")
    assert outcome.reply() == {"status": state.value}


def test_a_job_in_progress_tells_its_attempts() -> None:
    assert waiting(Kind.IN_PROGRESS).reply() == WAITING


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in {Kind.IN_PROGRESS, Kind.ENDED}])
@pytest.mark.parametrize(("error", "more"), [(None, {}), ("it sleeps", {"reason": "it sleeps"})])
def test_a_job_that_was_not_asked_goes_on_with_a_reason(kind: Kind, error: str | None, more: dict[str, Any]) -> None:
    assert waiting(kind, error).reply() == WAITING | {"outcome": kind.value} | more


def test_a_job_without_a_bound_shows_none() -> None:
    assert Outcome(Kind.IN_PROGRESS, "job-1", attempt=2).reply() == {"status": "IN_PROGRESS", "attempt": 2}
