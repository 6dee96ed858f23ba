"""What `tick.finished` shows."""

from typing import Any

import pytest

from scheduler.core.instant import parse_iso
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import Malformed, MalformedRowError
from scheduler.core.states import EndState
from scheduler.engine.report import TickReport
from tests.fakes import token_row

NOW = parse_iso("2026-01-01T00:10:00Z")
ENDED = Kind.ENDED
POLLS = ("polled", "claimed", "lost", "completed", "failed", "closed", "unasked", "handed_over", "errors")


def figures(**counts: Any) -> dict[str, Any]:
    zeros = dict.fromkeys(("due", "left", *POLLS, "duration_ms"), 0)
    return zeros | {"oldest_due_seconds": 0.0, "cut_short": False} | counts


def test_a_tick_without_polls_and_trouble_shows_its_figures_and_no_trouble() -> None:
    assert TickReport().shown() == figures()
    assert TickReport(trouble="denied").shown() == figures(trouble="denied")


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [
        (Outcome(Kind.IN_PROGRESS, "a", claimed=True), {"claimed": 1}),
        (Outcome(Kind.LOST, "a"), {"lost": 1}),
        (Outcome(Kind.LEFT_ALONE, "a"), {}),
        (Outcome(Kind.CHECK_FAILED, "a", claimed=True), {"claimed": 1, "errors": 1}),
        (Outcome(Kind.UNASKED, "a", claimed=True), {"claimed": 1, "unasked": 1}),
        (Outcome(Kind.DEFERRED, "a", claimed=True), {"claimed": 1, "errors": 1}),
        (Outcome(Kind.UNREACHED, "a"), {"errors": 1}),
        (Outcome(Kind.REFUSED, "a"), {"errors": 1}),
        (Outcome(ENDED, "a", claimed=True, end_state=EndState.COMPLETED), {"claimed": 1, "completed": 1}),
        (Outcome(ENDED, "a", claimed=True, end_state=EndState.FAILED), {"claimed": 1, "failed": 1}),
        (Outcome(ENDED, "a", claimed=True, end_state=EndState.EXPIRED), {"claimed": 1, "failed": 1}),
        (Outcome(ENDED, "a", claimed=True, end_state=EndState.MAX_ATTEMPTS), {"claimed": 1, "failed": 1}),
        (Outcome(ENDED, "a", claimed=True, end_state=EndState.CLOSED), {"claimed": 1, "closed": 1}),
        (Outcome(ENDED, "a", end_state=EndState.QUARANTINED), {"errors": 1}),
        (Outcome(ENDED, "a", end_state=EndState.COMPLETED, unmarked="late"), {"completed": 1, "errors": 1}),
    ],
    ids=str,
)
def test_each_outcome_counts_once_in_each_figure_it_belongs_to(outcome: Outcome, counts: dict[str, int]) -> None:
    report = TickReport()
    report.count(outcome)
    assert report.shown() == figures(polled=1, **counts)


def test_polls_that_a_fault_of_ours_ended_count_as_errors() -> None:
    report = TickReport()
    report.crashed(3)
    assert report.shown() == figures(polled=3, errors=3)


def test_the_longest_due_row_is_the_one_that_shows() -> None:
    report = TickReport()
    fault = MalformedRowError("expiresAt", None, "is missing")
    report.found([token_row(next_poll_at=NOW - 1_000), Malformed("b", fault, NOW - 90_549)], NOW)
    report.found([token_row(next_poll_at=NOW), token_row(next_poll_at=None)], NOW)
    assert report.oldest_due_seconds == 90.5


def test_what_was_found_stays_where_the_polls_that_have_ended_are_added() -> None:
    report = TickReport(due=7, left=2, oldest_due_seconds=3.5, duration_ms=12, cut_short=True, trouble="denied")
    ended = TickReport(due=99, left=99, oldest_due_seconds=99, duration_ms=99)
    counts = {name: number for number, name in enumerate(POLLS, 1)}
    for name, count in counts.items():
        setattr(ended, name, count)
    report.add(ended)
    report.add(TickReport(polled=10))
    found = {"due": 7, "left": 2, "oldest_due_seconds": 3.5, "duration_ms": 12, "cut_short": True, "trouble": "denied"}
    assert report.shown() == counts | {"polled": 11} | found


def test_polls_that_faults_of_ours_ended_add_up() -> None:
    report = TickReport()
    report.crashed(2)
    report.crashed(3)
    assert (report.polled, report.errors) == (5, 5)
