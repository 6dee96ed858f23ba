"""Every interleaving of replicas that hold one row, renew it, take it over, sleep and die; and of broken designs.

The numbers of worlds are floors, a tenth below what was found.
"""

import pytest

from scheduler.core.check_replies import Failed
from tests.model import broken
from tests.model.holders import Design, Holding, search
from tests.model.scenario import Scenario

JOB = Scenario("a job that completes", in_progress=1, max_attempts=2)
ENDLESS = Scenario("a job that never ends", in_progress=9, max_attempts=2)
LOSSES = [
    (Holding("nothing goes wrong", JOB), 1_000),
    (Holding("one sleeps", JOB, sleeps=1), 33_000),
    (Holding("one dies", JOB, crashes=1), 8_900),
    (Holding("one write fails", JOB, faults=1), 18_000),
    (Holding("one sleeps, and one dies", JOB, sleeps=1, crashes=1), 190_000),
    (Holding("one sleeps, and one write fails", JOB, sleeps=1, faults=1), 590_000),
    (Holding("one dies, and one write fails", JOB, crashes=1, faults=1), 150_000),
    (Holding("three replicas, and one sleeps", JOB, replicas=3, sleeps=1), 89_000),
    (Holding("a job that fails, and one sleeps", Scenario("fails", ending=Failed("no paper")), sleeps=1), 33_000),
]


@pytest.mark.timeout(900)  # the largest takes a minute and a half on a machine with nothing else to do
@pytest.mark.parametrize(("holding", "floor"), LOSSES, ids=[holding.name for holding, _ in LOSSES])
def test_every_interleaving_of_holders_holds_the_invariants(holding: Holding, floor: int) -> None:
    worlds, violation = search(holding)
    print(f"{holding.name}: {worlds} worlds")  # noqa: T201  the size of the search is its result
    assert violation is None, str(violation)
    assert worlds >= floor


@pytest.mark.parametrize(
    ("design", "holding", "invariant"),
    [
        (Design(polls_within_its_hold=False), Holding("", JOB, faults=1), "two polls work on one row"),
        (Design(drops_after_sleep=False), Holding("", JOB, sleeps=1), "two polls work on one row"),
        (Design(takes_over_from_the_gone_alone=False), Holding("", JOB), "two polls work on one row"),
        (Design(saves_what_it_knows=False), Holding("", ENDLESS), "checks were made"),
        (Design(table=broken.ClaimsWithoutACondition), Holding("", JOB, faults=1), "two polls work on one row"),
        (
            Design(table=broken.RenewsWithoutACondition),
            Holding("", JOB, sleeps=1, faults=1),
            "two polls work on one row",
        ),
    ],
)
def test_a_broken_design_of_holding_is_found_out(design: Design, holding: Holding, invariant: str) -> None:
    _, violation = search(holding, design)
    print(violation)  # noqa: T201  the trace is what a person would read
    assert violation
    assert invariant in violation.invariant
