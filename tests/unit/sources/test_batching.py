"""Checks in batches: what is gathered, who is told what, and who pays for what went wrong."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from scheduler.core.check_replies import Completed, InProgress, NotTogether, Report, Unanswered
from scheduler.core.token import TaskToken
from scheduler.core.token_row import TokenRow
from scheduler.sources import batching as batching_module
from scheduler.sources.batching import GATHER_SECONDS, SPELL_SECONDS, BatchingSource
from tests.fakes import token_row
from tests.unit.conftest import Logs


class Clock:
    """The loop's time: it stands until a test moves it on."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    async def advance(self, seconds: float) -> None:
        """Move on, and let happen what is due by then."""
        self.now += seconds
        await settled()


async def settled() -> None:
    """Let the loop do all that it can do without any time passing."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", clock)
    return clock


def each_in_progress(job_ids: list[str]) -> list[Report]:
    return [Completed({"jobId": job_id}) for job_id in job_ids]


@dataclass
class Jobs:
    """A source that notes how it is asked, and replies as a test says."""

    together: Callable[[list[str]], list[Report] | NotTogether] = each_in_progress
    alone: Callable[[str], Report] = lambda _: InProgress()
    batches: list[list[str]] = field(default_factory=list)
    singles: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    probed: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Replies wait for it."""
    open: bool = True

    async def check_together(self, rows: Sequence[TokenRow]) -> list[Report] | NotTogether:
        job_ids = [row.job_id for row in rows]
        self.batches.append(job_ids)
        await self._passed(job_ids)
        return self.together(job_ids)

    async def check(self, row: TokenRow) -> Report:
        self.singles.append(row.job_id)
        await self._passed([row.job_id])
        return self.alone(row.job_id)

    async def probe(self) -> None:
        self.probed += 1

    async def _passed(self, job_ids: list[str]) -> None:
        try:
            if not self.open:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.given_up += job_ids
            raise


def batching(jobs: Jobs, size: int = 3, check_seconds: float = 10) -> BatchingSource:
    return BatchingSource(jobs, "jobs", size, check_seconds)


def ask(source: BatchingSource, *job_ids: str) -> "list[asyncio.Future[Report]]":
    return [source.check(token_row(job_id)) for job_id in job_ids]


async def given_up(answers: "list[asyncio.Future[Report]]") -> None:
    """Wait until checks are under way, then give them up."""
    await settled()
    for answer in answers:
        answer.cancel()
    await settled()


# --- gathering


@pytest.mark.usefixtures("clock")
async def test_a_full_batch_is_asked_at_once_and_each_check_gets_its_own_report() -> None:
    jobs = Jobs()
    answers = ask(batching(jobs), "a", "b", "c")
    assert await asyncio.gather(*answers) == [Completed({"jobId": job_id}) for job_id in "abc"]
    assert (jobs.batches, jobs.singles) == ([["a", "b", "c"]], [])


async def test_a_batch_that_is_not_full_is_asked_when_its_moment_is_over(clock: Clock) -> None:
    jobs = Jobs()
    source = batching(jobs)
    first = ask(source, "a")
    await clock.advance(GATHER_SECONDS * 0.9)
    second = ask(source, "b")
    assert jobs.batches == []
    await clock.advance(GATHER_SECONDS * 0.11)
    assert jobs.batches == [["a", "b"]]
    assert await asyncio.gather(*first, *second) == [Completed({"jobId": "a"}), Completed({"jobId": "b"})]


async def test_the_next_check_begins_a_batch_of_its_own_with_a_moment_of_its_own(clock: Clock) -> None:
    jobs = Jobs()
    source = batching(jobs, size=2)
    ask(source, "a", "b")
    await clock.advance(GATHER_SECONDS * 0.9)
    ask(source, "c")
    await clock.advance(GATHER_SECONDS * 0.9)
    assert jobs.batches == [["a", "b"]]
    await clock.advance(GATHER_SECONDS * 0.11)
    assert jobs.batches == [["a", "b"], ["c"]]


async def test_gathering_takes_a_tenth_of_a_short_check_time_out_at_most(clock: Clock) -> None:
    jobs = Jobs()
    ask(batching(jobs, check_seconds=0.1), "a")
    await clock.advance(0.011)
    assert jobs.batches == [["a"]]


@pytest.mark.usefixtures("clock")
async def test_many_batches_are_under_way_at_once() -> None:
    jobs = Jobs(open=False)
    answers = ask(batching(jobs, size=2), "a", "b", "c", "d")
    await settled()
    assert jobs.batches == [["a", "b"], ["c", "d"]]
    jobs.gate.set()
    assert len(await asyncio.gather(*answers)) == 4


async def test_the_source_itself_is_what_is_probed() -> None:
    jobs = Jobs()
    await batching(jobs).probe()
    assert jobs.probed == 1


# --- deadlines: the caller's own


async def test_a_check_that_is_given_up_while_its_batch_gathers_is_not_asked_for(clock: Clock) -> None:
    jobs = Jobs()
    (first, second) = ask(batching(jobs), "a", "b")
    first.cancel()
    await clock.advance(GATHER_SECONDS)
    assert jobs.batches == [["b"]]
    assert await second == Completed({"jobId": "b"})


async def test_where_all_are_given_up_while_the_batch_gathers_nobody_is_asked(clock: Clock) -> None:
    jobs = Jobs()
    source = batching(jobs)
    for answer in ask(source, "a", "b"):
        answer.cancel()
    await clock.advance(GATHER_SECONDS)
    assert jobs.batches == []
    ask(source, "c")
    await clock.advance(GATHER_SECONDS)
    assert jobs.batches == [["c"]]


@pytest.mark.usefixtures("clock")
async def test_where_all_are_given_up_as_the_batch_is_sent_nobody_is_asked() -> None:
    jobs = Jobs()
    for answer in ask(batching(jobs, size=2), "a", "b"):
        answer.cancel()
    await settled()
    assert jobs.batches == []


@pytest.mark.usefixtures("clock")
async def test_a_check_that_is_given_up_under_way_takes_no_other_with_it() -> None:
    jobs = Jobs(open=False)
    (first, second) = ask(batching(jobs, size=2), "a", "b")
    await settled()
    first.cancel()
    await settled()
    assert jobs.given_up == []
    jobs.gate.set()
    assert await second == Completed({"jobId": "b"})


@pytest.mark.usefixtures("clock")
async def test_a_batch_for_which_nobody_waits_any_more_is_let_go() -> None:
    jobs = Jobs(open=False)
    await given_up(ask(batching(jobs, size=2), "a", "b"))
    assert jobs.given_up == ["a", "b"]


async def test_the_time_out_of_whoever_waits_runs_while_the_batch_gathers(clock: Clock) -> None:
    jobs = Jobs(open=False)
    source = batching(jobs)

    async def within_a_second() -> None:
        async with asyncio.timeout(1):
            await source.check(token_row("a"))

    waiting = asyncio.create_task(within_a_second())
    await settled()
    await clock.advance(GATHER_SECONDS)
    await clock.advance(1 - 2 * GATHER_SECONDS)
    assert (jobs.batches, waiting.done()) == ([["a"]], False)
    await clock.advance(GATHER_SECONDS)
    with pytest.raises(TimeoutError):
        await waiting
    assert jobs.given_up == ["a"]


# --- replies that say nothing of any job


async def test_where_a_batch_cannot_be_read_each_job_is_asked_for_by_itself(logs: Logs, clock: Clock) -> None:
    jobs = Jobs(together=lambda _: NotTogether("two results for three"))
    jobs.alone = lambda job_id: Unanswered("odd") if job_id == "b" else InProgress()
    answers = ask(batching(jobs), "a", "b", "c")
    assert await asyncio.gather(*answers) == [InProgress(), Unanswered("odd"), InProgress()]
    assert (jobs.batches, jobs.singles) == ([["a", "b", "c"]], ["a", "b", "c"])
    (line,) = logs()
    assert (line["level"], line["event"]) == ("warning", "source.asked_one_by_one")
    assert (line["source"], line["jobs"], line["error"]) == ("jobs", 3, "two results for three")
    assert clock.now == 1_000


async def test_it_is_told_once_a_spell(logs: Logs, clock: Clock) -> None:
    jobs = Jobs(together=lambda _: NotTogether("so"))
    source = batching(jobs, size=1)
    for _ in range(3):
        ask(source, "a")
        await settled()
        await clock.advance(SPELL_SECONDS)
    assert len(logs()) == 1
    await clock.advance(1)
    ask(source, "a")
    await settled()
    assert len(logs()) == 2


@pytest.mark.usefixtures("clock")
async def test_no_token_is_told_with_it(logs: Logs) -> None:
    jobs = Jobs(together=lambda _: NotTogether("the source raised KeyError: AQ-canary-of-a, AQ-canary-of-b"))
    source = batching(jobs, size=2)
    for job_id in ("a", "b"):
        source.check(token_row(job_id, token=TaskToken(f"AQ-canary-of-{job_id}")))
    await settled()
    assert logs()
    assert "canary" not in str(logs())


@pytest.mark.usefixtures("clock")
async def test_a_job_that_is_asked_for_by_itself_can_be_given_up_by_itself(logs: Logs) -> None:
    jobs = Jobs(together=lambda _: NotTogether("so"))
    (first, second) = ask(batching(jobs, size=2), "a", "b")
    jobs.together = lambda _: shut(jobs)
    await settled()
    first.cancel()
    await settled()
    assert jobs.given_up == ["a"]
    jobs.gate.set()
    assert await second == InProgress()
    assert logs()


def shut(jobs: Jobs) -> NotTogether:
    jobs.open = False
    return NotTogether("so")


@pytest.mark.usefixtures("clock")
async def test_a_fault_of_ours_is_told_to_each_that_waits() -> None:
    def broken(_: object) -> list[Report]:
        message = "a fault of ours"
        raise RuntimeError(message)

    jobs = Jobs(together=broken)
    answers = ask(batching(jobs, size=2), "a", "b")
    assert [str(error) for error in await asyncio.gather(*answers, return_exceptions=True)] == ["a fault of ours"] * 2


@pytest.mark.usefixtures("clock", "logs")
async def test_a_fault_of_ours_with_one_job_is_told_to_this_one() -> None:
    jobs = Jobs(together=lambda _: NotTogether("so"), alone=lambda job_id: {"b": InProgress()}[job_id])
    answers = ask(batching(jobs, size=2), "a", "b")
    first, second = await asyncio.gather(*answers, return_exceptions=True)
    assert (type(first), second) == (KeyError, InProgress())


# --- jobs over which the source hangs or raises


@pytest.mark.usefixtures("clock")
async def test_jobs_of_a_batch_that_hung_are_asked_for_by_themselves_until_they_are_told_of() -> None:
    jobs = Jobs(open=False)
    source = batching(jobs, size=2)
    await given_up(ask(source, "a", "b"))
    await given_up(ask(source, "a", "b"))
    assert (jobs.batches, jobs.singles, jobs.given_up) == ([["a", "b"]], [*"ab"], [*"abab"])
    jobs.open = True
    jobs.alone = lambda job_id: Unanswered("it sleeps") if job_id == "b" else InProgress()
    await asyncio.gather(*ask(source, "a", "b"))
    assert (jobs.batches, jobs.singles) == ([["a", "b"]], [*"abab"])
    await asyncio.gather(*ask(source, "a", "b", "c"))
    assert (jobs.batches, jobs.singles) == ([["a", "b"], ["a", "c"]], [*"ababb"])


@pytest.mark.usefixtures("clock", "logs")
async def test_of_a_batch_that_raised_only_the_job_that_raises_alone_too_is_kept_apart() -> None:
    jobs = Jobs(together=lambda _: NotTogether("so"))
    jobs.alone = lambda job_id: Unanswered("raised") if job_id == "a" else InProgress()
    source = batching(jobs, size=2)
    await asyncio.gather(*ask(source, "a", "b"))
    jobs.together = each_in_progress
    await asyncio.gather(*ask(source, "a", "b", "c"))
    assert jobs.batches == [["a", "b"], ["b", "c"]]
    assert jobs.singles == ["a", "b", "a"]


@pytest.mark.usefixtures("clock")
async def test_no_more_than_so_many_jobs_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching_module, "_MOST_APART", 2)
    jobs = Jobs(open=False)
    source = batching(jobs, size=3)
    await given_up(ask(source, "a", "b", "c"))
    jobs.open = True
    await asyncio.gather(*ask(source, "b", "c"))
    ask(source, "a", "x", "y")
    await settled()
    assert (jobs.batches[1:], jobs.singles) == ([["a", "x", "y"]], ["b", "c"])
