"""What the log says of each poll."""

import pytest

from scheduler.core.answers import Succeed
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.states import EndState
from scheduler.engine.poll_log import PollLog, log_outcome
from scheduler.log import logger
from tests.unit.conftest import Logs

ENDED = Kind.ENDED
ANSWER = Succeed("{}")


@pytest.mark.parametrize(
    ("outcome", "events"),
    [
        (Outcome(Kind.IN_PROGRESS, "a"), ["info poll.in_progress"]),
        (Outcome(Kind.CHECK_FAILED, "a", error="so"), ["warning poll.check_failed"]),
        (Outcome(Kind.UNASKED, "a", error="so"), ["debug poll.unasked"]),
        (Outcome(Kind.DEFERRED, "a", error="so"), ["warning answer.deferred"]),
        (Outcome(Kind.LOST, "a"), ["debug poll.lost"]),
        (Outcome(Kind.LEFT_ALONE, "a", error="so"), ["debug row.left_alone"]),
        (Outcome(Kind.UNREACHED, "a", error="so"), ["error poll.unreached"]),
        (Outcome(Kind.REFUSED, "a", error="so"), ["error row.refused"]),
        (Outcome(ENDED, "a", end_state=EndState.QUARANTINED, error="so"), ["warning row.quarantined"]),
        (
            Outcome(ENDED, "a", end_state=EndState.COMPLETED, answer=ANSWER),
            ["info answer.delivered", "info poll.completed"],
        ),
        (Outcome(ENDED, "a", end_state=EndState.COMPLETED), ["info poll.completed"]),
        (Outcome(ENDED, "a", end_state=EndState.FAILED, answer=ANSWER), ["info answer.delivered", "info poll.failed"]),
        (Outcome(ENDED, "a", end_state=EndState.CLOSED, error="so"), ["warning answer.closed"]),
        (Outcome(ENDED, "a", claimed=True, end_state=EndState.CLOSED), ["warning answer.closed"]),
        (
            Outcome(ENDED, "a", end_state=EndState.COMPLETED, answer=ANSWER, unmarked="late"),
            ["info answer.delivered", "info poll.completed", "warning row.unmarked"],
        ),
    ],
    ids=str,
)
def test_each_outcome_is_logged_under_its_name(logs: Logs, outcome: Outcome, events: list[str]) -> None:
    log_outcome(logger(), outcome, 7)
    assert [f"{line['level']} {line['event']}" for line in logs()] == events
    assert {(line["job_id"], line["duration_ms"], line.get("error")) for line in logs()} == {("a", 7, outcome.error)}


@pytest.mark.parametrize("kind", [Kind.IN_PROGRESS, Kind.CHECK_FAILED])
def test_a_check_is_logged_with_its_execution_and_attempt(logs: Logs, kind: Kind) -> None:
    log_outcome(logger(), Outcome(kind, "a", "run", 2, 9), 7)
    (line,) = logs()
    assert (line["execution_id"], line["attempt"], line["max_attempts"]) == ("run", 2, 9)


def test_an_end_is_logged_with_its_state(logs: Logs) -> None:
    log_outcome(logger(), Outcome(ENDED, "a", end_state=EndState.EXPIRED, answer=ANSWER), 7)
    assert {line["end_state"] for line in logs()} == {"EXPIRED"}


def test_a_row_that_could_not_be_written_says_why_wherever_its_poll_ended(logs: Logs) -> None:
    log_outcome(logger(), Outcome(ENDED, "a", end_state=EndState.COMPLETED, answer=ANSWER, unmarked="late"), 7)
    log_outcome(logger(), Outcome(Kind.DEFERRED, "a", error="so", unmarked="late"), 7)
    assert [(line["event"], line["reason"]) for line in logs() if "reason" in line] == [
        ("row.unmarked", "late"),
        ("answer.deferred", "late"),
    ]


def test_of_rows_that_a_poller_leaves_alone_for_one_reason_one_is_told_for_each_spell(logs: Logs) -> None:
    log = PollLog(lambda: 0.0)
    for number in range(3):
        for reason in ("it names source 'reports'", "it names source 'etl'"):
            log.note(Outcome(Kind.LEFT_ALONE, f"job-{number}", error=reason), 7)
    told = [(line["job_id"], line["error"]) for line in logs() if line["level"] == "warning"]
    assert told == [("job-0", "it names source 'reports'"), ("job-0", "it names source 'etl'")]


def test_a_check_without_a_bound_shows_none(logs: Logs) -> None:
    log_outcome(logger(), Outcome(Kind.IN_PROGRESS, "a", attempt=2), 7)
    assert "max_attempts" not in logs()[0]
