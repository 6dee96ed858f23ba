"""The replicas' rows: beats, forgetting, and finding what replicas hold that are gone."""

from typing import Any

import pytest

from scheduler.aws.replica_table import ReplicaTable
from scheduler.aws.token_table import TokenTable
from scheduler.core.replica_rows import PREFIX, Beat, beat_parameters, forget_parameters, read_beat
from scheduler.core.token_row import due_shard
from scheduler.errors import CloudError
from tests.fake_dynamodb import refused
from tests.fakes import FakeTokenTable, row_item
from tests.virtual_time import in_virtual_time

BEAT = Beat("one", 1_000_000, 7, lagging=True, program="1.0.0")


def roll(table: FakeTokenTable) -> ReplicaTable:
    return ReplicaTable(TokenTable(table, table.name, "index"), table, 4)


def put_held(table: FakeTokenTable, job_id: str, by: str | None, **changes: Any) -> None:
    attributes: dict[str, Any] = {
        "dueShard": {"N": str(due_shard(job_id, 4))},
        "nextPollAt": {"N": "9000"},
        "version": {"N": "1"},
        "heldBy": {"S": by} if by else None,
    }
    table.put(row_item(job_id, **(attributes | changes)))


def test_a_replicas_row_has_no_status_so_that_nobody_takes_it_for_a_jobs() -> None:
    call = beat_parameters("tokens", BEAT)
    assert call["Key"] == {"jobId": {"S": "replica#one"}}
    assert "status" not in call["UpdateExpression"]
    assert call["ExpressionAttributeValues"][":shard"] == {"N": "-1"}
    assert call["ExpressionAttributeValues"][":purge"] == {"N": str(1_000 + 86_400)}


@in_virtual_time
async def test_a_beat_is_read_as_it_was_written() -> None:
    table = FakeTokenTable()
    await roll(table).beat(BEAT)
    assert await roll(table).beats() == [BEAT]
    await roll(table).beat(Beat("one", 1_010_000))
    assert await roll(table).beats() == [Beat("one", 1_010_000)]


@in_virtual_time
async def test_a_replica_is_forgotten_unless_it_has_beaten_again() -> None:
    table = FakeTokenTable()
    await roll(table).beat(BEAT)
    await roll(table).forget("one", 999_999)
    assert await roll(table).beats() == [BEAT]
    await roll(table).forget("one", BEAT.at)
    assert await roll(table).beats() == []
    await roll(table).beat(BEAT)  # it lives after all
    assert await roll(table).beats() == [BEAT]
    await roll(table).forget("nobody", 1)
    assert f"{PREFIX}nobody" not in table.items
    assert forget_parameters("tokens", "one", 1)["UpdateExpression"] == "REMOVE dueShard"


@in_virtual_time
async def test_a_table_that_refuses_is_an_error_of_the_cloud_but_for_forgetting() -> None:
    table = FakeTokenTable()
    table.client.fail("update_item", *[refused("ThrottlingException")] * 2)
    table.client.fail("query", refused("ThrottlingException"))
    with pytest.raises(CloudError):
        await roll(table).beat(BEAT)
    await roll(table).forget("one", 1)
    with pytest.raises(CloudError):
        await roll(table).beats()


@pytest.mark.parametrize(
    "changes",
    [
        {"jobId": {"S": "job-1"}},
        {"status": {"S": "POLLING"}},
        {"nextPollAt": {"S": "soon"}},
        {"nextPollAt": {"N": "1.5"}},
        {"held": {"N": "1.5"}},
    ],
)
def test_what_is_no_replicas_row_is_passed_by(changes: dict[str, Any]) -> None:
    good: dict[str, Any] = {"jobId": {"S": "replica#one"}, "nextPollAt": {"N": "5"}}
    assert read_beat(good) == Beat("one", 5)
    assert read_beat(good | changes) is None


def test_a_newer_replicas_row_is_understood_as_far_as_it_goes() -> None:
    item: Any = {"jobId": {"S": "replica#n"}, "nextPollAt": {"N": "5"}, "held": {"S": "many"}, "mood": {"S": "good"}}
    assert read_beat(item) == Beat("n", 5)


@in_virtual_time
async def test_rows_are_found_that_gone_replicas_hold_and_no_others() -> None:
    table = FakeTokenTable()
    table.client.page_rows = 3
    gone = [f"gone-{number}" for number in range(20)]
    for job_id in gone:
        put_held(table, job_id, "dead")
    put_held(table, "living", "alive")
    put_held(table, "free", None)
    put_held(table, "due", "dead", nextPollAt={"N": "500"})
    put_held(table, "ended", "dead", status={"S": "FAILED"})
    put_held(table, "odd", "dead", expiresAt={"S": "tomorrow"})
    pages = [page async for page in roll(table).held_by({"dead"}, 1_000, lambda job_id: job_id != "gone-3")]
    found = [row.job_id for page in pages for row in page]
    assert sorted(found) == sorted(set(gone) - {"gone-3"})
