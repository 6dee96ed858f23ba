"""One suite for the token table, over the fake and over real tables, found by index and by scan."""

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from scheduler.aws.clients import WithDynamoDB, admin_clients
from scheduler.aws.deploy import deploy_table
from scheduler.aws.due_finder import DueFinder
from scheduler.aws.token_table import TokenTable
from scheduler.core.answers import Fail, PendingAnswer
from scheduler.core.effects import Claim, Keep, Lost, Mark, Quarantine, Release
from scheduler.core.row_reader import Malformed, read_row
from scheduler.core.states import EndState
from scheduler.core.token_row import TokenRow, due_shard
from scheduler.errors import MissingError
from tests.contract.conftest import SHARDS, TableUnderTest, foreign_item, over, use_endpoint, waiting_item
from tests.fakes import FakeTokenTable

NOW = 1_000_000


def indexed_item(job_id: str = "job-1", **more: Any) -> dict[str, Any]:
    return waiting_item(job_id, **({"dueShard": {"N": str(due_shard(job_id, SHARDS))}} | more))


def claim_of(row: TokenRow, claim_id: str = "claim-1", until: int = NOW + 60_000) -> Claim:
    return Claim(row, claim_id, NOW, until, due_shard(row.job_id, SHARDS))


async def found(table: TableUnderTest, now: int = NOW) -> list[Any]:
    return sorted([row async for row in table.find(now)], key=lambda row: str(row.job_id))


async def claimed(table: TableUnderTest, item: dict[str, Any], claim_id: str = "claim-1") -> TokenRow:
    await table.put(item)
    row = await table.write(claim_of(read_row(item), claim_id))
    assert isinstance(row, TokenRow)
    return row


async def test_only_waiting_rows_that_are_due_are_found(table: TableUnderTest) -> None:
    await table.put(indexed_item("due"))
    await table.put(indexed_item("due-now", nextPollAt={"N": str(NOW)}))
    await table.put(indexed_item("not-yet", nextPollAt={"N": str(NOW + 1)}))
    await table.put(foreign_item("ended", status={"S": "COMPLETED"}))
    await table.put(foreign_item("newer", status={"S": "A_STATE_OF_A_NEWER_VERSION"}))
    assert [row.job_id for row in await found(table)] == ["due", "due-now"]


async def test_a_row_of_a_foreign_creator_is_found_and_its_first_claim_adds_what_is_missing(
    table: TableUnderTest,
) -> None:
    await table.put(foreign_item())
    (row,) = await found(table)
    won = await table.write(claim_of(row))
    assert (won.version, won.attempt_count, won.claim_id) == (1, 1, "claim-1")
    held = await table.get("job-1") or {}
    assert held["dueShard"] == {"N": str(due_shard("job-1", SHARDS))}
    assert held["nextPollAt"] == {"N": str(NOW + 60_000)}
    assert held["lastPolledAt"] == {"S": "1970-01-01T00:16:40.000Z"}
    assert await found(table) == []
    assert [row.job_id for row in await found(table, NOW + 60_000)] == ["job-1"]


@pytest.mark.parametrize("gap", ["dueShard", "nextPollAt"])
async def test_a_row_that_the_index_cannot_hold_is_found_all_the_same(table: TableUnderTest, gap: str) -> None:
    item = indexed_item()
    del item[gap]
    await table.put(item)
    assert [row.job_id for row in await found(table)] == ["job-1"]


@pytest.mark.parametrize("shard", ["17", "-1", "1.5", "1e30"])
async def test_a_row_of_a_shard_that_is_none_of_ours_is_found_and_moves(table: TableUnderTest, shard: str) -> None:
    await table.put(indexed_item(dueShard={"N": shard}))
    (row,) = await found(table)
    await table.write(claim_of(row))
    assert (await table.get("job-1") or {})["dueShard"] == {"N": str(due_shard("job-1", SHARDS))}


@pytest.mark.parametrize("at", ["123.5", "0.001", "-7", "1.2345678901234567890123456789012345678e2", "-1e100"])
async def test_a_row_whose_time_is_an_odd_number_is_found_and_mended(table: TableUnderTest, at: str) -> None:
    await table.put(indexed_item("odd", nextPollAt={"N": at}))
    await table.put(indexed_item("plain"))
    assert [row.job_id for row in await found(table)] == ["odd", "plain"]
    (odd, _) = await found(table)
    assert isinstance(await table.write(claim_of(odd)), TokenRow)
    assert (await table.get("odd") or {})["nextPollAt"] == {"N": str(NOW + 60_000)}
    assert [row.job_id for row in await found(table, NOW + 60_000)] == ["odd", "plain"]


async def test_a_row_that_is_due_within_a_fraction_of_a_millisecond_is_not_due_yet(table: TableUnderTest) -> None:
    await table.put(indexed_item(nextPollAt={"N": f"{NOW}.5"}))
    assert await found(table) == []
    assert len(await found(table, NOW + 1)) == 1


@pytest.mark.parametrize("make", [indexed_item, foreign_item])
async def test_exactly_one_of_two_claims_wins(table: TableUnderTest, make: Any) -> None:
    await table.put(make())
    (row,) = await found(table)
    assert isinstance(await table.write(claim_of(row, "mine")), TokenRow)
    assert await table.write(claim_of(row, "theirs")) == Lost()
    assert (await table.get("job-1") or {})["attemptCount"] == {"N": "1"}


async def test_a_claim_that_was_applied_before_its_reply_got_lost_is_recognised(table: TableUnderTest) -> None:
    item = indexed_item()
    first = await claimed(table, item, "mine")
    again = await table.write(claim_of(read_row(item), "mine"))
    assert again == first
    assert (await table.get("job-1") or {})["attemptCount"] == {"N": "1"}


async def test_a_claim_of_a_row_that_has_gone_is_lost(table: TableUnderTest) -> None:
    assert await table.write(claim_of(read_row(indexed_item("never-there")))) == Lost()


async def test_a_claim_of_a_row_that_ended_meanwhile_is_lost(table: TableUnderTest) -> None:
    await table.put(indexed_item(status={"S": "CLOSED"}))
    assert await table.write(claim_of(read_row(indexed_item()))) == Lost()


async def test_an_answer_that_was_kept_comes_back_and_costs_no_attempt(table: TableUnderTest) -> None:
    row = await claimed(table, indexed_item())
    pending = PendingAnswer(Fail("JobFailed", "the disk is full"), tries=1)
    assert await table.write(Keep(row, pending, NOW + 5, "Throttled: slow down")) is None
    (kept,) = await found(table, NOW + 5)
    assert (kept.pending, kept.last_error) == (pending, "Throttled: slow down")
    again = await table.write(claim_of(kept, "claim-2"))
    assert (again.attempt_count, again.pending) == (1, pending)


async def test_a_released_row_is_due_earlier(table: TableUnderTest) -> None:
    row = await claimed(table, indexed_item())
    assert await table.write(Release(row, NOW + 10, "no reply")) is None
    assert [again.last_error for again in await found(table, NOW + 10)] == ["no reply"]


async def test_a_release_gives_the_attempt_back_once_however_often_it_is_sent(table: TableUnderTest) -> None:
    row = await claimed(table, indexed_item(attemptCount={"N": "2"}))
    for _ in range(3):
        assert await table.write(Release(row, NOW + 10, "denied", unspent=True)) is None
        assert (await table.get("job-1") or {})["attemptCount"] == {"N": "2"}


async def test_only_the_holder_of_the_claim_keeps_or_releases(table: TableUnderTest) -> None:
    row = replace(await claimed(table, indexed_item(), "theirs"), claim_id="mine")
    assert await table.write(Release(row, NOW, None)) == Lost()
    assert await table.write(Keep(row, PendingAnswer(Fail("E", "c")), NOW, "e")) == Lost()
    assert "pendingAnswer" not in (await table.get("job-1") or {})


@pytest.mark.parametrize("state", EndState)
async def test_a_marked_row_leaves_the_index_and_a_second_mark_is_lost(table: TableUnderTest, state: EndState) -> None:
    row = await claimed(table, indexed_item())
    assert await table.write(Mark(row, state, NOW)) is None
    held = await table.get("job-1") or {}
    assert (held["status"], held["completedAt"]) == ({"S": state.value}, {"S": "1970-01-01T00:16:40.000Z"})
    assert held.keys().isdisjoint({"dueShard", "nextPollAt", "pendingAnswer"})
    assert held["version"] == {"N": "2"}
    assert await found(table, NOW * 1_000) == []
    assert await table.write(Mark(row, EndState.CLOSED, NOW)) == Lost()


async def test_a_row_that_somebody_else_ended_is_not_found_and_leaves_the_index(table: TableUnderTest) -> None:
    await table.put(indexed_item(status={"S": "COMPLETED"}))
    assert await found(table) == []
    if table.due == "auto":
        assert (await table.get("job-1") or {}).keys().isdisjoint({"dueShard", "nextPollAt"})


@pytest.mark.parametrize(
    ("attribute", "held"),
    [
        ("taskToken", None),
        ("taskToken", {"S": ""}),
        ("taskToken", {"N": "7"}),
        ("taskToken", {"S": "x" * 2049}),
        ("expiresAt", {"S": "tomorrow"}),
        ("maxAttempts", {"S": "NaN"}),
        ("attemptCount", {"N": "1.5"}),
        ("attemptCount", {"N": "-1"}),
        ("version", {"S": "one"}),
        ("intervalSeconds", {"N": "0"}),
        ("pendingAnswer", {"M": {"a": {"S": "b"}}}),
    ],
)
async def test_a_row_that_cannot_be_understood_is_set_aside_with_its_reason(
    table: TableUnderTest, attribute: str, held: Any
) -> None:
    await table.put(indexed_item(**{attribute: held}))
    (row,) = await found(table)
    assert isinstance(row, Malformed)
    assert await table.write(Quarantine("job-1", row.fault, NOW)) is None
    item = await table.get("job-1") or {}
    assert (item["status"], item["lastError"]) == ({"S": "QUARANTINED"}, {"S": str(row.fault)})
    assert attribute in item["lastError"]["S"]
    assert await found(table) == []


async def test_what_no_poll_depends_on_may_hold_anything(table: TableUnderTest) -> None:
    await table.put(indexed_item(executionId={"B": b"bytes"}, lastError={"N": "7"}, more={"L": []}))
    assert [row.execution_id for row in await found(table)] == [None]


async def test_a_row_that_was_mended_meanwhile_is_not_set_aside(table: TableUnderTest) -> None:
    await table.put(indexed_item(maxAttempts={"S": "ten"}))
    (row,) = await found(table)
    await table.put(indexed_item())
    assert await table.write(Quarantine("job-1", row.fault, NOW)) == Lost()


async def test_many_large_rows_are_each_found_once(table: TableUnderTest) -> None:
    ids = [f"job-{number:03}" for number in range(230)]
    for job_id in ids:
        # 230 rows of 10 KB: more than one page of a scan, and more than one of each query
        await table.put(indexed_item(job_id, note={"S": "x" * 10_000}))
    assert [row.job_id for row in await found(table)] == ids


async def test_a_row_of_almost_400_kb_is_polled(table: TableUnderTest) -> None:
    await claimed(table, indexed_item(note={"S": "x" * 400_000}))


async def test_a_row_that_is_not_there_is_none(table: TableUnderTest) -> None:
    assert await table.get("nobody") is None


async def test_a_probe_tells_how_the_table_is_made(table: TableUnderTest) -> None:
    shape = await table.probe()
    assert (shape.indexed, shape.fault) == (True, None)


@pytest.mark.parametrize("backend", ["ministack", "dynamodb_local"])
@pytest.mark.parametrize("due", ["auto", "scan", "index"])
async def test_a_missing_table_is_named_with_the_command_that_makes_it(
    backend: str, due: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_endpoint(monkeypatch, request.getfixturevalue(backend))
    async with admin_clients() as clients:
        table = TokenTable(clients, "nowhere", due)
        finder = DueFinder(table, clients, SHARDS, due, lambda: 0.0)
        message = "table nowhere does not exist at http://.*; if that is .*, `callback-scheduler deploy` makes it there"
        with pytest.raises(MissingError, match=f"^{message}$"):
            _ = [page async for page in finder.pages(NOW)]
        with pytest.raises(MissingError, match=f"^{message}$"):
            await table.probe()


@pytest.mark.parametrize("backend", ["fake", "ministack", "dynamodb_local"])
async def test_of_a_backlog_the_longest_due_come_first_with_some_of_the_newest_among_them(
    backend: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [job_id for job_id in (f"job-{number:04}" for number in range(1_400)) if due_shard(job_id, SHARDS) == 0][:300]
    async with AsyncExitStack() as stack:
        clients: WithDynamoDB = FakeTokenTable(SHARDS)
        name = FakeTokenTable.name if backend == "fake" else f"backlog-of-{backend}"
        if backend != "fake":
            use_endpoint(monkeypatch, request.getfixturevalue(backend))
            admin = await stack.enter_async_context(admin_clients())
            await deploy_table(admin, name, indexed=True)
            clients = admin
        for age, job_id in enumerate(ids):
            item = indexed_item(job_id, nextPollAt={"N": str(1_000 + age)})
            await clients.dynamodb.put_item(TableName=name, Item=item)
        finder = DueFinder(TokenTable(clients, name, "index"), clients, SHARDS, "index", lambda: 0.0)
        order = [row.job_id async for page in finder.pages(NOW) for row in page.rows]
    assert [job_id for job_id in order[:125] if job_id not in ids[-25:]] == ids[:100]
    assert order[4:125:5] == ids[:-26:-1]
    assert set(order) == set(ids)


async def test_a_time_of_another_type_in_a_row_older_than_the_index_is_found(
    dynamodb_local: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DynamoDB takes no such row once the index is there, and leaves those that were there before out of it."""
    use_endpoint(monkeypatch, dynamodb_local)
    async with admin_clients() as clients:
        name = "older-than-its-index"
        await deploy_table(clients, name, indexed=False)
        await clients.dynamodb.put_item(TableName=name, Item=indexed_item(nextPollAt={"S": "yesterday"}))
        await deploy_table(clients, name, indexed=True)
        table = over(clients, name, "auto", None)
        assert (await table.probe()).indexed
        (row,) = await found(table)
        assert isinstance(await table.write(claim_of(row)), TokenRow)
        assert (await table.get("job-1") or {})["nextPollAt"] == {"N": str(NOW + 60_000)}
