"""Rows 19 and 20: rows that cannot be understood, and rows that a newer version understands."""

import json
from typing import Any

import pytest

from tests.fake_dynamodb import MAX_ITEM_BYTES, item_size
from tests.faults.world import AddedJob, World, until

MALFORMED: dict[str, dict[str, Any]] = {
    "attempts-of-text": {"attemptCount": {"S": "many"}},
    "time-out-of-text": {"expiresAt": None, "timeoutSeconds": {"S": "60"}},
    "attempts-in-halves": {"attemptCount": {"N": "1.5"}},
    "most-attempts-of-a-boolean": {"maxAttempts": {"BOOL": True}},
    "most-attempts-not-a-number": {"maxAttempts": {"S": "NaN"}},
    "most-attempts-below-zero": {"maxAttempts": {"N": "-1"}},
    "expiry-of-a-number": {"expiresAt": {"N": "1700000000"}},
    "expiry-not-a-number": {"expiresAt": {"S": "NaN"}},
    "expiry-empty": {"expiresAt": {"S": ""}},
    "time-out-since-no-time": {"expiresAt": None, "timeoutSeconds": {"N": "60"}, "createdAt": {"S": "then"}},
    "interval-not-a-number": {"intervalSeconds": {"S": "NaN"}},
    "interval-beyond-all-numbers": {"intervalSeconds": {"N": "1E+60"}},
    "version-of-text": {"version": {"S": "1"}},
    "pending-answer-of-text": {"pendingAnswer": {"S": "done"}},
    "two-faults": {"version": {"S": "1"}, "expiresAt": {"S": "tomorrow"}},
}
TOKENLESS: dict[str, dict[str, Any]] = {
    "token-missing": {"taskToken": None},
    "token-empty": {"taskToken": {"S": ""}},
    "token-of-a-number": {"taskToken": {"N": "1"}},
    "token-null": {"taskToken": {"NULL": True}},
}


@pytest.mark.parametrize("foreign", [False, True], ids=["ours", "foreign"])
def test_fault_19_a_malformed_row_is_quarantined_and_the_rest_of_the_tick_runs(world: World, *, foreign: bool) -> None:
    bad = {
        name: world.add(name, row=changes, foreign=foreign and "version" not in changes)
        for name, changes in (MALFORMED | TOKENLESS).items()
    }
    good = [world.add(name, polls=2, foreign=foreign) for name in ("a-job", "m-job", "z-job")]
    with world.daemon(SCHEDULER_CONCURRENCY="1") as daemon:
        rows = {name: world.ended(name) for name in bad}
        assert [world.ended(job)["status"] for job in good] == ["COMPLETED"] * 3
        ticks = world.ticks(daemon)[1:]  # the first may have begun before
        lines = daemon.events("row.quarantined")
        assert daemon.readiness()[0] == 200
    assert {row["status"] for row in rows.values()} == {"QUARANTINED"}
    for name, changes in (MALFORMED | TOKENLESS).items():
        assert rows[name]["lastError"].startswith(tuple(changes)), name
        assert rows[name].keys().isdisjoint({"claimId", "purgeAt"}), name
    assert {line["job_id"]: line["error"] for line in lines} == {name: rows[name]["lastError"] for name in bad}
    assert len(lines) == len(bad)
    assert {tick["due"] for tick in ticks} == {0}
    # Nobody answers for such a row: its task waits for a person, who mends the row.
    assert [world.aws.ledger.offers(job.token) for job in bad.values()] == [[]] * len(bad)
    assert world.aws.jobs.all_checks() == {job.job_id: 2 for job in good}


def test_fault_19_a_row_of_400_kb_is_set_aside_where_dynamodb_lets_us_and_stops_no_tick(world: World) -> None:
    """A row with no byte to spare takes no write at all: it is told of once, passed by, and harms no other."""
    broken = _filled(world, "broken", spare=300, expiresAt="tomorrow")
    tight, full = (_filled(world, name, spare) for name, spare in (("tight", 60), ("full", 0)))
    good = world.add("good", polls=2)
    with world.daemon(SCHEDULER_CONCURRENCY="1") as daemon:
        rows = [world.ended(job) for job in (broken, tight)]
        assert world.ended(good)["status"] == "COMPLETED"
        until(lambda: daemon.events("row.refused"))
        ticks = world.ticks(daemon, more=3)[2:]  # of the first two a part may be from before
        assert daemon.readiness()[0] == 200
        reasons = {line["job_id"]: line["error"] for line in daemon.events("row.quarantined")}
        refused = daemon.events("row.refused")
    assert [row["status"] for row in rows] == ["QUARANTINED"] * 2
    assert rows[0]["lastError"] == reasons["broken"] == "expiresAt (type S) must be an ISO 8601 timestamp"
    assert reasons["tight"].startswith("the row cannot be claimed: ValidationException")
    assert "lastError" not in rows[1]  # there was no room for it
    assert world.row(full)["status"] == "POLLING"
    assert [(line["job_id"], line["level"]) for line in refused] == [("full", "error")]
    assert {(tick["due"], tick["polled"], tick["errors"]) for tick in ticks} == {(0, 0, 0)}
    assert world.aws.jobs.all_checks() == {"good": 2}
    assert [world.aws.ledger.offers(job.token) for job in (broken, tight, full)] == [[], [], []]


def _filled(world: World, name: str, spare: int, **changes: str) -> AddedJob:
    """Add a row that is due and has so many bytes left up to DynamoDB's limit."""
    job = world.add(name, row={"note": "", **changes})
    room = MAX_ITEM_BYTES - item_size(world.item(job)) - spare
    world.change(job, note="x" * room)
    return job


def test_fault_20_a_status_of_a_newer_version_and_a_row_that_names_a_source_are_left_alone(world: World) -> None:
    paused = world.add("paused", row={"status": "PAUSED_BY_A_NEWER_VERSION"})
    sourced = world.add("sourced", row={"source": {"kind": "http", "url": "https://example.com/{jobId}"}})
    richer = world.add("richer", polls=2, row={"labels": ["a", {"b": 1}], "schema": 9})
    before = [world.item(job) for job in (paused, sourced)]
    with world.daemon() as daemon:
        assert world.ended(richer)["status"] == "COMPLETED"
        ticks = world.ticks(daemon, more=3)[1:]
        alone = daemon.events("source.unknown")
        assert daemon.readiness()[0] == 200
    polled = [world.poller_lambda({"jobId": job.job_id}) for job in (paused, sourced)]
    replies = [json.loads(done.stdout) for done in polled]
    assert replies[0] == {"status": "PAUSED_BY_A_NEWER_VERSION"}
    assert (replies[1]["status"], replies[1]["outcome"]) == ("IN_PROGRESS", "left_alone")
    assert [world.item(job) for job in (paused, sourced)] == before
    # The one with a source is told of once a spell, and passed by: it is no error.
    assert [(line["job_id"], line["level"]) for line in alone] == [("sourced", "warning")]
    assert {(tick["due"], tick["claimed"], tick["errors"]) for tick in ticks} == {(0, 0, 0)}
    assert world.aws.jobs.all_checks() == {"richer": 2}
    assert [world.aws.ledger.offers(job.token) for job in (paused, sourced)] == [[], []]
    # What a newer version wrote beside what we know is kept as it was.
    assert (world.row(richer)["labels"], world.row(richer)["schema"]) == (["a", {"b": 1}], 9)
