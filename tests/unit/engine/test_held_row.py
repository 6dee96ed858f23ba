"""Held rows: what memory knows of them, and how much memory that takes."""

import tracemalloc
from typing import Any

import pytest

from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import read_row
from scheduler.core.token import TokenTrace
from scheduler.engine.held_row import Held, HeldRow, Stage
from scheduler.engine.taking_up import _Claims
from tests.fakes import row_item, token_row
from tests.replicas import Cloud, Replica
from tests.virtual_time import in_virtual_time

MOST_BYTES = 1_024


def held_row(**changes: Any) -> HeldRow:
    return HeldRow.of(token_row(**({"attempt_count": 3, "unknown_checks": 1} | changes)), 10, 0, 300, 260)


def outcome(kind: Kind, **more: Any) -> Outcome:
    return Outcome(kind, "job-1", **more)


def test_a_claim_has_counted_the_first_check() -> None:
    held = held_row()
    assert held.attempts == 2
    assert held.begin(1_000).attempt_count == 3
    assert (held.stage, held.polled_at) == (Stage.POLLING, 1_000)
    assert held.begin(2_000).attempt_count == 4


@pytest.mark.parametrize(
    ("found", "attempts", "unknown", "error"),
    [
        (outcome(Kind.IN_PROGRESS), 3, 0, None),
        (outcome(Kind.CHECK_FAILED, error="no paper", unknown_checks=2), 3, 2, "no paper"),
        (outcome(Kind.UNASKED, error="slow down", unknown_checks=1), 2, 1, "slow down"),
        (outcome(Kind.UNREACHED, error="no table"), 2, 1, "no table"),
        (outcome(Kind.DEFERRED, unmarked="no table"), 2, 1, None),
        (outcome(Kind.ENDED, unmarked="no table"), 2, 1, None),
    ],
)
def test_what_a_poll_found_is_noted(found: Outcome, attempts: int, unknown: int, error: str | None) -> None:
    held = held_row()
    held.begin(1_000)
    held.learn(found)
    saved = held.saved()
    assert (saved.attempt_count, saved.unknown_checks, saved.last_error) == (attempts, unknown, error)


def test_what_was_noted_last_stays_where_a_poll_notes_nothing() -> None:
    held = held_row()
    held.learn(outcome(Kind.CHECK_FAILED, error="no paper"))
    held.learn(outcome(Kind.IN_PROGRESS))
    assert held.saved().last_error == "no paper"


def test_the_secret_is_kept_for_heartbeats_alone() -> None:
    assert isinstance(held_row().row.token, TokenTrace)
    assert not held_row().row.has_secret
    assert held_row(heartbeat=True).row.has_secret


def test_a_row_that_was_dropped_is_held_no_more_and_drops_no_other() -> None:
    held = Held("one", 10)
    first, second = held_row(), held_row()
    held.rows["job-1"] = second
    held.drop(first)
    assert first.dropped
    assert held.rows == {"job-1": second}
    held.drop_all()
    assert (second.dropped, held.rows) == (True, {})


def test_what_is_claimed_counts_as_held() -> None:
    held = Held("one", 2)
    held.rows["job-1"] = held_row()
    assert not held.full
    held.claiming.add("job-2")
    assert ("job-1" in held, "job-2" in held, "job-3" in held, len(held), held.full) == (True, True, False, 2, True)


@in_virtual_time
async def test_a_held_row_takes_a_kilobyte_at_most_timers_and_all() -> None:
    count = 2_000
    cloud = Cloud()
    replica = Replica(cloud, most=count)
    replica.lane.close()
    claims = _Claims([], spread=True, at_a_fire=False)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(count):
            item = row_item(
                f"a job's id as long as they are, {number:09}",
                taskToken={"S": f"AQCEAAAAKgAAAAMAAAAAAAAAA{number:09}" + "x" * 700},
                claimId={"S": f"{number:032}"},
                heldBy={"S": f"a-host-name-{number:08}"},
                version={"N": "3"},
                nextPollAt={"N": "1764061234567"},
            )
            replica.taking_up._hold(read_row(item), 300.0, claims)
        del item
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(replica.rows) == count
    print(f"{(after - before) / count:.0f} bytes for each held row")  # noqa: T201  a person wants to see it
    assert (after - before) / count <= MOST_BYTES
