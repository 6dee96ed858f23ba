"""Many writes at once have the conditions and the meaning of single ones, on the fake and on real tables."""

import math
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from scheduler.aws.clients import AdminClients, admin_clients
from scheduler.aws.deploy_tables import deploy_table
from scheduler.aws.token_table import TokenTable
from scheduler.core.answers import Fail, PendingAnswer
from scheduler.core.effects import Claim, Failure, Keep, Lost, Mark, Quarantine, Release, Renew, Write
from scheduler.core.row_reader import MalformedRowError, read_row
from scheduler.core.states import EndState
from scheduler.core.token_row import TokenRow, due_shard
from tests.contract.conftest import SHARDS, foreign_item, use_endpoint, waiting_item
from tests.fakes import FakeTokenTable

NOW = 1_000_000
UNTIL = NOW + 60_000
Table = TokenTable | FakeTokenTable
Put = Callable[[Table, dict[str, Any]], Any]
BACKENDS = ["fake", "ministack", "dynamodb_local"]


@dataclass(frozen=True)
class Tables:
    """Two tables of one cloud: in one, effects are performed alone, and in the other in batches."""

    alone: Table
    together: Table
    put: Put


async def _put_into_a_fake(table: Any, item: dict[str, Any]) -> None:
    table.put(item)


async def _real(clients: AdminClients) -> TokenTable:
    name = f"tokens-{uuid.uuid4().hex}"
    await deploy_table(clients, name, indexed=True)
    return TokenTable(clients, name, "auto")


@pytest.fixture(params=BACKENDS)
async def tables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tables]:
    if request.param == "fake":
        yield Tables(FakeTokenTable(SHARDS), FakeTokenTable(SHARDS), _put_into_a_fake)
        return
    use_endpoint(monkeypatch, request.getfixturevalue(request.param))
    async with admin_clients() as clients:

        async def put(table: Table, item: dict[str, Any]) -> None:
            await clients.dynamodb.put_item(TableName=table.name, Item=item)

        alone, together = await _real(clients), await _real(clients)
        yield Tables(alone, together, put)
        assert together._batches._alone_until == -math.inf  # they were batches
        for table in (alone, together):
            await clients.dynamodb.delete_table(TableName=table.name)


def held_item(job_id: str = "job-1", **more: Any) -> dict[str, Any]:
    """Give a row as a claim of `mine` has left it."""
    left = {"version": {"N": "5"}, "claimId": {"S": "mine"}, "attemptCount": {"N": "1"}, "heldBy": {"S": "here"}}
    return waiting_item(job_id, dueShard={"N": "0"}, **(left | more))


def claim(item: dict[str, Any], claim_id: str = "mine", held_by: str | None = None) -> Claim:
    row = read_row(item)
    return Claim(row, claim_id, NOW, UNTIL, due_shard(row.job_id, SHARDS), held_by)


def renew(item: dict[str, Any], held_by: str | None = "here", **memory: Any) -> Renew:
    return Renew(replace(read_row(item), **memory), UNTIL, held_by, NOW)


def release(item: dict[str, Any], error: str | None = None, **more: Any) -> Release:
    return Release(read_row(item), UNTIL, error, **more)


OURS, FOREIGN, HELD = waiting_item(), foreign_item(), held_item()
KEPT = {"M": {"tries": {"N": "1"}, "output": {"S": "{}"}}}
LARGE = held_item(note={"S": "x" * 409_000})
CASES: dict[str, tuple[dict[str, Any] | None, Write]] = {
    # What the table holds (None: nothing that waits), and what is done.
    "claim of ours": (OURS, claim(OURS)),
    "claim of a foreign row": (FOREIGN, claim(FOREIGN)),
    "claim for a replica": (OURS, claim(OURS, held_by="here")),
    "claim with an answer kept": (OURS | {"pendingAnswer": KEPT}, claim(OURS | {"pendingAnswer": KEPT})),
    "claim of a row that a person took back": (OURS | {"purgeAt": {"N": "7"}, "completedAt": {"S": "x"}}, claim(OURS)),
    "claim lost to another": (OURS | {"version": {"N": "1"}, "claimId": {"S": "theirs"}}, claim(OURS)),
    "claim of a foreign row lost to another": (OURS | {"version": {"N": "1"}}, claim(FOREIGN)),
    "claim of a foreign row that was polled": (FOREIGN | {"attemptCount": {"N": "1"}}, claim(FOREIGN)),
    "claim of a row that ended": (OURS | {"status": {"S": "CLOSED"}}, claim(OURS)),
    "claim of a row that has gone": (None, claim(OURS)),
    "claim whose reply was lost": (HELD, claim(OURS)),
    "claim whose reply was lost, of a row that ended": (HELD | {"status": {"S": "CLOSED"}}, claim(OURS)),
    "claim of a row that is malformed now": (OURS | {"maxAttempts": {"S": "ten"}}, claim(OURS)),
    "claim of a number written otherwise": (OURS | {"version": {"N": "0.0"}}, claim(OURS)),
    "takeover": (HELD, claim(HELD, "other", "elsewhere")),
    "takeover that came second": (HELD | {"version": {"N": "6"}}, claim(HELD, "other", "elsewhere")),
    "renewal": (HELD, renew(HELD, attempt_count=7, unknown_checks=2, last_error="no paper")),
    "renewal whose reply was lost": (HELD | {"version": {"N": "6"}, "nextPollAt": {"N": str(UNTIL)}}, renew(HELD)),
    "renewal that gives free": (HELD, renew(HELD, None)),
    "renewal that is lost": (HELD | {"claimId": {"S": "theirs"}}, renew(HELD)),
    "renewal of a row that ended": (HELD | {"status": {"S": "FAILED"}}, renew(HELD)),
    "renewal of a row that has gone": (None, renew(HELD)),
    "release": (HELD, release(HELD)),
    "release with all there is to note": (HELD, release(HELD, "no reply", unknown_checks=3, unspent=True)),
    "release that is lost": (HELD | {"claimId": {"S": "theirs"}}, release(HELD)),
    "release of a row without a claim": ({k: v for k, v in HELD.items() if k != "claimId"}, release(HELD)),
    "release of a row that lost its version": ({k: v for k, v in HELD.items() if k != "version"}, release(HELD)),
    "release of a row that is full": (LARGE, release(LARGE, "e" * 1_000)),
}


def told(result: Any) -> Any:
    """Give a result in a form that can be compared; the errors of clouds say the same in other words."""
    match result:
        case MalformedRowError():
            return str(result)
        case Failure():
            return (result.refused, result.refusal)
    return result


async def test_an_effect_in_a_batch_is_what_it_is_alone(tables: Tables) -> None:
    alone: dict[str, Any] = {}
    together: dict[str, Any] = {}
    kinds: dict[str, set[str]] = {}
    bystander = waiting_item("other")
    for case, (item, effect) in CASES.items():
        for table in (tables.alone, tables.together):
            await tables.put(table, item or {"jobId": {"S": "job-1"}})
        await tables.put(tables.together, bystander)
        single = await tables.alone.write(effect)
        # Never by itself: another one in the same batch fares as it would, too.
        result, beside = await tables.together.write_many([effect, claim(bystander)])
        assert isinstance(beside, TokenRow)
        alone[case] = (told(single), await tables.alone.get("job-1"))
        together[case] = (told(result), await tables.together.get("job-1"))
        kinds.setdefault(type(result).__name__, set()).add(case)
    assert together == alone
    # Or two equal refusals would pass for two equal successes.
    lost = ("lost to", "was polled", "ended", "has gone", "second", "is lost", "without a claim")
    assert kinds["Lost"] == {case for case in CASES if any(words in case for words in lost)}
    assert kinds["MalformedRowError"] == {"claim of a row that is malformed now"}
    assert kinds["Failure"] == {"release of a row that is full"}


async def test_no_effect_makes_a_row_that_is_not_there(tables: Tables) -> None:
    gone: list[Write] = [
        claim(foreign_item("a")),
        claim(waiting_item("b")),
        renew(held_item("c")),
        release(held_item("d")),
    ]
    assert await tables.together.write_many(gone) == [Lost()] * 4
    assert [await tables.together.get(job_id) for job_id in "abcd"] == [None] * 4


async def test_of_many_effects_each_has_its_own_result_in_order(tables: Tables) -> None:
    items = [waiting_item(f"job-{number:03}") for number in range(60)]
    effects: list[Write] = [claim(item, held_by="here") for item in items]
    for number, item in enumerate(items):
        changed = {
            7: {"version": {"N": "3"}},  # somebody else was quicker
            30: {"maxAttempts": {"S": "ten"}},  # and somebody else broke a row
            59: {"status": {"S": "COMPLETED"}},
        }.get(number, {})
        await tables.put(tables.together, item | changed)
    results = await tables.together.write_many(effects)
    assert [number for number, result in enumerate(results) if result == Lost()] == [7, 59]
    assert isinstance(results[30], MalformedRowError)
    won = {number: result for number, result in enumerate(results) if isinstance(result, TokenRow)}
    assert {number: (row.job_id, row.version, row.held_by) for number, row in won.items()} == {
        number: (f"job-{number:03}", 1, "here") for number in range(60) if number not in {7, 30, 59}
    }
    again = await tables.together.write_many(effects)
    assert [result for number, result in enumerate(again) if number in won] == list(won.values())


async def test_all_kinds_of_effects_go_together(tables: Tables) -> None:
    held = [held_item(f"job-{number}") for number in range(6)]
    held[5] = held[5] | {"maxAttempts": {"S": "ten"}}
    fault = MalformedRowError("maxAttempts", {"S": "ten"}, "is no number")
    for item in held:
        await tables.put(tables.together, item)
    row = read_row(held[0])
    effects: list[Write] = [
        Mark(row, EndState.COMPLETED, NOW),
        claim(held[1], "other"),
        Keep(read_row(held[2]), PendingAnswer(Fail("E", "c")), UNTIL, "throttled"),
        renew(held[3]),
        release(held[4]),
        Quarantine("job-5", fault, NOW),
        release(held[0]),
    ]
    results = await tables.together.write_many(effects)
    assert isinstance(results[1], TokenRow)
    assert [results[0], *results[2:]] == [None, None, None, None, None, Lost()]
    rows = [await tables.together.get(f"job-{number}") or {} for number in range(6)]
    assert [item["status"]["S"] for item in rows] == ["COMPLETED", *["POLLING"] * 4, "QUARANTINED"]
    assert "pendingAnswer" in rows[2]


async def test_effects_of_one_job_are_performed_one_after_the_other(tables: Tables) -> None:
    item = waiting_item()
    await tables.put(tables.together, item)
    row = read_row(held_item(version={"N": "1"}))
    first, second, third, fourth = await tables.together.write_many(
        [claim(item), Renew(row, UNTIL, None, NOW), Release(row, UNTIL + 7, "tired"), claim(item, "late")]
    )
    assert isinstance(first, TokenRow)
    # A row that was given free is nobody's to release, and it is no more as it was when the last one read it.
    assert [second, third, fourth] == [None, Lost(), Lost()]
    held = await tables.together.get("job-1") or {}
    assert (held["version"], held["nextPollAt"]) == ({"N": "2"}, {"N": str(UNTIL)})
    assert not held.keys() & {"lastError", "claimId", "heldBy"}


async def test_nothing_to_write_is_written_at_once(tables: Tables) -> None:
    assert await tables.together.write_many([]) == []


ODD = [
    "' OR '1'='1",
    "'; DROP TABLE tokens; --",
    '" REMOVE "taskToken',
    'job" WHERE "jobId" = ?',
    "?",
    "a?b?c",
    "-- /* */ `",
    "\\' \\\" \\u0000",
    "line\nbreak\ttab\r",
    "nul\x00nul",
    "\u2028\u2029\ufeff",
    "Ünïcödé 工作 🙂",
    "{} << >> [] $1 :one #status",
    "x" * 2_048,
]


async def test_odd_ids_and_values_stay_in_their_place(tables: Tables) -> None:
    items = [waiting_item(text, taskToken={"S": f"token {number}"}) for number, text in enumerate(ODD)]
    bystander = waiting_item("tokens")
    for item in (*items, bystander):
        await tables.put(tables.together, item)
    won = await tables.together.write_many(
        [claim(item, text[:1_024], text[:1_024]) for item, text in zip(items, ODD, strict=True)]
    )
    rows = [row for row in won if isinstance(row, TokenRow)]
    assert [(row.job_id, row.claim_id, row.held_by) for row in rows] == [(t, t[:1_024], t[:1_024]) for t in ODD]
    noted = [Renew(replace(row, last_error=row.job_id[:900]), UNTIL, row.job_id, NOW) for row in rows]
    freed = [Release(row, UNTIL, row.job_id[::-1][:900]) for row in rows]
    assert set(await tables.together.write_many(noted)) == {None}
    held = [await tables.together.get(text) or {} for text in ODD]
    assert [(item["heldBy"]["S"], item["lastError"]["S"]) for item in held] == [(text, text[:900]) for text in ODD]
    assert set(await tables.together.write_many(freed)) == {None}
    held = [await tables.together.get(text) or {} for text in ODD]
    assert [item["lastError"]["S"] for item in held] == [text[::-1][:900] for text in ODD]
    assert [item["taskToken"]["S"] for item in held] == [f"token {number}" for number in range(len(ODD))]
    assert {item["version"]["N"] for item in held} == {"3"}
    assert await tables.together.get("tokens") == bystander
