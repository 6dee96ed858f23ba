"""How a token table is made, read from what DescribeTable says."""

from typing import Any

import pytest

from scheduler.aws.table_shape import TableShape, read_shape
from tests.fake_dynamodb import described


def shape(**changes: Any) -> TableShape:
    return read_shape(described() | changes, "due")


def index(name: str, hash_key: str, range_key: str | None = None, status: str = "ACTIVE") -> dict[str, Any]:
    keys = [{"AttributeName": hash_key, "KeyType": "HASH"}]
    keys += [{"AttributeName": range_key, "KeyType": "RANGE"}] if range_key else []
    return {"IndexName": name, "IndexStatus": status, "KeySchema": keys}


def with_index(own: dict[str, Any], kind: str = "GlobalSecondaryIndexes", **types: str) -> TableShape:
    """Give the shape of a table that has an index of its owner's own, with these types of its attributes."""
    table = described(indexed=False)
    table[kind] = [own]
    table["AttributeDefinitions"] += [{"AttributeName": name, "AttributeType": held} for name, held in types.items()]
    return read_shape(table, "due")


def test_a_table_as_deploy_makes_it_has_the_index_and_no_fault() -> None:
    assert shape() == TableShape(indexed=True, region="us-east-1", account="000000000000")


def test_a_table_without_the_index_has_none() -> None:
    assert read_shape(described(indexed=False), "due") == TableShape(
        indexed=False, region="us-east-1", account="000000000000"
    )


@pytest.mark.parametrize(
    ("status", "serves"), [("ACTIVE", True), ("UPDATING", True), ("CREATING", False), ("DELETING", False)]
)
def test_an_index_serves_once_it_is_made_and_until_it_is_deleted(status: str, *, serves: bool) -> None:
    made = index("due", "dueShard", "nextPollAt", status)
    assert shape(GlobalSecondaryIndexes=[made]).indexed is serves


@pytest.mark.parametrize(
    "other",
    [
        index("due", "dueShard"),
        index("due", "nextPollAt", "dueShard"),
        index("due", "dueShard", "createdAt"),
        index("another", "dueShard", "nextPollAt"),
    ],
    ids=str,
)
def test_an_index_of_another_name_or_key_is_not_the_one(other: dict[str, Any]) -> None:
    assert not shape(GlobalSecondaryIndexes=[other]).indexed


def test_the_index_is_found_among_others() -> None:
    others = [index("by-status", "status"), index("due", "dueShard", "nextPollAt"), index("by-owner", "owner")]
    assert shape(GlobalSecondaryIndexes=others).indexed


@pytest.mark.parametrize("arn", [None, "", "arn:aws:dynamodb", "tokens"])
def test_a_table_whose_arn_says_nothing_has_no_region_and_no_account(arn: str | None) -> None:
    found = read_shape({name: held for name, held in (described() | {"TableArn": arn}).items() if held}, "due")
    assert (found.region, found.account, found.indexed) == (None, None, True)


def test_the_region_and_the_account_are_those_of_its_arn() -> None:
    found = shape(TableArn="arn:aws-cn:dynamodb:cn-north-1:111122223333:table/tokens")
    assert (found.region, found.account) == ("cn-north-1", "111122223333")


# --- what refuses every write


@pytest.mark.parametrize(
    ("key", "kind", "fault"),
    [
        (["id"], "S", "its key is id, and must be jobId as a string"),
        (["jobId", "createdAt"], "S", "its key is jobId, createdAt, and must be jobId as a string"),
        (["jobId"], "N", "its key is jobId, and must be jobId as a string"),
        (["jobId"], "B", "its key is jobId, and must be jobId as a string"),
    ],
)
def test_a_table_with_another_key_cannot_be_used(key: list[str], kind: str, fault: str) -> None:
    schema = [{"AttributeName": name, "KeyType": "HASH"} for name in key]
    kinds = [{"AttributeName": name, "AttributeType": kind} for name in key]
    assert shape(KeySchema=schema, AttributeDefinitions=kinds).fault == fault


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("attemptCount", "S", "N"),
        ("claimId", "N", "S"),
        ("completedAt", "N", "S"),
        ("dueShard", "S", "N"),
        ("heldBy", "B", "S"),
        ("lastError", "N", "S"),
        ("lastPolledAt", "N", "S"),
        ("nextPollAt", "S", "N"),
        ("purgeAt", "S", "N"),
        ("status", "N", "S"),
        ("unknownChecks", "S", "N"),
        ("version", "S", "N"),
    ],
)
@pytest.mark.parametrize("kind", ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"])
@pytest.mark.parametrize("place", ["first", "second"])
def test_an_owner_s_index_with_another_type_for_what_polls_write_is_named_and_the_right_type_is_none(
    name: str, wrong: str, right: str, kind: str, place: str
) -> None:
    own = index("theirs", name) if place == "first" else index("theirs", "owner", name)
    fault = f"its index theirs has {name} as {wrong}, and polls write it as {right}"
    assert with_index(own, kind, **{name: wrong}).fault == fault
    assert with_index(own, kind, **{name: right}).fault is None


@pytest.mark.parametrize("held", ["S", "N", "B"])
def test_an_index_on_a_kept_answer_takes_none(held: str) -> None:
    fault = f"its index theirs has pendingAnswer as {held}, and polls write it as M"
    assert with_index(index("theirs", "pendingAnswer"), pendingAnswer=held).fault == fault


@pytest.mark.parametrize("name", ["owner", "taskToken", "expiresAt", "createdAt", "maxAttempts"])
def test_an_owner_s_index_on_what_polls_never_write_is_his_own_affair(name: str) -> None:
    for kind in "SNB":
        assert with_index(index("theirs", name), **{name: kind}).fault is None


def test_a_table_with_no_indexes_at_all_or_an_empty_list_of_them_is_read() -> None:
    assert shape(GlobalSecondaryIndexes=None, LocalSecondaryIndexes=None) == TableShape(
        indexed=False, region="us-east-1", account="000000000000"
    )
