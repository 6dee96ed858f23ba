"""A row that was given a newer token while it was polled: what the older one was told does not end it."""

from scheduler.core.answers import Fail, PendingAnswer
from scheduler.core.effects import Claim, Keep, Lost, Mark, Release
from scheduler.core.row_reader import read_row
from scheduler.core.states import EndState
from scheduler.core.token_row import TokenRow
from tests.contract.conftest import TableUnderTest, waiting_item

NOW = 1_000_000


async def polled(table: TableUnderTest) -> TokenRow:
    """Give a row that a poll has claimed."""
    item = waiting_item(entry={"S": "abc#0"}, dueShard={"N": "0"})
    await table.put(item)
    row = await table.write(Claim(read_row(item), "claim-1", NOW, NOW + 60_000, 0))
    assert isinstance(row, TokenRow)
    return row


async def replace_token(table: TableUnderTest) -> None:
    """Write what create-job writes where the state is tried again."""
    held = dict(await table.get("job-1") or {})
    del held["claimId"]
    await table.put(held | {"taskToken": {"S": "newer"}, "entry": {"S": "abc#1"}, "version": {"N": "2"}})


async def test_a_poll_of_the_older_token_can_write_nothing_more(table: TableUnderTest) -> None:
    row = await polled(table)
    await replace_token(table)
    before = await table.get("job-1")
    for write in (
        Mark(row, EndState.CLOSED, NOW, "TaskTimedOut"),
        Keep(row, PendingAnswer(Fail("JobFailed", "it broke")), NOW + 5, "throttled"),
        Release(row, NOW + 5, None),
    ):
        assert await table.write(write) == Lost()
    assert await table.get("job-1") == before


async def test_a_poll_of_a_token_that_nobody_replaced_ends_its_row(table: TableUnderTest) -> None:
    row = await polled(table)
    assert await table.write(Mark(row, EndState.COMPLETED, NOW)) is None
    assert (await table.get("job-1") or {})["status"] == {"S": "COMPLETED"}
