"""How many writes go to the cloud: in how many calls, how many at once, and what is learned where it takes none."""

import asyncio
import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from scheduler.aws import batch_writes
from scheduler.aws.batch_writes import CALLS_AT_ONCE, DENIED_SECONDS, SINGLES_AT_ONCE, BatchWrites
from scheduler.aws.clients import WithDynamoDB
from scheduler.core.effects import Claim, Failure, Lost, Release, Write
from scheduler.core.row_writes import Written
from scheduler.core.service_calls import Refusal
from scheduler.core.token_row import TokenRow
from tests.fakes import FakeTokenTable, row_item, token_row
from tests.unit.conftest import Logs
from tests.unit.lambdas.lambda_fakes import client_error

NOW = 1_000_000
Statements = list[dict[str, Any]]
ILL_FORMED = "Statement wasn't well formed, can't be processed: Expected data manipulation"
UNKNOWN = [
    client_error("UnknownOperationException", "no such operation"),
    client_error("InvalidAction", "no such action"),
    client_error("NotImplemented", "not yet"),
    ClientError({"Error": {"Code": "InternalFailure"}, "ResponseMetadata": {"HTTPStatusCode": 501}}, "x"),  # type: ignore[typeddict-item]
    client_error("ValidationException", "PartiQL is not supported"),
    client_error("ValidationException", ILL_FORMED),
]
DENIED = client_error("AccessDeniedException", "not authorized to perform: dynamodb:PartiQLUpdate")


class Cloud:
    """DynamoDB, as far as batches go: each call takes its next line, and the last line stays.

    A line is an error to raise, or gives the responses to a call's statements.
    """

    def __init__(self, *lines: Exception | Callable[[Statements], Statements]) -> None:
        self.lines = list(lines)
        self.calls: list[list[str]] = []
        self.in_flight = self.most_in_flight = 0

    async def batch_execute_statement(self, *, Statements: Statements) -> dict[str, Any]:  # noqa: N803  the SDK's name
        self.calls.append([job_id(statement) for statement in Statements])
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        if isinstance(line, Exception):
            raise line
        return {"Responses": line(Statements)}


def job_id(statement: dict[str, Any]) -> str:
    """Give the id of a statement's job: the value before that of the status."""
    values = statement["Parameters"]
    found: str = values[values.index({"S": "POLLING"}) - 1]["S"]
    return found


def won(statements: Statements) -> Statements:
    return [{"Item": row_item(job_id(statement), version={"N": "1"})} for statement in statements]


def refused(code: str, *job_ids: str, message: str = "as the test asked for") -> Callable[[Statements], Statements]:
    """Refuse the statements of some jobs, or of all."""

    def responses(statements: Statements) -> Statements:
        error = {"Error": {"Code": code, "Message": message}}
        names = job_ids or [job_id(statement) for statement in statements]
        return [
            error if job_id(statement) in names else response
            for statement, response in zip(statements, won(statements), strict=True)
        ]

    return responses


class Singles:
    """Single writes into a table in memory, and how many of them go on at once."""

    def __init__(self, jobs: int = 0) -> None:
        self.table = FakeTokenTable()
        for number in range(jobs):
            self.table.put(row_item(f"job-{number}"))
        self.in_flight = self.most_in_flight = 0

    async def write(self, effect: Write) -> Written:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        return await self.table.write(effect)

    @property
    def job_ids(self) -> list[str]:
        return [effect.row.job_id for effect in self.table.writes if isinstance(effect, Claim | Release)]


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def claims(count: int) -> list[Write]:
    return [Claim(token_row(f"job-{number}"), f"claim-{number}", NOW, NOW + 60_000, 0) for number in range(count)]


def writes(cloud: Cloud, singles: Singles, time: Time | None = None) -> BatchWrites:
    clients = cast("WithDynamoDB", SimpleNamespace(dynamodb=cloud))
    return BatchWrites(clients, "tokens", singles.write, (time or Time()).monotonic)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_writes, "SEND_PAUSES_SECONDS", (0.0, 0.0))


def lines(logs: Logs) -> list[dict[str, Any]]:
    return [line for line in logs() if line["event"] == "table.no_batches"]


def all_won(results: Sequence[Written]) -> bool:
    return [result.job_id if isinstance(result, TokenRow) else result for result in results] == [
        f"job-{number}" for number in range(len(results))
    ]


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (25, [25]), (26, [25, 1]), (60, [25, 25, 10])])
async def test_25_go_in_a_call_and_results_keep_the_order(count: int, sizes: list[int], logs: Logs) -> None:
    cloud, singles = Cloud(won), Singles()
    assert all_won(await writes(cloud, singles).write(claims(count)))
    assert sorted(map(len, cloud.calls), reverse=True) == sizes
    assert (singles.job_ids, lines(logs)) == ([], [])


async def test_some_calls_go_on_at_once_and_no_more() -> None:
    cloud = Cloud(won)
    assert all_won(await writes(cloud, Singles()).write(claims(25 * 3 * CALLS_AT_ONCE)))
    assert cloud.most_in_flight == CALLS_AT_ONCE == 8


async def test_some_single_writes_go_on_at_once_and_no_more() -> None:
    cloud, singles = Cloud(UNKNOWN[0]), Singles(100)
    assert all_won(await writes(cloud, singles).write(claims(100)))
    assert singles.most_in_flight == SINGLES_AT_ONCE == 16


async def test_two_effects_of_one_job_are_never_in_one_call() -> None:
    effects = claims(3)
    row = token_row("job-1", version=1, claim_id="claim-1")
    cloud = Cloud(won)
    await writes(cloud, Singles()).write([*effects, Release(row, NOW, None), Release(row, NOW, "again"), effects[0]])
    assert cloud.calls == [["job-0", "job-1", "job-2"], ["job-1", "job-0"], ["job-1"]]


@pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded", "InternalServerError"])
async def test_only_what_was_refused_for_the_moment_is_sent_again(code: str) -> None:
    cloud = Cloud(refused(code, "job-1", "job-3"), refused(code, "job-3"), won)
    assert all_won(await writes(cloud, Singles()).write(claims(5)))
    assert cloud.calls == [[f"job-{number}" for number in range(5)], ["job-1", "job-3"], ["job-3"]]


async def test_a_statement_is_sent_three_times_at_most() -> None:
    cloud, singles = Cloud(refused("ThrottlingError", "job-1")), Singles()
    first, second, third = await writes(cloud, singles).write(claims(3))
    assert (len(cloud.calls), singles.job_ids) == (3, [])
    assert isinstance(first, TokenRow)
    assert second == Failure("ThrottlingException: as the test asked for", refusal=Refusal.THROTTLED)
    assert isinstance(third, TokenRow)


@pytest.mark.parametrize("code", ["ConditionalCheckFailed", "TransactionConflict", "ResourceNotFound"])
async def test_what_is_no_matter_of_the_moment_is_not_sent_again(code: str) -> None:
    cloud, singles = Cloud(refused(code, "job-1")), Singles()
    results = await writes(cloud, singles).write(claims(2))
    assert (len(cloud.calls), singles.job_ids) == (1, [])
    missing = Failure("ResourceNotFoundException: as the test asked for", refusal=Refusal.MISSING)
    assert results[1] == (missing if code == "ResourceNotFound" else Lost())


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerError"])
async def test_a_call_that_is_refused_as_a_whole_is_the_sdk_s_to_repeat(code: str) -> None:
    cloud, singles = Cloud(client_error(code, "slow down")), Singles()
    results = await writes(cloud, singles).write(claims(2))
    assert (len(cloud.calls), singles.job_ids) == (1, [])
    assert [isinstance(result, Failure) and result.error for result in results] == [f"{code}: slow down"] * 2


async def test_pauses_have_full_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(batch_writes, "SEND_PAUSES_SECONDS", (0.2, 0.8))
    monkeypatch.setattr("random.random", lambda: 0.5)
    monkeypatch.setattr("asyncio.sleep", sleep)
    await writes(Cloud(refused("ThrottlingError")), Singles()).write(claims(1))
    assert [seconds for seconds in slept if seconds] == [0.1, 0.4]


@pytest.mark.parametrize("error", UNKNOWN, ids=str)
async def test_a_cloud_that_knows_no_batches_gets_single_writes_for_good_and_one_line_says_so(
    error: Exception, logs: Logs
) -> None:
    cloud, singles, time = Cloud(error), Singles(60), Time()
    many = writes(cloud, singles, time)
    assert all_won(await many.write(claims(60)))
    calls = len(cloud.calls)
    time.now = math.nextafter(math.inf, 0)
    again = await many.write(claims(60))
    assert (len(cloud.calls), len(singles.job_ids)) == (calls, 120)
    assert all_won(again)  # by their own claim ids
    (line,) = lines(logs)
    assert (line["level"], line["table"]) == ("info", "tokens")
    assert "needed" not in line


@pytest.mark.parametrize(
    "line",
    [
        refused("ValidationError", message=ILL_FORMED),
        refused("ValidationError", message="RETURNING is not supported in a batch"),
        lambda statements: [{} for _ in statements],
    ],
)
async def test_a_cloud_that_does_not_understand_the_statements_gets_single_writes_for_good(
    line: Any, logs: Logs
) -> None:
    cloud, singles = Cloud(line), Singles(2)
    many = writes(cloud, singles)
    assert all_won(await many.write(claims(2)))
    assert all_won(await many.write(claims(2)))
    assert (len(cloud.calls), len(lines(logs))) == (1, 1)


async def test_where_batches_alone_are_denied_one_warning_names_the_right(logs: Logs) -> None:
    cloud, singles, time = Cloud(DENIED), Singles(60), Time()
    many = writes(cloud, singles, time)
    assert all_won(await many.write(claims(60)))
    calls = len(cloud.calls)
    time.now = DENIED_SECONDS - 1
    assert all_won(await many.write(claims(60)))
    assert len(cloud.calls) == calls
    time.now = DENIED_SECONDS
    assert all_won(await many.write(claims(2)))  # one is tried again, and nothing is said a second time
    assert len(cloud.calls) == calls + 1
    (line,) = lines(logs)
    assert (line["level"], line["needed"]) == ("warning", "dynamodb:PartiQLUpdate")
    assert "dynamodb:PartiQLUpdate" in line["error"]


async def test_a_right_that_is_given_later_is_used_and_one_that_is_taken_again_is_told_again(logs: Logs) -> None:
    cloud, singles, time = Cloud(DENIED, won, DENIED), Singles(2), Time()
    many = writes(cloud, singles, time)
    await many.write(claims(2))
    time.now += DENIED_SECONDS
    await many.write(claims(2))
    assert (len(cloud.calls), len(singles.job_ids)) == (2, 2)
    await many.write(claims(2))
    assert (len(cloud.calls), len(singles.job_ids), len(lines(logs))) == (3, 4, 2)


async def test_statements_that_are_denied_are_written_alone_and_no_others() -> None:
    cloud, singles = Cloud(refused("AccessDenied", "job-1")), Singles(3)
    assert all_won(await writes(cloud, singles).write(claims(3)))
    assert singles.job_ids == ["job-1"]


async def test_a_statement_that_is_denied_when_it_is_sent_again_is_written_alone() -> None:
    cloud, singles = Cloud(refused("ThrottlingError", "job-1"), refused("AccessDenied")), Singles(3)
    assert all_won(await writes(cloud, singles).write(claims(3)))
    assert singles.job_ids == ["job-1"]


async def test_what_is_not_known_stays_unknown_whatever_else_is_denied() -> None:
    def line(statements: Statements) -> Statements:
        codes = (("AccessDenied", "no"), ("ValidationError", ILL_FORMED))
        return [
            {"Error": {"Code": code, "Message": message}} for _, (code, message) in zip(statements, codes, strict=True)
        ]

    cloud, singles, time = Cloud(line), Singles(2), Time()
    many = writes(cloud, singles, time)
    assert all_won(await many.write(claims(2)))
    time.now += 2 * DENIED_SECONDS
    assert all_won(await many.write(claims(2)))
    assert len(cloud.calls) == 1


@pytest.mark.parametrize("line", [DENIED, refused("AccessDenied")])
async def test_where_everything_is_denied_nothing_is_said_of_batches(line: Any, logs: Logs) -> None:
    cloud, singles = Cloud(line, won), Singles(2)
    singles.table.fail_next_writes(2, "AccessDeniedException")
    many = writes(cloud, singles)
    results = await many.write(claims(2))
    assert [isinstance(result, Failure) and result.refusal for result in results] == [Refusal.DENIED] * 2
    assert all_won(await many.write(claims(2)))
    assert (len(cloud.calls), lines(logs)) == (2, [])


@pytest.mark.parametrize(
    "error",
    [
        client_error("ValidationException", "DynamoDB only supports precision up to 38 digits"),
        ParamValidationError(report="Invalid type for parameter"),
    ],
    ids=str,
)
async def test_one_effect_that_spoils_its_batch_spoils_no_other_one(error: Exception, logs: Logs) -> None:
    cloud, singles = Cloud(error, won), Singles(3)
    singles.table.put(row_item("job-1", attemptCount={"N": "9"}))
    many = writes(cloud, singles)
    first, second, third = await many.write(claims(3))
    assert isinstance(first, TokenRow)
    assert second == Lost()
    assert isinstance(third, TokenRow)
    await many.write(claims(3))
    assert (len(cloud.calls), len(singles.job_ids), lines(logs)) == (2, 3, [])


async def test_a_call_that_is_never_answered_ends_in_the_time_of_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_writes, "SEND_TIMEOUT_SECONDS", 0.05)

    class Hanging(Cloud):
        async def batch_execute_statement(self, *, Statements: Statements) -> dict[str, Any]:  # noqa: N803
            if self.calls:
                await asyncio.Event().wait()
            return await super().batch_execute_statement(Statements=Statements)

    cloud = Hanging(refused("ThrottlingError", "job-1"))
    many = writes(cloud, Singles())
    loop = asyncio.get_running_loop()
    started = loop.time()
    first, second = await many.write(claims(2))
    assert isinstance(first, TokenRow)
    assert second == Failure("ThrottlingException: as the test asked for", refusal=Refusal.THROTTLED)
    assert await many.write(claims(2)) == [Failure("TimeoutError: no reply in time")] * 2
    assert loop.time() - started < 2  # and not the 4 s of the daemon


async def test_no_line_shows_a_token(logs: Logs) -> None:
    shown = "AQ-job-0 and AQ-job-1"  # the tokens of both rows
    for error in (client_error("UnknownOperationException", shown), client_error("AccessDeniedException", shown)):
        await writes(Cloud(error), Singles(2)).write(claims(2))
    assert len(lines(logs)) == 2
    assert "AQ-job" not in str(logs())
