"""Fault 37: rows whose attributes of the index are odd are found, and no other row notices them."""

from typing import Any

import pytest

from tests.faults.world import World

ODD: dict[str, dict[str, Any]] = {
    "fraction of a millisecond": {"nextPollAt": {"N": "1760000000123.5"}},
    "fraction of a shard": {"dueShard": {"N": "1.5"}},
    "a shard given up": {"dueShard": {"N": "77"}},
    "a shard below all": {"dueShard": {"N": "-1"}},
    "a huge number": {"nextPollAt": {"N": "-9.9E+125"}},
    "no shard": {"dueShard": None},
    "no time": {"nextPollAt": None},
    "an execution that is a number": {"executionId": {"N": "5"}},
    "an error in bytes": {"lastError": {"B": b"\xff"}},
    "a heartbeat in words": {"heartbeat": {"S": "yes"}},
}
BROKEN: dict[str, dict[str, Any]] = {
    "a version with a fraction": {"version": {"N": "1.5"}, "nextPollAt": {"N": "1760000000123.5"}},
    "an interval below zero": {"intervalSeconds": {"N": "-1"}},
}


@pytest.mark.parametrize("due", ["auto", "scan"])
def test_fault_37_odd_rows_are_found_and_no_other_row_notices(world: World, due: str) -> None:
    odd = [world.add(name, row=changes) for name, changes in ODD.items()]
    broken = [world.add(name, row=changes) for name, changes in BROKEN.items()]
    others = [world.add(f"job-{number}") for number in range(30)]
    with world.daemon(SCHEDULER_DUE=due) as daemon:
        rows = {job.job_id: world.ended(job) for job in [*odd, *others, *broken]}
        assert daemon.stop() == 0
    assert {rows[job.job_id]["status"] for job in others} == {"COMPLETED"}
    assert {job.job_id: rows[job.job_id]["status"] for job in odd} == dict.fromkeys(ODD, "COMPLETED")
    assert {job.job_id: rows[job.job_id]["status"] for job in broken} == dict.fromkeys(BROKEN, "QUARANTINED")
    assert daemon.events("poll.crashed") == daemon.events("row.unreadable") == []


def test_fault_37_odd_columns_of_a_table_without_the_index_are_found_by_the_scan(world: World) -> None:
    world.dynamodb.update_table(TableName=world.table, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "due"}}])
    jobs = [
        world.add("words", row={"nextPollAt": {"S": "soon"}, "dueShard": {"S": "first"}}),
        world.add("map", row={"nextPollAt": {"M": {}}, "dueShard": {"BOOL": True}}),
    ]
    with world.daemon():
        assert {world.ended(job)["status"] for job in jobs} == {"COMPLETED"}


def test_fault_37_a_row_that_was_ended_by_somebody_else_is_tidied_once(world: World) -> None:
    ended = world.add("ended", row={"status": "COMPLETED"})
    with world.daemon() as daemon:
        world.ended(world.add("job-1"))
        world.ticks(daemon, more=5)
        row = world.row(ended)
    assert ("dueShard" in row, "nextPollAt" in row, row["version"]) == (False, False, 1)
