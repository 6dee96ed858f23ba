"""How waiting goes is told now and then, and once which executions have no token row."""

from dataclasses import dataclass, field

import pytest

from scheduler.aws.workflows import RUNNING, Execution
from scheduler.commands.progress import Progress
from scheduler.errors import CloudError


@dataclass
class Waiting:
    """Executions that are waited for, their rows, the time, and what is told."""

    rows: frozenset[str] | None = frozenset()
    denied: bool = False
    now: float = 100.0
    asked: int = 0
    told: list[str] = field(default_factory=list)

    def progress(self, *arns: str) -> Progress:
        return Progress(arns, self.look_up, "create-it", self.told.append, lambda: self.now)

    async def look_up(self) -> frozenset[str] | None:
        self.asked += 1
        if self.denied:
            message = "access is denied"
            raise CloudError(message)
        return self.rows


def running(arn: str) -> Execution:
    return Execution(arn, RUNNING)


def over(arn: str) -> Execution:
    return Execution(arn, "SUCCEEDED", "SUCCESS")


async def test_how_many_have_ended_is_told_ever_more_seldom() -> None:
    waiting = Waiting(rows=frozenset({"a", "b", "c"}))
    progress = waiting.progress("a", "b", "c")
    at: list[float] = []
    for second in range(300):
        waiting.now = 100.0 + second
        before = len(waiting.told)
        await progress.looked(over("b") if second == 50 else running("a"))
        if len(waiting.told) > before:
            at.append(second)
    assert at == [10, 30, 70, 130, 190, 250]
    assert waiting.told[0] == "0 of 3 executions have ended after 10 s"
    assert waiting.told[2] == "1 of 3 executions have ended after 70 s"
    assert progress.left == 2


async def test_nothing_is_told_once_all_have_ended() -> None:
    waiting = Waiting()
    progress = waiting.progress("a")
    waiting.now += 1_000
    await progress.looked(over("a"))
    assert (waiting.told, waiting.asked, progress.left) == ([], 0, 0)


async def test_an_execution_without_a_row_after_ten_seconds_is_told_once() -> None:
    waiting = Waiting(rows=frozenset({"b"}))
    progress = waiting.progress("a", "b")
    waiting.now += 9.9
    await progress.looked(running("a"))
    assert waiting.told == []
    waiting.now += 0.1
    await progress.looked(running("a"))
    assert waiting.told[0] == ("a has no token row after 10 s: create-it has probably failed, and its log says why")
    waiting.now += 100
    await progress.looked(running("a"))
    assert waiting.asked == 1
    assert not any("token row" in line for line in waiting.told[1:])


async def test_many_without_a_row_are_one_line() -> None:
    waiting = Waiting()
    progress = waiting.progress("a", "b", "c")
    await progress.looked(over("a"))
    waiting.now += 10
    await progress.looked(running("b"))
    assert waiting.told[0].startswith("2 executions, such as b, have no token row after 10 s")


@pytest.mark.parametrize("waiting", [Waiting(rows=None), Waiting(denied=True), Waiting(rows=frozenset({"a", "x"}))])
async def test_nothing_is_said_where_all_have_rows_or_nobody_can_tell(waiting: Waiting) -> None:
    progress = waiting.progress("a")
    waiting.now += 10
    await progress.looked(running("a"))
    assert waiting.told == ["0 of 1 executions have ended after 10 s"]
    assert waiting.asked == 1
