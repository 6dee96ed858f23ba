"""Writes of many rows as one request, and its reply as one result for each."""

import re
from typing import Any

import botocore.session
import pytest

from scheduler.core.answers import PendingAnswer, Succeed
from scheduler.core.effects import Claim, Failure, Keep, Lost, Mark, Quarantine, Release, Renew, Write
from scheduler.core.instant import parse_iso
from scheduler.core.row_batches import Alone, again, batch_call, batch_results, job_of, statement, to_write_alone
from scheduler.core.row_reader import MalformedRowError
from scheduler.core.row_writes import write_call
from scheduler.core.service_calls import CallError, Refusal
from scheduler.core.states import EndState
from scheduler.core.token import TaskToken
from scheduler.core.token_row import TokenRow
from tests.fakes import row_item, token_row

NOW = parse_iso("2026-01-01T00:00:00Z")
UNTIL = NOW + 60_000
OURS = token_row(version=4)
CLAIMED = token_row(version=5, claim_id="claim-1", attempt_count=1)
MODEL: Any = botocore.session.get_session().get_service_model("dynamodb")
HOSTILE = ["' OR '1'='1", '"; DELETE FROM "tokens', "a?b", "--", "\\", "\u2028\n\x00", "Ünïcödé 🙂", "x" * 2_000]


def claim(row: TokenRow = OURS, held_by: str | None = None) -> Claim:
    return Claim(row, "claim-1", NOW, UNTIL, 3, held_by)


CLAIMS: list[Write] = [claim(), claim(held_by="here"), claim(token_row(attempt_count=2))]
OTHERS: list[Write] = [
    Renew(CLAIMED, UNTIL, "here", NOW),
    Renew(token_row(version=5, claim_id="c", last_error="no paper", unknown_checks=2), UNTIL, None, NOW),
    Release(CLAIMED, UNTIL, None),
    Release(CLAIMED, UNTIL, "it sleeps", unknown_checks=1, unspent=True),
]


def filled(text: str, parameters: list[Any]) -> str:
    """Give a statement's text with its parameters in place, so that two of them can be compared."""
    given = iter(parameters)
    return re.sub(r"\?", lambda _: str(next(given)), text)


def test_a_claim_says_what_it_requires_and_what_it_changes() -> None:
    given = statement(claim(), "tokens")
    assert given["Statement"] == (
        'UPDATE "tokens" SET "version" = ? SET "attemptCount" = ? SET "claimId" = ? SET "nextPollAt" = ?'
        ' SET "dueShard" = ? SET "lastPolledAt" = ? REMOVE "heldBy" REMOVE "purgeAt" REMOVE "completedAt"'
        ' WHERE "jobId" = ? AND "status" = ? AND "version" = ? RETURNING ALL NEW *'
    )
    assert given["Parameters"] == [
        {"N": "5"},
        {"N": "1"},
        {"S": "claim-1"},
        {"N": str(UNTIL)},
        {"N": "3"},
        {"S": "2026-01-01T00:00:00.000Z"},
        {"S": "job-1"},
        {"S": "POLLING"},
        {"N": "4"},
    ]


def test_a_claim_asks_for_the_row_whether_it_wins_or_not_and_nothing_else_does() -> None:
    assert statement(claim(), "tokens")["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
    for effect in OTHERS:
        given = statement(effect, "tokens")
        assert given.keys() == {"Statement", "Parameters"}
        assert "RETURNING" not in given["Statement"]


def test_a_claim_of_a_foreign_row_requires_that_it_has_no_version() -> None:
    given = statement(claim(token_row(attempt_count=2)), "tokens")
    assert given["Statement"].endswith(
        ' WHERE "jobId" = ? AND "status" = ? AND "version" IS MISSING AND "attemptCount" = ? RETURNING ALL NEW *'
    )
    assert given["Parameters"][-3:] == [{"S": "job-1"}, {"S": "POLLING"}, {"N": "2"}]


@pytest.mark.parametrize("effect", CLAIMS + OTHERS, ids=lambda effect: type(effect).__name__)
def test_a_statement_requires_and_changes_what_the_single_write_does(effect: Write) -> None:
    single = write_call(effect, "tokens").parameters
    values = single["ExpressionAttributeValues"]

    def spelled(expression: str) -> str:
        expression = re.sub(r"if_not_exists\((#\w+), :zero\)", r"\1", expression)
        expression = re.sub(r"attribute_not_exists\((#\w+)\)", r"\1 IS MISSING", expression)
        expression = re.sub(r":\w+", lambda found: str(values[found[0]]), expression)
        return re.sub(r"#(\w+)", r'"\1"', expression)

    update, _, removes = spelled(single["UpdateExpression"]).partition(" REMOVE ")
    sets = update.removeprefix("SET ").replace('}, "', '} SET "')
    text = f'UPDATE "tokens" SET {sets}'  # noqa: S608  it is compared, and sent to nobody
    text += "".join(f" REMOVE {name}" for name in removes.split(", ") if name)
    text += f' WHERE "jobId" = {single["Key"]["jobId"]} AND {spelled(single["ConditionExpression"])}'
    given = statement(effect, "tokens")
    assert filled(given["Statement"].removesuffix(" RETURNING ALL NEW *"), given["Parameters"]) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_a_row_holds_gets_into_the_text(text: str) -> None:
    row = token_row(text, version=5, claim_id=text, last_error=text)
    for plain, odd in (
        (claim(held_by="here"), Claim(token_row(text, version=4), text, NOW, UNTIL, 3, text)),
        (Renew(token_row(version=5, claim_id="c", last_error="e"), UNTIL, "here", NOW), Renew(row, UNTIL, text, NOW)),
        (Release(CLAIMED, UNTIL, "e"), Release(row, UNTIL, text)),
    ):
        given = statement(odd, "tokens")
        assert given["Statement"] == statement(plain, "tokens")["Statement"]
        assert {"S": text} in given["Parameters"]
        assert given["Statement"].count("?") == len(given["Parameters"])


def test_a_table_s_name_stays_in_its_quotes() -> None:
    assert statement(claim(), 'a" SET "b')["Statement"].startswith('UPDATE "a"" SET ""b" SET "version" = ?')


@pytest.mark.parametrize(
    "effect",
    [
        Keep(CLAIMED, PendingAnswer(Succeed("{}")), UNTIL, "throttled"),
        Mark(CLAIMED, EndState.COMPLETED, NOW),
        Quarantine("job-1", MalformedRowError("status", None, "is missing"), NOW),
    ],
    ids=lambda effect: type(effect).__name__,
)
def test_what_ends_or_keeps_is_not_written_in_batches(effect: Write) -> None:
    with pytest.raises(TypeError, match=f"^a {type(effect).__name__} is not written in batches$"):
        statement(effect, "tokens")


def claims(count: int) -> list[Write]:
    return [claim(token_row(f"job-{number}", version=4)) for number in range(count)]


def test_a_batch_holds_up_to_25_statements_in_order() -> None:
    call = batch_call(claims(25), "tokens")
    assert (call.service, call.operation) == ("dynamodb", "batch_execute_statement")
    ids = [given["Parameters"][6] for given in call.parameters["Statements"]]
    assert ids == [{"S": f"job-{number}"} for number in range(25)]
    assert list(call.parameters) == ["Statements"]


@pytest.mark.parametrize("effects", [[], claims(26), [claim(), Release(CLAIMED, UNTIL, None)]])
def test_a_batch_takes_neither_nothing_nor_too_much_nor_one_job_twice(effects: list[Write]) -> None:
    with pytest.raises(ValueError, match=r"^a batch takes 1 to 25 effects, each of another job$"):
        batch_call(effects, "tokens")


WON = row_item(version={"N": "5"}, claimId={"S": "claim-1"}, attemptCount={"N": "1"})


def replied(*responses: dict[str, Any]) -> dict[str, Any]:
    return {"Responses": list(responses)}


def error(code: str, message: str = "why", **more: Any) -> dict[str, Any]:
    return {"Error": {"Code": code, "Message": message, **more}}


def test_each_effect_has_its_own_result_in_order() -> None:
    effects = [*claims(2), Release(CLAIMED, UNTIL, None), Renew(CLAIMED, UNTIL, None, NOW), claim()]
    broken = WON | {"maxAttempts": {"S": "ten"}}
    reply = replied(
        {"Item": WON}, error("ConditionalCheckFailed"), {}, error("ConditionalCheckFailed"), {"Item": broken}
    )
    won, lost, released, dropped, malformed = batch_results(effects, reply)
    assert isinstance(won, TokenRow)
    assert (won.version, won.claim_id, won.token.reveal()) == (5, "claim-1", "AQ-job-1")
    assert (lost, released, dropped) == (Lost(), None, Lost())
    assert isinstance(malformed, MalformedRowError)
    assert malformed.attribute == "maxAttempts"
    assert to_write_alone(effects, reply) == {}


@pytest.mark.parametrize(
    ("held", "mine"),
    [
        (WON, True),
        (WON | {"claimId": {"S": "theirs"}}, False),
        (WON | {"status": {"S": "CLOSED"}}, False),
    ],
)
def test_a_claim_that_was_applied_before_its_reply_got_lost_is_recognised(held: Any, *, mine: bool) -> None:
    (result,) = batch_results([claim()], replied(error("ConditionalCheckFailed", Item=held)))
    assert isinstance(result, TokenRow) if mine else result == Lost()


MEANINGS = {
    "AccessDenied": Refusal.DENIED,
    "DuplicateItem": None,
    "InternalServerError": Refusal.UNAVAILABLE,
    "ItemCollectionSizeLimitExceeded": None,
    "ProvisionedThroughputExceeded": Refusal.THROTTLED,
    "RequestLimitExceeded": Refusal.THROTTLED,
    "ResourceNotFound": Refusal.MISSING,
    "ThrottlingError": Refusal.THROTTLED,
    "ValidationError": None,
}


@pytest.mark.parametrize("code", MODEL.shape_for("BatchStatementErrorCodeEnum").enum)
def test_each_code_of_a_statement_has_its_meaning(code: str) -> None:
    claimed, released = batch_results([claim(), Release(CLAIMED, UNTIL, None)], replied(error(code), error(code)))
    if code == "ConditionalCheckFailed":
        assert (claimed, released) == (Lost(), Lost())
        return
    assert isinstance(released, Failure)
    if code == "TransactionConflict":
        assert (claimed, released.refusal) == (Lost(), None)
        return
    assert isinstance(claimed, Failure)
    assert {claimed.refusal, released.refusal} == {MEANINGS[code]}
    assert again(claimed) is (MEANINGS[code] in {Refusal.THROTTLED, Refusal.UNAVAILABLE})


@pytest.mark.parametrize("code", ["ThrottlingError", "ValidationError", "SomethingNew"])
def test_an_error_keeps_its_words_and_its_name_as_of_a_single_write(code: str) -> None:
    (result,) = batch_results([Release(CLAIMED, UNTIL, None)], replied(error(code, "slow down")))
    names = {"ThrottlingError": "ThrottlingException", "ValidationError": "ValidationException"}
    assert isinstance(result, Failure)
    assert result.error == f"{names.get(code, code)}: slow down"


def test_a_row_that_takes_no_such_write_is_told_from_a_table_that_takes_none() -> None:
    words = ["Item size to update has exceeded the maximum allowed size", "Type mismatch for Index Key nextPollAt"]
    reply = replied(*[error("ValidationError", said) for said in words])
    assert [isinstance(result, Failure) and result.refused for result in batch_results(claims(2), reply)] == [
        True,
        False,
    ]


@pytest.mark.parametrize("length", [None, 100])
def test_no_error_shows_a_token(length: int | None) -> None:
    secrets = [f"AQ{letter}" + "s3cret/" * 30 for letter in "abc"]
    rows = [token_row(version=5, claim_id="c", token=TaskToken(secret)) for secret in secrets]
    effects: list[Write] = [claim(rows[0]), Renew(rows[1], UNTIL, None, NOW), Release(rows[2], UNTIL, None)]
    own = [error("ValidationError", f"no {secret[:length]} here") for secret in secrets]
    of_all = " or ".join(secret[:length] for secret in secrets)
    for reply in (replied(*own), CallError("ThrottlingException", f"no {of_all} here")):
        results = batch_results(effects, reply)
        errors = [result.error for result in results if isinstance(result, Failure)]
        assert "s3cret" not in str(errors)
        assert all(row.token.fingerprint() in said for row, said in zip(rows, errors, strict=True))


@pytest.mark.parametrize(
    "reply",
    [
        {},
        replied({"Item": WON}),
        replied({"Item": WON}, {"Item": WON}, {"Item": WON}),
        replied({"Item": WON}, {"Item": WON}) | {"ResponseMetadata": {"HTTPHeaders": {"content-type": "text/html"}}},
    ],
)
def test_a_reply_that_is_not_the_service_s_own_is_no_success(reply: dict[str, Any]) -> None:
    results = batch_results([claim(), Release(token_row("other"), UNTIL, None)], reply)
    assert [isinstance(result, Failure) for result in results] == [True, True]
    assert to_write_alone(claims(2), reply) == {}


def test_a_call_that_failed_is_a_failure_of_each() -> None:
    failed = CallError("ProvisionedThroughputExceededException", "slow down", status=400)
    expected = Failure("ProvisionedThroughputExceededException: slow down", refusal=Refusal.THROTTLED)
    assert batch_results(claims(3), failed) == [expected] * 3
    assert to_write_alone(claims(3), failed) == {}


UNKNOWN_WORDS = [
    "Statement wasn't well formed, can't be processed: Expected data manipulation",
    "Unsupported PartiQL operation: UPDATE",
    "Invalid returning clause: RETURNING ALL NEW *",
    "The operation is not supported in this region",
]


@pytest.mark.parametrize(
    ("failed", "why"),
    [
        (CallError("UnknownOperationException", ""), Alone.UNKNOWN),
        (CallError("InvalidAction", "no such action"), Alone.UNKNOWN),
        (CallError("NotImplemented", ""), Alone.UNKNOWN),
        (CallError("InternalFailure", "not yet", status=501), Alone.UNKNOWN),
        *[(CallError("ValidationException", words), Alone.UNKNOWN) for words in UNKNOWN_WORDS],
        (CallError("AccessDeniedException", "not authorized: dynamodb:PartiQLUpdate"), Alone.DENIED),
        (CallError("ValidationException", "DynamoDB only supports precision up to 38 digits"), Alone.REFUSED),
        (CallError("ParamValidationError", "Invalid type"), Alone.REFUSED),
        (CallError("InternalServerError", "", status=500), None),
        (CallError("ReadTimeoutError", "PartiQL took too long"), None),
        (CallError("ResourceNotFoundException", "Requested resource not found"), None),
        (CallError("ExpiredTokenException", ""), None),
    ],
    ids=str,
)
def test_why_the_effects_of_a_refused_batch_are_written_alone(failed: CallError, why: Alone | None) -> None:
    assert to_write_alone(claims(2), failed) == ({0: why, 1: why} if why else {})


def test_why_single_effects_of_a_batch_are_written_alone() -> None:
    effects = [*claims(5), Renew(CLAIMED, UNTIL, None, NOW)]
    reply = replied(
        {"Item": WON},
        error("AccessDenied"),
        error("ValidationError", UNKNOWN_WORDS[0]),
        error("ValidationError", "refers to an attribute that does not exist in the item"),
        {},  # an emulator that knows no RETURNING, or swallows errors
        {},
    )
    assert to_write_alone(effects, reply) == {1: Alone.DENIED, 2: Alone.UNKNOWN, 3: Alone.REFUSED, 4: Alone.UNKNOWN}
    assert isinstance(batch_results(effects, reply)[4], Failure)


def test_every_effect_has_a_job() -> None:
    fault = MalformedRowError("status", None, "is missing")
    assert [job_of(effect) for effect in (claim(), Quarantine("job-2", fault, NOW))] == ["job-1", "job-2"]
