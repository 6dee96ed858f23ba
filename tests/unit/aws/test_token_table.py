"""The token table by its key: reads that are bounded, writes that never raise, and what a probe looks at."""

import asyncio
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import EndpointConnectionError

from scheduler.aws.token_table import Due, TokenTable
from scheduler.core.effects import Claim, Failure, Lost, Mark, Reread
from scheduler.core.instant import parse_iso
from scheduler.core.service_calls import Refusal
from scheduler.core.states import EndState
from scheduler.core.timing import READ_TIMEOUT_SECONDS, SEND_TIMEOUT_SECONDS
from scheduler.core.token_row import TokenRow
from scheduler.errors import CloudError, MissingError
from tests.fake_dynamodb import described, refused
from tests.fakes import FakeTokenTable, row_item, shard_of, token_row
from tests.virtual_time import in_virtual_time, now

NOW = parse_iso("2026-01-01T00:10:00Z")


class TableUnderTest:
    """The product's token table over DynamoDB in memory."""

    def __init__(self, due: Due = "auto", *, indexed: bool = True) -> None:
        fake = FakeTokenTable(indexed=indexed)
        self.client = fake.client
        self.items = fake.items
        self.put = fake.put
        self.table: TokenTable = fake.real(due)


def claim(row: TokenRow) -> Claim:
    return Claim(row, "claim-1", NOW, NOW + 60_000, 0)


# --- writes


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (refused("ThrottlingException"), Refusal.THROTTLED),
        (refused("ResourceNotFoundException"), Refusal.MISSING),
        (refused("AccessDeniedException"), Refusal.DENIED),
        (refused("InternalServerError"), Refusal.UNAVAILABLE),
        (EndpointConnectionError(endpoint_url="u", error="e"), Refusal.UNREACHABLE),
        (aiohttp.ClientPayloadError("cut"), None),
        (TimeoutError(), None),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text"), None),
    ],
    ids=lambda case: type(case).__name__,
)
async def test_no_write_raises_what_the_sdk_raises(error: Exception, refusal: Refusal | None) -> None:
    test = TableUnderTest()
    test.client.fail("update_item", error)
    done = await test.table.write(claim(token_row()))
    assert isinstance(done, Failure)
    assert (done.refusal, done.refused) == (refusal, False)


@in_virtual_time
async def test_a_write_waits_for_its_reply_no_longer_than_the_lease_counts_on() -> None:
    test = TableUnderTest()
    test.client.hold()
    done = await test.table.write(claim(token_row()))
    assert done == Failure("TimeoutError: no reply in time")
    assert now() == SEND_TIMEOUT_SECONDS


async def test_a_write_is_one_conditional_request() -> None:
    test = TableUnderTest()
    test.put(row_item())
    won = await test.table.write(claim(token_row()))
    assert isinstance(won, TokenRow)
    assert await test.table.write(replace(claim(token_row()), claim_id="claim-2")) == Lost()
    assert await test.table.write(Mark(won, EndState.COMPLETED, NOW)) is None
    assert test.items["job-1"]["status"] == {"S": "COMPLETED"}
    assert dict(test.client.calls) == {"update_item": 3}


async def test_many_writes_have_a_result_each_in_their_order() -> None:
    test = TableUnderTest()
    test.put(row_item("b"))

    async def unknown(**_: Any) -> Any:
        code = "UnknownOperationException"
        raise refused(code)

    test.client.batch_execute_statement = unknown  # type: ignore[attr-defined]
    lost, won = await test.table.write_many([claim(token_row("a")), claim(token_row("b"))])
    assert lost == Lost()
    assert isinstance(won, TokenRow)
    assert won.job_id == "b"


# --- reading a held row again


async def test_a_held_row_is_read_again_as_it_is_now() -> None:
    test = TableUnderTest()
    test.put(row_item())
    test.put(row_item("other"))
    won = await test.table.write(claim(token_row()))
    assert isinstance(won, TokenRow)
    test.items["job-1"]["taskToken"] = {"S": "a newer one"}
    found = await test.table.reread(Reread(won))
    assert isinstance(found, TokenRow)
    assert (found.job_id, found.token == won.token) == ("job-1", False)
    test.items["job-1"]["claimId"] = {"S": "somebody else's"}
    assert await test.table.reread(Reread(won)) == Lost()


async def test_a_held_row_that_cannot_be_read_again_is_a_failure_that_says_why() -> None:
    test = TableUnderTest()
    test.client.fail("get_item", refused("AccessDeniedException"))
    failed = await test.table.reread(Reread(token_row()))
    assert isinstance(failed, Failure)
    assert "AccessDeniedException" in failed.error
    assert failed.refusal is Refusal.DENIED


@in_virtual_time
async def test_a_held_row_is_waited_for_no_longer_than_the_lease_counts_on() -> None:
    test = TableUnderTest()
    test.put(row_item())
    test.client.hold()
    assert await test.table.reread(Reread(token_row())) == Failure("table tokens gave no reply in time")
    assert now() == SEND_TIMEOUT_SECONDS


# --- reads


async def test_a_row_is_read_as_it_is_now() -> None:
    test = TableUnderTest()
    test.put(row_item())
    assert await test.table.get("job-1") == row_item()
    assert await test.table.get("nobody") is None
    assert all(asked["ConsistentRead"] for _, asked in test.client.asked)


@pytest.mark.parametrize("read", ["get", "load", "probe", "shape"])
@in_virtual_time
async def test_no_read_waits_for_ever(read: str) -> None:
    test = TableUnderTest()
    test.client.hold()
    reading: Any = {
        "get": lambda: test.table.get("a"),
        "load": lambda: test.table.load(["a"]),
        "probe": test.table.probe,
        "shape": test.table.shape,
    }[read]
    with pytest.raises(CloudError, match="table tokens could not be used: TimeoutError: no reply in time"):
        await reading()
    assert now() == READ_TIMEOUT_SECONDS


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "TableNotFoundException"])
async def test_a_missing_table_is_named_with_the_command_that_makes_it(code: str) -> None:
    test = TableUnderTest()
    test.client.go_down(code)
    for read in (test.table.get("a"), test.table.load(["a"]), test.table.probe()):
        with pytest.raises(MissingError, match=r"^table tokens does not exist; `callback-scheduler deploy` makes it$"):
            await read


async def test_refused_credentials_are_told_with_what_to_set() -> None:
    test = TableUnderTest()
    test.client.go_down("UnrecognizedClientException")
    with pytest.raises(CloudError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role") as it:
        await test.table.get("a")
    assert (it.value.refusal, "\n" in str(it.value)) == (Refusal.CREDENTIALS, False)


# --- reading many


async def test_rows_are_read_in_the_order_they_were_asked_for_and_each_once() -> None:
    test = TableUnderTest()
    for job_id in "abc":
        test.put(row_item(job_id))
    found = await test.table.load(["c", "nobody", "a", "c", "b"])
    assert [item["jobId"]["S"] for item in found] == ["c", "a", "b"]


async def test_a_hundred_rows_are_read_at_once_and_more_one_after_another() -> None:
    test = TableUnderTest()
    ids = [f"job-{number:03}" for number in range(250)]
    for job_id in ids:
        test.put(row_item(job_id))
    assert [item["jobId"]["S"] for item in await test.table.load(ids)] == ids
    sizes = [len(asked["RequestItems"]["tokens"]["Keys"]) for _, asked in test.client.asked]
    assert sizes == [100, 100, 50]
    assert all(asked["RequestItems"]["tokens"]["ConsistentRead"] for _, asked in test.client.asked)


async def test_nothing_is_asked_where_there_is_nothing_to_read() -> None:
    test = TableUnderTest()
    assert await test.table.load([]) == []
    assert test.client.calls["batch_get_item"] == 0


@in_virtual_time
async def test_what_a_batch_leaves_is_asked_for_again_after_a_pause_and_nothing_else() -> None:
    test = TableUnderTest()
    for job_id in "abcdef":
        test.put(row_item(job_id))
    test.client.unprocessed.extend([4, 2, 1])
    found = await test.table.load(list("abcdef"))
    assert [item["jobId"]["S"] for item in found] == list("abcdef")
    asked = [[key["jobId"]["S"] for key in asked["RequestItems"]["tokens"]["Keys"]] for _, asked in test.client.asked]
    assert asked == [list("abcdef"), list("cdef"), list("ef"), ["f"]]
    assert 0 < now() < 0.05 * (1 + 3 + 7)


@in_virtual_time
async def test_a_table_that_keeps_leaving_keys_is_throttled_and_not_asked_for_ever() -> None:
    test = TableUnderTest()
    test.put(row_item("a"))
    test.client.unprocessed.extend([1] * 100)
    with pytest.raises(CloudError, match="it keeps leaving keys unprocessed") as raised:
        await test.table.load(["a"])
    assert (raised.value.refusal, test.client.calls["batch_get_item"]) == (Refusal.THROTTLED, 8)
    assert now() < 12.4


async def test_a_page_of_html_is_no_batch_of_rows() -> None:
    test = TableUnderTest()

    async def html(**_: Any) -> Any:
        return {"ResponseMetadata": {"HTTPHeaders": {"content-type": "text/html"}}}

    test.client.batch_get_item = html  # type: ignore[method-assign]
    with pytest.raises(CloudError, match="the reply is not DynamoDB's own: it has no Responses"):
        await test.table.load(["a"])


# --- tidying


async def test_an_ended_row_that_stands_in_the_index_leaves_it() -> None:
    test = TableUnderTest()
    test.put(row_item(status={"S": "FAILED"}, nextPollAt={"N": "1"}, **shard_of("job-1")))
    await test.table.tidy(test.items["job-1"], EndState.FAILED)
    assert not test.items["job-1"].keys() & {"dueShard", "nextPollAt"}


async def test_an_ended_row_that_is_out_of_the_index_is_not_written() -> None:
    test = TableUnderTest()
    test.put(row_item(status={"S": "FAILED"}))
    await test.table.tidy(test.items["job-1"], EndState.FAILED)
    assert test.client.calls["update_item"] == 0


@pytest.mark.parametrize("name", ["dueShard", "nextPollAt"])
async def test_half_of_what_the_index_holds_is_taken_out_too(name: str) -> None:
    test = TableUnderTest()
    test.put(row_item(status={"S": "FAILED"}, **{name: {"N": "1"}}))
    await test.table.tidy(test.items["job-1"], EndState.FAILED)
    assert name not in test.items["job-1"]


@pytest.mark.parametrize("code", ["ThrottlingException", "ConditionalCheckFailedException"])
async def test_what_could_not_be_tidied_is_left_to_the_next_tick(code: str) -> None:
    test = TableUnderTest()
    test.put(row_item(status={"S": "FAILED"}, nextPollAt={"N": "1"}))
    test.client.fail("update_item", refused(code))
    await test.table.tidy(test.items["job-1"], EndState.FAILED)
    assert "nextPollAt" in test.items["job-1"]


# --- the probe


async def test_a_probe_asks_for_a_row_that_is_no_job_s_and_tells_how_the_table_is_made() -> None:
    test = TableUnderTest()
    shape = await test.table.probe()
    assert (shape.indexed, shape.region, shape.account) == (True, "us-east-1", "000000000000")
    assert [operation for operation, _ in test.client.asked] == ["describe_table", "get_item"]
    assert test.client.asked[1][1]["Key"] == {"jobId": {"S": "callback-scheduler-probe"}}


async def test_a_probe_whose_row_cannot_be_read_names_the_table() -> None:
    test = TableUnderTest()
    test.client.fail("get_item", refused("AccessDeniedException"))
    with pytest.raises(CloudError, match=r"^table tokens could not be used: AccessDeniedException"):
        await test.table.probe()


@pytest.mark.parametrize("due", ["auto", "scan", "index"])
async def test_an_index_that_would_refuse_every_write_is_told_before_the_first(due: Due) -> None:
    test = TableUnderTest(due)
    test.client.table = described()
    test.client.table["GlobalSecondaryIndexes"] += [
        {
            "IndexName": "by-time",
            "IndexStatus": "ACTIVE",
            "KeySchema": [{"AttributeName": "completedAt", "KeyType": "HASH"}],
        }
    ]
    test.client.table["AttributeDefinitions"] += [{"AttributeName": "completedAt", "AttributeType": "N"}]
    with pytest.raises(CloudError) as raised:
        await test.table.probe()
    assert raised.value.reason == "its index by-time has completedAt as N, and polls write it as S"
    assert str(raised.value).startswith(f"table tokens cannot be used: {raised.value.reason} (at http://")


@pytest.mark.parametrize(("due", "raises"), [("auto", False), ("scan", False), ("index", True)])
async def test_a_missing_index_is_an_error_only_where_nothing_else_may_find_rows(due: Due, *, raises: bool) -> None:
    test = TableUnderTest(due, indexed=False)
    if raises:
        with pytest.raises(MissingError, match="index due of table tokens does not exist"):
            await test.table.probe()
    else:
        assert not (await test.table.probe()).indexed


@pytest.mark.parametrize(("due", "raises"), [("auto", True), ("scan", False), ("index", True)])
async def test_the_right_to_look_at_the_table_is_needed_only_where_its_index_is(due: Due, *, raises: bool) -> None:
    test = TableUnderTest(due)
    test.client.fail("describe_table", refused("AccessDeniedException"))
    if raises:
        with pytest.raises(CloudError, match="AccessDeniedException"):
            await test.table.probe()
    else:
        assert not (await test.table.probe()).indexed


@pytest.mark.parametrize("code", ["ThrottlingException", "ExpiredTokenException", "InternalServerError"])
async def test_any_other_refusal_to_describe_the_table_is_one(code: str) -> None:
    test = TableUnderTest("scan")
    test.client.fail("describe_table", refused(code))
    with pytest.raises(CloudError, match=code):
        await test.table.probe()


async def test_a_read_that_is_cancelled_is_no_time_out() -> None:
    test = TableUnderTest()
    test.client.hold()
    reading = asyncio.create_task(test.table.get("a"))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
