"""Every interleaving of pollers, faults, crashes and time-outs, for the protocol as it is and for broken ones.

The numbers of worlds are floors, a tenth below what was found: a search that has shrunk proves less than it seems to.
`pytest -rP tests/model` shows the numbers.
"""

import pytest

from scheduler.core.answers import Succeed
from scheduler.core.check_replies import Failed, Unanswered
from scheduler.core.states import POLLING, EndState
from tests.model import broken
from tests.model.scenario import Design, Scenario
from tests.model.search import search

GIVEN_UP = {POLLING, EndState.CLOSED, EndState.EXPIRED, EndState.MAX_ATTEMPTS}
COMPLETED = GIVEN_UP | {EndState.COMPLETED}
FAILED = GIVEN_UP | {EndState.FAILED}

SCENARIOS = [
    (Scenario("two faults and a crash", in_progress=0, max_attempts=1), COMPLETED, 106_000),
    (Scenario("polled by ticks", faults=1, leases=True), COMPLETED, 55_000),
    (Scenario("a foreign creator's row", faults=1, foreign=True, in_progress=0, max_attempts=1), COMPLETED, 13_700),
    (Scenario("heartbeats", faults=1, heartbeat=True, in_progress=9, max_attempts=1), GIVEN_UP, 18_800),
    (Scenario("an interval shorter than the lease", faults=1, interval=5), COMPLETED, 32_500),
    (
        Scenario("an answer that was kept", faults=1, in_progress=0, max_attempts=1, pending=Succeed("{}")),
        {POLLING, EndState.CLOSED, EndState.COMPLETED},
        7_000,
    ),
    (
        Scenario(
            "a job that its source does not know",
            faults=1,
            crashes=0,
            in_progress=0,
            max_attempts=4,
            ending=Unanswered("no", unknown_job=True),
        ),
        FAILED,
        38_700,
    ),
    (Scenario("a job that fails", faults=1, in_progress=0, ending=Failed("no paper")), FAILED, 18_700),
    (Scenario("a job that never ends", faults=1, in_progress=9), GIVEN_UP, 21_900),
    (
        Scenario("a source that never answers", faults=1, in_progress=0, ending=Unanswered("it sleeps")),
        GIVEN_UP,
        25_800,
    ),
    (
        Scenario("an output that is refused", faults=1, in_progress=0, max_attempts=1, refuses_output=True),
        FAILED,
        18_200,
    ),
    (Scenario("three pollers and a crash", pollers=3, faults=0), COMPLETED, 30_800),
    (
        Scenario("three pollers and a fault", pollers=3, faults=1, crashes=0, in_progress=0, max_attempts=1),
        COMPLETED,
        52_300,
    ),
]


@pytest.mark.parametrize(
    ("scenario", "statuses", "floor"), SCENARIOS, ids=[scenario.name for scenario, _, _ in SCENARIOS]
)
def test_every_interleaving_holds_the_invariants(scenario: Scenario, statuses: set[str], floor: int) -> None:
    finding = search(scenario)
    print(f"{scenario.name}: {finding.worlds} worlds")  # noqa: T201  the size of the search is its result
    assert finding.violation is None, str(finding.violation)
    assert statuses == finding.statuses
    assert finding.worlds >= floor


BY_TICKS = Scenario("by ticks", faults=0, crashes=0, leases=True)
AT_ANY_TIME = Scenario("at any time", faults=1)


@pytest.mark.parametrize(
    ("design", "scenario", "invariant"),
    [
        (broken.MARKS_BEFORE_IT_ANSWERS, BY_TICKS, "and the task is waiting"),
        (broken.CLAIMS_WITHOUT_A_CONDITION, BY_TICKS, "two polls work on one row"),
        (broken.COUNTS_NO_ATTEMPT, Scenario("endless", in_progress=9), "the row never ends"),
        (broken.ANSWERS_AGAIN_WHAT_IS_CLOSED, AT_ANY_TIME, "a poll answers again"),
        (broken.TAKES_CLOSED_AS_DELIVERED, AT_ANY_TIME, "and the task is timed out"),
        (broken.TAKES_DEFERRED_AS_DELIVERED, AT_ANY_TIME, "and the task is waiting"),
        (broken.GUESSES_WHO_CLOSED_THE_TASK, AT_ANY_TIME, "and the task is timed out"),
        (broken.NEVER_MARKS, BY_TICKS, "the row never ends"),
        (broken.CHECKS_ONCE_TOO_OFTEN, Scenario("endless", in_progress=9), "3 checks were made"),
        (broken.GIVES_UP_FOR_TIME_UNASKED, AT_ANY_TIME, "was not asked once more"),
        (broken.GIVES_UP_FOR_TIME_WHAT_HAS_ENDED, AT_ANY_TIME, "its last check found it ended"),
        (broken.GIVES_AN_ATTEMPT_BACK_TWICE, Scenario("refused twice", faults=2, in_progress=9), "3 checks were made"),
        (broken.TAKES_NO_REPLY_FOR_A_SUCCESS, AT_ANY_TIME, "the task was told what is not so"),
        (broken.LEAVES_THE_INDEX, BY_TICKS, "a waiting row has left the index"),
    ],
)
def test_a_broken_design_is_found_out(design: Design, scenario: Scenario, invariant: str) -> None:
    violation = search(scenario, design).violation
    print(violation)  # noqa: T201  the trace is what a person would read
    assert violation
    assert invariant in violation.invariant
