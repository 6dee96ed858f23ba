"""Finding due rows: by the index, by a scan that goes on where it was cut, and by the sweep for the rest."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from scheduler.aws.due_finder import MOST_STRAYS, REST_SECONDS, DueFinder, Page
from scheduler.aws.table_shape import TableShape
from scheduler.aws.token_table import Due
from scheduler.core.attributes import from_item
from scheduler.core.instant import parse_iso
from scheduler.core.row_reader import Found, Malformed
from scheduler.core.token_row import due_shard
from scheduler.engine.sweep import sweep_once
from scheduler.errors import CloudError, MissingError
from tests.fake_dynamodb import described, job_ids, refused
from tests.fakes import FakeTokenTable, row_item, shard_of
from tests.unit.conftest import Logs

pytestmark = pytest.mark.usefixtures("logs")

NOW = parse_iso("2026-01-01T00:10:00Z")


class Watch:
    """A monotonic clock that a test moves, in seconds."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


class FinderUnderTest:
    """A finder over DynamoDB in memory."""

    def __init__(self, due: Due = "auto", shards: int = 4, *, indexed: bool = True) -> None:
        self.watch = Watch()
        self.table = FakeTokenTable(shards, indexed=indexed)
        self.client = self.table.client
        self.finder = self.table.finder(due, self.watch)
        self._shards = shards

    def foreign(self, *ids: str, **changes: Any) -> None:
        """Add rows as a foreign creator writes them: no query finds them."""
        for job_id in ids:
            self.table.put(row_item(job_id, **changes))

    def ours(self, *ids: str, **changes: Any) -> None:
        """Add rows of our own that have been due for a while."""
        for job_id in ids:
            more: Any = {"version": {"N": "0"}, "nextPollAt": {"N": "1000"}} | shard_of(job_id, self._shards)
            self.table.put(row_item(job_id, **(more | changes)))

    async def pages(self) -> list[Page]:
        return [page async for page in self.finder.pages(NOW)]

    async def found(self) -> list[str]:
        return [row.job_id for page in await self.pages() for row in page.rows]


async def first(pages: AsyncIterator[Page]) -> Page:
    """Give the first page, and read no other."""
    page = await anext(pages)
    await pages.aclose()  # type: ignore[attr-defined]  # it is a generator
    return page


def of_shard(shard: int, count: int, shards: int = 4) -> list[str]:
    """Give ids of jobs of one shard."""
    ids = (f"job-{number:05}" for number in range(100_000))
    return [job_id for _, job_id in zip(range(count), (i for i in ids if due_shard(i, shards) == shard), strict=False)]


# --- by the index


async def test_the_index_gives_what_is_due_of_every_shard() -> None:
    test = FinderUnderTest("index")
    ids = [f"job-{number}" for number in range(20)]
    test.ours(*ids)
    test.ours("not yet", nextPollAt={"N": str(NOW + 1)})
    assert sorted(await test.found()) == sorted(ids)
    assert (test.client.calls["query"], test.client.calls["scan"]) == (4, 0)


async def test_each_page_says_of_which_shard_it_is() -> None:
    test = FinderUnderTest("index")
    test.ours(*(f"job-{number}" for number in range(20)))
    for page in await test.pages():
        assert {due_shard(row.job_id, 4) for row in page.rows} == {page.shard}
        assert not page.stray


async def test_each_tick_begins_at_another_shard() -> None:
    test = FinderUnderTest("index", shards=4)
    test.ours(*(f"job-{number}" for number in range(20)))
    begun = [(await first(test.finder.pages(NOW))).shard for _ in range(8)]
    assert set(begun[:4]) == {0, 1, 2, 3}
    assert begun[4:] == begun[:4]


def test_replicas_begin_at_other_shards() -> None:
    begun = {FinderUnderTest("index", shards=100).finder._first_shard for _ in range(50)}
    assert len(begun) > 10


async def test_a_shard_that_rests_is_passed_by_for_a_second() -> None:
    test = FinderUnderTest("index")
    test.ours(*(f"job-{number}" for number in range(20)))
    test.finder.rest(2)
    assert test.finder.resting
    assert sorted(page.shard for page in await test.pages() if page.shard is not None) == [0, 1, 3]
    test.watch.at += REST_SECONDS
    assert not test.finder.resting
    assert len({page.shard for page in await test.pages()}) == 4


async def test_the_shards_of_a_backlog_take_turns() -> None:
    test = FinderUnderTest("index", shards=2)
    test.ours(*of_shard(0, 250, 2), *of_shard(1, 250, 2))
    shards = [page.shard for page in await test.pages()]
    assert shards[:4] in ([0, 1, 0, 1], [1, 0, 1, 0])


async def test_the_index_lags_behind_and_the_row_itself_counts() -> None:
    test = FinderUnderTest("index")
    test.ours("polled", "ended", "gone", "due")
    test.client.let_index_lag()
    test.ours("polled", nextPollAt={"N": str(NOW + 60_000)})
    test.foreign("ended", status={"S": "COMPLETED"})
    del test.table.items["gone"]
    assert await test.found() == ["due"]


async def test_a_row_that_somebody_else_ended_leaves_the_index_with_one_write_and_no_more() -> None:
    test = FinderUnderTest("index")
    test.ours("ended", status={"S": "COMPLETED"})
    test.client.let_index_lag()
    for _ in range(3):
        assert await test.found() == []
    row = from_item(test.table.items["ended"])
    assert (row["status"], row["version"]) == ("COMPLETED", 1)
    assert not row.keys() & {"dueShard", "nextPollAt"}
    assert test.client.calls["update_item"] == 1


async def test_a_row_of_a_newer_version_s_state_is_neither_found_nor_written() -> None:
    test = FinderUnderTest("index")
    test.ours("newer", status={"S": "A_STATE_OF_A_NEWER_VERSION"})
    assert await test.found() == []
    assert test.client.calls["update_item"] == 0


async def test_a_long_shard_goes_on_beyond_what_nobody_takes() -> None:
    test = FinderUnderTest("index", shards=1)
    ids = [f"job-{number:03}" for number in range(250)]
    for age, job_id in enumerate(ids):
        test.ours(job_id, nextPollAt={"N": str(1_000 + age)})
    page = await first(test.finder.pages(NOW))
    assert set(ids[:100]) <= set(job_ids(page.rows))
    test.finder.cut(page, [], beyond=True)
    page = await first(test.finder.pages(NOW))
    assert set(ids[100:200]) <= set(job_ids(page.rows))
    assert not set(ids[:100]) & set(job_ids(page.rows))
    assert set(ids[:100]) <= set(await test.found())


async def test_a_query_that_was_merely_cut_begins_with_the_longest_due_again() -> None:
    test = FinderUnderTest("index", shards=1)
    test.ours(*(f"job-{number:03}" for number in range(250)))
    for _ in range(3):
        page = await first(test.finder.pages(NOW))
        assert {f"job-{number:03}" for number in range(100)} <= set(job_ids(page.rows))
        test.finder.cut(page, page.rows[:3], beyond=False)


# --- odd rows


async def test_a_row_whose_time_is_no_whole_number_is_found_like_any_other() -> None:
    test = FinderUnderTest()
    test.ours("odd", nextPollAt={"N": "1760000000123.5"})
    test.ours("plain")
    assert sorted(await test.found()) == ["odd", "plain"]
    (odd,) = [row for page in await test.pages() for row in page.rows if row.job_id == "odd"]
    assert odd.next_poll_at == 1_760_000_000_123


async def test_a_row_that_cannot_be_understood_is_found_as_such() -> None:
    test = FinderUnderTest()
    test.ours("odd", maxAttempts={"S": "ten"})
    ((row,),) = [page.rows for page in await test.pages() if page.rows]
    assert isinstance(row, Malformed)
    assert (row.fault.attribute, row.next_poll_at) == ("maxAttempts", 1_000)


@pytest.mark.parametrize("due", ["index", "scan"])
async def test_a_row_that_breaks_the_reader_itself_is_told_and_hides_no_other(
    due: Due, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours, which no row is known to provoke."""
    test = FinderUnderTest(due)
    test.ours("a", "breaks", "c")

    def broken(item: Any) -> Found:
        if item["jobId"] == {"S": "breaks"}:
            message = "taskToken AQ-breaks"
            raise ZeroDivisionError(message)
        return read_found(item)

    from scheduler.aws import due_finder  # noqa: PLC0415  its name is the one that is replaced
    from scheduler.core.row_reader import read_found  # noqa: PLC0415

    monkeypatch.setattr(due_finder, "read_found", broken)
    assert sorted(await test.found()) == ["a", "c"]
    (line,) = logs()
    assert (line["level"], line["event"], line["job_id"]) == ("error", "row.unreadable", "breaks")
    assert line["error"] == "ZeroDivisionError"
    assert "AQ-" not in str(line)


# --- by a scan


async def test_without_an_index_a_scan_gives_everything_that_is_due() -> None:
    test = FinderUnderTest(indexed=False)
    test.foreign("a", "b")
    test.ours("c")
    test.foreign("ended", status={"S": "COMPLETED"})
    test.foreign("not yet", nextPollAt={"N": str(NOW + 1)})
    assert await test.found() == ["a", "b", "c"]
    assert (test.client.calls["query"], test.client.calls["batch_get_item"]) == (0, 0)


async def test_with_the_setting_a_scan_needs_no_right_to_look_at_the_table() -> None:
    test = FinderUnderTest("scan")
    test.foreign("a")
    assert await test.found() == ["a"]
    assert test.client.calls["describe_table"] == 0


async def test_a_scan_that_was_cut_goes_on_behind_the_last_row_that_was_taken() -> None:
    test = FinderUnderTest("scan")
    test.foreign(*"abcdef")
    page = await first(test.finder.pages(NOW))
    test.finder.cut(page, page.rows[:2], beyond=False)
    assert job_ids((await first(test.finder.pages(NOW))).rows) == list("cdef")


async def test_and_then_from_its_beginning_so_that_every_row_gets_its_turn() -> None:
    test = FinderUnderTest("scan")
    test.foreign(*"abcdef")
    page = await first(test.finder.pages(NOW))
    test.finder.cut(page, page.rows[:2], beyond=False)
    assert await test.found() == list("cdefabcdef")
    assert await test.found() == list("abcdef")


async def test_a_scan_of_which_nothing_was_taken_begins_with_the_same_page_again() -> None:
    test = FinderUnderTest("scan")
    test.client.page_rows = 2
    test.foreign(*"abcdef")
    pages = test.finder.pages(NOW)
    assert job_ids((await anext(pages)).rows) == ["a", "b"]
    page = await anext(pages)
    assert job_ids(page.rows) == ["c", "d"]
    test.finder.cut(page, [], beyond=False)
    assert job_ids((await first(test.finder.pages(NOW))).rows) == ["c", "d"]


async def test_a_scan_goes_on_beyond_a_page_that_nobody_takes() -> None:
    test = FinderUnderTest("scan")
    test.client.page_rows = 2
    test.foreign(*"abcdef")
    seen = []
    for _ in range(4):
        page = await first(test.finder.pages(NOW))
        seen.append("".join(job_ids(page.rows)))
        test.finder.cut(page, [], beyond=True)
    assert seen == ["ab", "cd", "ef", "ab"]


async def test_a_scan_that_is_refused_goes_on_from_there() -> None:
    test = FinderUnderTest("scan")
    test.client.page_rows = 2
    test.foreign(*"abcdef")
    pages = test.finder.pages(NOW)
    assert job_ids((await anext(pages)).rows) == ["a", "b"]
    test.client.fail("scan", refused("ThrottlingException"))
    with pytest.raises(CloudError, match="ThrottlingException"):
        await anext(pages)
    assert job_ids((await first(test.finder.pages(NOW))).rows) == ["c", "d"]


# --- the sweep


async def test_the_sweep_finds_what_no_query_finds_and_ticks_give_it_first_or_last_by_turns() -> None:
    test = FinderUnderTest()
    test.ours("ours")
    test.foreign("a", "b")
    assert await test.found() == ["ours"]
    assert await test.finder.sweep(NOW, 100) == (3, True)
    pages = await test.pages()
    strays = [page for page in pages if page.stray]
    assert [job_ids(page.rows) for page in strays] == [["a", "b"]]
    assert pages[0].stray or pages[-1].stray
    test.finder.give_back(strays[0].rows)
    assert (await test.pages())[0].stray is not pages[0].stray
    assert await test.found() == ["ours"]


async def test_a_sweep_goes_on_from_where_it_ended() -> None:
    test = FinderUnderTest()
    test.foreign(*"abcde")
    assert [await test.finder.sweep(NOW, 2) for _ in range(4)] == [(2, False), (2, False), (1, True), (2, False)]


async def test_a_sweep_that_is_refused_keeps_its_position() -> None:
    test = FinderUnderTest()
    test.foreign(*"abcde")
    await test.finder.sweep(NOW, 2)
    test.client.fail("scan", *[refused("ProvisionedThroughputExceededException")] * 3)
    for _ in range(3):
        with pytest.raises(CloudError, match="ProvisionedThroughputExceededException"):
            await test.finder.sweep(NOW, 2)
    assert await test.finder.sweep(NOW, 2) == (2, False)
    assert await test.found() == list("abcd")


async def test_a_sweep_reads_no_more_of_a_row_than_its_id() -> None:
    test = FinderUnderTest()
    test.foreign("a")
    await test.finder.sweep(NOW, 100)
    (asked,) = [asked for operation, asked in test.client.asked if operation == "scan"]
    assert (asked["ProjectionExpression"], asked["Limit"]) == ("jobId", 100)


async def test_a_sweep_waits_while_ticks_have_not_taken_what_it_found() -> None:
    test = FinderUnderTest()
    test.foreign(*(f"job-{number:04}" for number in range(MOST_STRAYS + 50)))
    await test.finder.sweep(NOW, MOST_STRAYS)
    assert await test.finder.sweep(NOW, 100) == (0, True)
    assert test.client.calls["scan"] == 1
    assert len(await test.found()) == MOST_STRAYS
    assert await test.finder.sweep(NOW, 100) == (50, True)


@pytest.mark.parametrize(("due", "indexed"), [("scan", True), ("index", True), ("auto", False)])
async def test_there_is_nothing_to_sweep_where_every_tick_scans_or_none_may(due: Due, *, indexed: bool) -> None:
    test = FinderUnderTest(due, indexed=indexed)
    test.foreign("a")
    assert await test.finder.sweep(NOW, 100) == (0, True)
    assert test.client.calls["scan"] == 0


async def test_strays_that_were_given_back_come_with_the_next_tick_and_not_with_this_one() -> None:
    test = FinderUnderTest()
    test.foreign(*"abc")
    await sweep_once(test.finder, NOW)
    seen = []
    async for page in test.finder.pages(NOW):
        if page.stray:
            seen.append(job_ids(page.rows))
            assert len(seen) < 5, "the same rows come again and again"
            test.finder.give_back(page.rows[1:])
    assert seen == [["a", "b", "c"]]
    assert await test.found() == ["b", "c"]
    assert await test.found() == []


async def test_strays_that_a_cut_tick_did_not_come_to_are_kept() -> None:
    test = FinderUnderTest()
    test.foreign(*(f"job-{number:03}" for number in range(150)))
    await sweep_once(test.finder, NOW)
    page = await first(test.finder.pages(NOW))
    assert len(page.rows) == 100
    assert len(await test.found()) == 50


async def test_strays_that_could_not_be_read_are_kept() -> None:
    test = FinderUnderTest()
    test.foreign(*"abc")
    await sweep_once(test.finder, NOW)
    test.client.fail("batch_get_item", refused("ThrottlingException"))
    with pytest.raises(CloudError, match="ThrottlingException"):
        await test.found()
    assert await test.found() == ["a", "b", "c"]


async def test_strays_that_somebody_else_took_meanwhile_are_no_more() -> None:
    test = FinderUnderTest()
    test.foreign(*"abc")
    await sweep_once(test.finder, NOW)
    test.ours("a", nextPollAt={"N": str(NOW + 60_000)})
    test.foreign("b", status={"S": "COMPLETED"})
    assert await test.found() == ["c"]


# --- whether there is an index


async def test_it_looks_for_the_index_once_a_minute() -> None:
    test = FinderUnderTest()
    for _ in range(5):
        await test.found()
        test.watch.at += 29
    assert test.client.calls["describe_table"] == 2


async def test_a_probe_tells_it_too() -> None:
    test = FinderUnderTest()
    test.finder.learn(TableShape(indexed=True))
    await test.found()
    assert test.client.calls["describe_table"] == 0


async def test_an_index_that_was_made_meanwhile_is_used_within_a_minute() -> None:
    test = FinderUnderTest(indexed=False)
    test.ours("a")
    await test.found()
    test.client.table = described(indexed=True)
    test.watch.at += 60
    assert await test.found() == ["a"]
    assert (test.client.calls["scan"], test.client.calls["query"]) == (1, 4)


async def test_after_any_refusal_it_looks_at_once_for_it_may_be_the_index_that_has_gone() -> None:
    test = FinderUnderTest()
    test.ours("a")
    await test.found()
    test.client.table = described(indexed=False)
    test.client.fail("query", refused("ValidationException", "The table does not have the specified index: due"))
    with pytest.raises(CloudError, match="does not have the specified index"):
        await test.found()
    assert await test.found() == ["a"]
    assert test.client.calls["scan"] == 1


async def test_with_the_setting_a_missing_index_is_named_and_nothing_is_scanned() -> None:
    test = FinderUnderTest("index", indexed=False)
    with pytest.raises(MissingError, match="index due of table tokens does not exist"):
        await test.found()
    assert test.client.calls["scan"] == 0


async def test_a_page_of_html_is_no_page_of_rows() -> None:
    test = FinderUnderTest("scan")

    async def html(**_: Any) -> Any:
        return {"ResponseMetadata": {"HTTPHeaders": {"content-type": "text/html"}}}

    test.client.scan = html  # type: ignore[method-assign]
    with pytest.raises(CloudError, match="the reply is not DynamoDB's own: it has no Items"):
        await test.found()


def test_it_is_what_the_ticker_wants() -> None:
    from scheduler.engine.sweep import Sweepable  # noqa: PLC0415
    from scheduler.engine.tick import Finder  # noqa: PLC0415

    finder: DueFinder = FinderUnderTest().finder
    both: tuple[Finder, Sweepable] = finder, finder
    assert both
