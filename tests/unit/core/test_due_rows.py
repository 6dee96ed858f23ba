"""Finding due rows: what DynamoDB is asked."""

from typing import Any

import pytest

from scheduler.core.due_rows import find_parameters, keys, shard_parameters
from scheduler.core.instant import parse_iso
from tests import expressions
from tests.fakes import row_item

NOW = parse_iso("2026-01-01T00:00:00Z")


def test_a_scan_finds_waiting_rows_that_are_due_or_have_no_time_that_compares() -> None:
    parameters = find_parameters("tokens", NOW)
    due = "(attribute_not_exists(#next) OR #next <= :now OR NOT attribute_type(#next, :number))"
    assert parameters["FilterExpression"] == f"#status = :polling AND {due}"
    assert parameters["ExpressionAttributeValues"][":now"] == {"N": str(NOW)}


def found(item: Any, stray_shards: int | None = None) -> bool:
    """Tell whether a scan gives an item."""
    parameters = find_parameters("tokens", NOW, stray_shards)
    names, values = parameters["ExpressionAttributeNames"], parameters["ExpressionAttributeValues"]
    return expressions.holds(parameters["FilterExpression"], item, names, values)


@pytest.mark.parametrize(
    ("held", "due"),
    [
        (None, True),
        ({"N": str(NOW)}, True),
        ({"N": f"{NOW - 1}.5"}, True),
        ({"N": f"{NOW}.5"}, False),
        ({"N": str(NOW + 1)}, False),
        ({"S": "tomorrow"}, True),
        ({"NULL": True}, True),
    ],
    ids=str,
)
def test_a_scan_gives_what_is_due_and_what_has_a_time_of_another_type(held: Any, *, due: bool) -> None:
    assert found(row_item(nextPollAt=held)) is due
    assert not found(row_item(nextPollAt=held, status={"S": "COMPLETED"}))


DUE = {"N": str(NOW - 1)}


@pytest.mark.parametrize("shard", [{"N": "0"}, {"N": "3"}, {"N": "3.0"}], ids=str)
def test_a_sweep_passes_by_what_a_query_of_its_shard_finds(shard: Any) -> None:
    assert not found(row_item(nextPollAt=DUE, dueShard=shard), stray_shards=4)


@pytest.mark.parametrize(
    "shard", [None, {"N": "4"}, {"N": "-1"}, {"N": "1.5"}, {"S": "1"}, {"M": {}}, {"NULL": True}], ids=str
)
def test_a_sweep_finds_what_no_query_of_these_shards_can_find(shard: Any) -> None:
    assert found(row_item(nextPollAt=DUE, dueShard=shard), stray_shards=4)


def test_a_sweep_finds_a_row_without_a_time_that_compares_and_none_that_is_not_due() -> None:
    one = {"N": "1"}
    assert found(row_item(dueShard=one), stray_shards=4)
    assert found(row_item(dueShard=one, nextPollAt={"S": "x"}), stray_shards=4)
    assert not found(row_item(nextPollAt={"N": str(NOW + 1)}), stray_shards=4)


@pytest.mark.parametrize("shards", [1, 100, 101, 256])
def test_a_sweep_knows_every_shard_however_many_there_are(shards: int) -> None:
    """DynamoDB takes a hundred operands of one IN."""
    last = row_item(nextPollAt=DUE, dueShard={"N": str(shards - 1)})
    assert not found(last, shards)
    assert found(last, shards - 1 or 4) is (shards > 1)
    filters = find_parameters("tokens", NOW, shards)["FilterExpression"]
    assert all(len(some.split(",")) <= 100 for some in filters.split(" IN ")[1:])


def test_a_query_asks_one_shard_for_what_is_due() -> None:
    parameters = shard_parameters("tokens", "due", 2, NOW)
    assert parameters["IndexName"] == "due"
    assert parameters["KeyConditionExpression"] == "#shard = :shard AND #next <= :now"
    assert parameters["ExpressionAttributeValues"] == {":shard": {"N": "2"}, ":now": {"N": str(NOW)}}


def test_keys_are_those_of_the_jobs_in_their_order() -> None:
    assert keys(["b", "a"]) == [{"jobId": {"S": "b"}}, {"jobId": {"S": "a"}}]
