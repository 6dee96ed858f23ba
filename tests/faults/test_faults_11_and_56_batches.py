"""Faults 11 and 56: a batch of writes that is applied in part, or whose reply is lost; renewals and takeovers."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest

from scheduler import clock
from scheduler.aws import batch_writes
from scheduler.aws.clients import admin_clients, polling_clients
from scheduler.aws.clock_skew import ClockSkew
from scheduler.aws.deploy_tables import deploy_table
from scheduler.aws.token_table import TokenTable
from scheduler.core.effects import Claim, Failure, Lost, Release, Renew, Write
from scheduler.core.row_reader import read_row
from scheduler.core.service_calls import Refusal
from scheduler.core.token_row import TokenRow
from tests.aws_server import AwsServer
from tests.backends import local_environment
from tests.fakes import row_item

NOW = 1_000_000
UNTIL = NOW + 60_000
TOGETHER = ("UpdateItem", "BatchExecuteStatement")


@dataclass(frozen=True)
class Table:
    """A token table behind a server with faults, and a way around them."""

    aws: AwsServer
    writes: TokenTable
    around: Any

    def put(self, job_id: str, **changes: Any) -> TokenRow:
        """Write a row, and give it as it is read."""
        item = row_item(job_id, **({"version": {"N": "0"}} | changes))
        self.around.put_item(TableName=self.writes.name, Item=item)
        return read_row(item)

    def put_many(self, count: int) -> list[TokenRow]:
        return [self.put(f"job-{number:02}") for number in range(count)]

    def item(self, job_id: str) -> dict[str, Any]:
        key = {"jobId": {"S": job_id}}
        found: dict[str, Any] = self.around.get_item(TableName=self.writes.name, Key=key, ConsistentRead=True)["Item"]
        return found

    def versions(self) -> dict[str, str]:
        """Give the versions of all rows."""
        items = self.around.scan(TableName=self.writes.name, ConsistentRead=True)["Items"]
        return {item["jobId"]["S"]: item["version"]["N"] for item in items}

    @property
    def calls(self) -> tuple[int, int, int]:
        """Count the single writes, the batches and the statements in those, as far as they came in."""
        return (*(self.aws.calls[operation] for operation in TOGETHER), self.aws.statements)  # type: ignore[return-value]


@pytest.fixture
async def table(dynamodb_local: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Table]:
    async with AsyncExitStack() as stack:
        aws = await stack.enter_async_context(AwsServer.running(dynamodb_local))
        for name, value in local_environment(aws.endpoint).items():
            monkeypatch.setenv(name, value)
        name = f"tokens-{uuid.uuid4().hex}"
        async with admin_clients() as admin:
            await deploy_table(admin, name, indexed=True)
        clients = await stack.enter_async_context(polling_clients(8, 10, ClockSkew(clock.now)))
        access: Any = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
        around = boto3.client("dynamodb", endpoint_url=dynamodb_local, **access)
        yield Table(aws, TokenTable(clients, name, "auto"), around)
        around.delete_table(TableName=name)
        around.close()


def claims(rows: list[TokenRow], held_by: str | None = None) -> list[Write]:
    return [Claim(row, f"claim of {row.job_id}", NOW, UNTIL, 0, held_by) for row in rows]


def all_won(results: list[Any], rows: list[TokenRow]) -> bool:
    given = [(row.job_id, row.claim_id) for row in results if isinstance(row, TokenRow)]
    return given == [(row.job_id, f"claim of {row.job_id}") for row in rows]


@pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded"])
async def test_fault_11_of_a_batch_that_is_partly_throttled_only_the_rest_is_sent_again(
    table: Table, code: str
) -> None:
    rows = table.put_many(25)
    partly = table.aws.faults.refuse_statements(code=code, count=4)
    # It would be met if a row that was claimed were claimed again.
    again = table.aws.faults.fail("BatchExecuteStatement", code="InternalServerError", containing='"job-00"', skip=1)
    assert all_won(await table.writes.write_many(claims(rows)), rows)
    assert (partly.met, again.met, table.calls) == (1, 0, (0, 2, 25 + 4))
    assert set(table.versions().values()) == {"1"}


async def test_fault_11_what_stays_throttled_is_left_as_it_was(table: Table) -> None:
    rows = table.put_many(3)
    throttled = table.aws.faults.refuse_statements(code="ThrottlingError", count=1, times=None)
    first, second, third = await table.writes.write_many(claims(rows))
    assert isinstance(first, TokenRow)
    assert isinstance(second, TokenRow)
    assert third == Failure("ThrottlingException: as ordered", refusal=Refusal.THROTTLED)
    assert (throttled.met, table.calls) == (3, (0, 3, 3 + 1 + 1))
    assert table.versions() == {"job-00": "1", "job-01": "1", "job-02": "0"}


async def test_fault_11_a_claim_that_was_applied_and_said_to_have_failed_is_recognised(table: Table) -> None:
    rows = table.put_many(3)
    table.aws.faults.refuse_statements(code="InternalServerError", count=2, applied=True)
    assert all_won(await table.writes.write_many(claims(rows)), rows)
    assert (table.calls, set(table.versions().values())) == ((0, 2, 3 + 2), {"1"})


async def test_fault_11_a_batch_of_claims_that_is_applied_and_its_reply_lost_is_recognised(table: Table) -> None:
    rows = [*table.put_many(2), table.put("foreign", version=None)]
    table.aws.faults.drop_reply("BatchExecuteStatement")
    assert all_won(await table.writes.write_many(claims(rows)), rows)
    assert (table.calls, set(table.versions().values())) == ((0, 2, 3 + 3), {"1"})


async def test_fault_11_a_batch_that_is_throttled_as_a_whole_is_sent_again_as_a_whole(table: Table) -> None:
    rows = table.put_many(2)
    table.aws.faults.fail("BatchExecuteStatement", code="ThrottlingException")
    assert all_won(await table.writes.write_many(claims(rows)), rows)
    assert table.calls == (0, 2, 4)


@pytest.mark.parametrize("whole", [False, True], ids=["cut", "a page of HTML"])
async def test_fault_11_a_broken_reply_is_never_taken_for_a_success(table: Table, *, whole: bool) -> None:
    rows = table.put_many(2)
    faults = table.aws.faults
    broken = faults.garble("BatchExecuteStatement") if whole else faults.truncate("BatchExecuteStatement", times=None)
    effects = [*claims(rows[:1]), Release(replace(rows[1], claim_id="mine"), UNTIL, None)]
    assert [type(result) for result in await table.writes.write_many(effects)] == [Failure, Failure]
    broken.cancel()
    assert all_won(await table.writes.write_many(claims(rows)), rows)


async def test_fault_11_a_batch_that_is_never_answered_ends_in_time(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_writes, "SEND_TIMEOUT_SECONDS", 0.2)
    rows = table.put_many(2)
    with table.aws.faults.never_answer("BatchExecuteStatement"):
        results = await table.writes.write_many(claims(rows))
    assert results == [Failure("TimeoutError: no reply in time")] * 2


async def test_fault_11_a_cloud_without_batches_gets_single_claims(table: Table) -> None:
    rows = table.put_many(30)
    table.aws.faults.fail("BatchExecuteStatement", code="UnknownOperationException", times=None)
    assert all_won(await table.writes.write_many(claims(rows)), rows)
    assert set(await table.writes.write_many([Release(row, UNTIL, None) for row in rows])) == {Lost()}
    assert table.calls == (30 + 30, 2, 25 + 5)


async def test_fault_17_the_right_to_batches_alone_is_missing(table: Table) -> None:
    rows = table.put_many(30)
    table.aws.faults.deny("BatchExecuteStatement")
    assert all_won(await table.writes.write_many(claims(rows)), rows)
    assert set(table.versions().values()) == {"1"}


async def test_fault_17_all_access_is_denied_for_a_time_and_batches_are_used_afterwards(table: Table) -> None:
    rows = table.put_many(2)
    with table.aws.faults.deny("dynamodb:*"):
        results = await table.writes.write_many(claims(rows))
    assert [isinstance(result, Failure) and result.refusal for result in results] == [Refusal.DENIED] * 2
    calls = table.calls
    assert all_won(await table.writes.write_many(claims(rows)), rows)
    assert table.calls == (calls[0], calls[1] + 1, calls[2] + 2)


def held(table: Table, count: int, name: str = "here") -> list[TokenRow]:
    """Put rows that a replica holds."""
    more = {"version": {"N": "1"}, "heldBy": {"S": name}, "attemptCount": {"N": "1"}}
    return [table.put(f"job-{number:02}", claimId={"S": f"mine {number}"}, **more) for number in range(count)]


def renewals(rows: list[TokenRow]) -> list[Write]:
    return [Renew(replace(row, attempt_count=4, unknown_checks=1), UNTIL, "here", NOW) for row in rows]


async def test_fault_56_renewals_that_are_applied_and_their_reply_lost_hold_on(table: Table) -> None:
    rows = held(table, 3)
    table.aws.faults.drop_reply("BatchExecuteStatement")
    assert await table.writes.write_many(renewals(rows)) == [None] * 3
    assert table.calls == (0, 2, 6)
    items = [table.item(row.job_id) for row in rows]
    # The repeat counts once more: nothing asks a held row for the version that it was claimed at.
    assert {item["version"]["N"] for item in items} == {"3"}
    assert {(item["attemptCount"]["N"], item["unknownChecks"]["N"]) for item in items} == {("4", "1")}
    assert {(item["nextPollAt"]["N"], item["heldBy"]["S"]) for item in items} == {(str(UNTIL), "here")}


async def test_fault_56_a_renewal_that_is_lost_says_so_and_changes_nothing(table: Table) -> None:
    rows = held(table, 3)
    taken = claims(rows[1:2], "elsewhere")
    await table.writes.write_many(taken)
    untouched = table.item("job-01")
    table.aws.faults.drop_reply("BatchExecuteStatement")
    assert await table.writes.write_many(renewals(rows)) == [None, Lost(), None]
    assert table.item("job-01") == untouched


async def test_fault_56_of_two_takeovers_one_wins_each_row_and_a_lost_reply_changes_nothing(table: Table) -> None:
    rows = held(table, 4, "gone")
    mine: list[Write] = [Claim(row, f"claim of {row.job_id}", NOW, UNTIL, 0, "here") for row in rows]
    theirs: list[Write] = [Claim(row, "theirs", NOW, UNTIL, 0, "there") for row in rows[2:]]
    await table.writes.write_many(theirs)
    table.aws.faults.drop_reply("BatchExecuteStatement")
    results = await table.writes.write_many(mine)
    assert all_won(results[:2], rows[:2])
    assert results[2:] == [Lost()] * 2
    assert [table.item(row.job_id)["heldBy"]["S"] for row in rows] == ["here", "here", "there", "there"]
    assert set(table.versions().values()) == {"2"}
    # Whoever held them before has lost them.
    assert await table.writes.write_many(renewals(rows)) == [Lost()] * 4


async def test_fault_56_rows_given_free_with_the_reply_lost_are_free_once(table: Table) -> None:
    rows = held(table, 2)
    table.aws.faults.drop_reply("BatchExecuteStatement")
    free: list[Write] = [Renew(row, NOW + 5, None, NOW) for row in rows]
    # The repeat finds rows that nobody holds: to whoever let them go, that is no news.
    assert await table.writes.write_many(free) == [Lost(), Lost()]
    items = [table.item(row.job_id) for row in rows]
    assert [("heldBy" in item, item["nextPollAt"]["N"], item["version"]["N"]) for item in items] == [
        (False, str(NOW + 5), "2")
    ] * 2
