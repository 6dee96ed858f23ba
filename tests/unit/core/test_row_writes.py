"""Effects as requests, and replies as results."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.core.answers import PendingAnswer, Succeed
from scheduler.core.attributes import Item
from scheduler.core.effects import (
    Claim,
    Failure,
    Keep,
    Lost,
    Mark,
    Quarantine,
    Release,
    Renew,
    Write,
)
from scheduler.core.instant import parse_iso
from scheduler.core.row_reader import MalformedRowError
from scheduler.core.row_writes import tidy_call, write_call, write_result
from scheduler.core.service_calls import CallError, Refusal
from scheduler.core.states import EndState
from scheduler.core.token_row import TokenRow
from tests.fakes import row_item, token_row

NOW = parse_iso("2026-01-01T00:00:00Z")
UNTIL = NOW + 60_000
ZERO_ONE = {":zero": {"N": "0"}, ":one": {"N": "1"}}
COUNT = "#version = if_not_exists(#version, :zero) + :one"
POLLING = {":status_as_read": {"S": "POLLING"}}
CLAIMED = token_row(version=5, claim_id="claim-1")
HTML: dict[str, Any] = {"ResponseMetadata": {"HTTPHeaders": {"content-type": "text/html"}}}
FAULT = MalformedRowError("expiresAt", {"N": "1"}, "is wrong")


def parts(effect: Write) -> tuple[str, str, dict[str, Any]]:
    """Give a write's update, condition and values, having checked that every name is spelled out, and no other."""
    call = write_call(effect, "tokens")
    parameters = call.parameters
    update, condition = parameters["UpdateExpression"], parameters["ConditionExpression"]
    used = {word.strip("(),") for word in f"{update} {condition}".replace("(", " ").split() if "#" in word}
    assert {f"#{name}": name for name in (word[1:] for word in used)} == parameters["ExpressionAttributeNames"]
    assert (call.service, call.operation) == ("dynamodb", "update_item")
    assert (parameters["TableName"], parameters["Key"]) == ("tokens", {"jobId": {"S": "job-1"}})
    return update, condition, parameters["ExpressionAttributeValues"]


CLAIM_VALUES = {
    ":claimId": {"S": "claim-1"},
    ":nextPollAt": {"N": str(UNTIL)},
    ":dueShard": {"N": "3"},
    ":lastPolledAt": {"S": "2026-01-01T00:00:00.000Z"},
}
CLAIM_SETS = "#claimId = :claimId, #nextPollAt = :nextPollAt, #dueShard = :dueShard, #lastPolledAt = :lastPolledAt"
TAKEN_BACK = "REMOVE #heldBy, #purgeAt, #completedAt"
NUMBERS = "#version = :version, #attemptCount = :attemptCount"
ATTEMPTS = "#attemptCount = :attemptCount"


def numbers(version: int, attempts: int) -> dict[str, Any]:
    return {":version": {"N": str(version)}, ":attemptCount": {"N": str(attempts)}}


def claim(row: TokenRow) -> Claim:
    return Claim(row, "claim-1", NOW, UNTIL, 3)


def test_a_claim_requires_the_version_as_read() -> None:
    assert parts(claim(token_row(version=4))) == (
        f"SET {NUMBERS}, {CLAIM_SETS} {TAKEN_BACK}",
        "#status = :status_as_read AND #version = :version_as_read",
        POLLING | CLAIM_VALUES | numbers(5, 1) | {":version_as_read": {"N": "4"}},
    )


def test_a_claim_of_a_foreign_row_requires_no_version_and_the_attempts_as_read() -> None:
    assert parts(claim(token_row(attempt_count=2))) == (
        f"SET {NUMBERS}, {CLAIM_SETS} {TAKEN_BACK}",
        "#status = :status_as_read AND attribute_not_exists(#version) AND #attemptCount = :attemptCount_as_read",
        POLLING | CLAIM_VALUES | numbers(1, 3) | {":attemptCount_as_read": {"N": "2"}},
    )


def test_a_claim_for_a_kept_answer_spends_no_attempt() -> None:
    _, _, values = parts(claim(token_row(version=4, attempt_count=2, pending=PendingAnswer(Succeed("{}")))))
    assert values[":attemptCount"] == {"N": "2"}


def test_a_claim_that_holds_says_for_whom() -> None:
    update, _, values = parts(Claim(token_row(version=4), "claim-1", NOW, UNTIL, 3, "replica-1"))
    assert update == f"SET {NUMBERS}, {CLAIM_SETS}, #heldBy = :heldBy REMOVE #purgeAt, #completedAt"
    assert values[":heldBy"] == {"S": "replica-1"}


@pytest.mark.parametrize("held_by", ["replica-1", None])
def test_a_renewal_saves_what_memory_knows_for_the_holder_of_the_claim_alone(held_by: str | None) -> None:
    row = replace(CLAIMED, attempt_count=7, unknown_checks=1, last_error="it sleeps")
    counted = f"{COUNT}, {ATTEMPTS}, #unknownChecks = :unknownChecks"
    saved = f"{counted}, #nextPollAt = :nextPollAt, #lastPolledAt = :lastPolledAt"
    held = ", #heldBy = :heldBy" if held_by else " REMOVE #heldBy, #claimId"
    assert parts(Renew(row, UNTIL, held_by, NOW)) == (
        f"SET {saved}, #lastError = :lastError{held}",
        "#status = :status_as_read AND #claimId = :claimId_as_read",
        POLLING
        | ZERO_ONE
        | {":attemptCount": {"N": "7"}}
        | ({":heldBy": {"S": held_by}} if held_by else {})
        | {
            ":claimId_as_read": {"S": "claim-1"},
            ":unknownChecks": {"N": "1"},
            ":nextPollAt": {"N": str(UNTIL)},
            ":lastPolledAt": {"S": "2026-01-01T00:00:00.000Z"},
            ":lastError": {"S": "it sleeps"},
        },
    )


def test_a_claim_asks_for_the_row_whether_it_wins_or_not() -> None:
    parameters = write_call(claim(token_row()), "tokens").parameters
    assert parameters["ReturnValues"] == "ALL_NEW"
    assert parameters["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"


KEPT = "#pendingAnswer = :pendingAnswer, #nextPollAt = :nextPollAt, #lastError = :lastError"


def test_an_answer_is_kept_by_the_holder_of_the_claim_alone() -> None:
    kept = PendingAnswer(Succeed("{}"), 1)
    assert parts(Keep(CLAIMED, kept, UNTIL, "throttled")) == (
        f"SET {COUNT}, {KEPT}, {ATTEMPTS} REMOVE #heldBy",
        "#status = :status_as_read AND #claimId = :claimId_as_read",
        POLLING
        | ZERO_ONE
        | {
            ":claimId_as_read": {"S": "claim-1"},
            ":pendingAnswer": {"M": {"tries": {"N": "1"}, "output": {"S": "{}"}}},
            ":nextPollAt": {"N": str(UNTIL)},
            ":lastError": {"S": "throttled"},
            ":attemptCount": {"N": "0"},
        },
    )


def test_a_row_is_released_by_the_holder_of_the_claim_alone() -> None:
    assert parts(Release(CLAIMED, UNTIL, None)) == (
        f"SET {COUNT}, #nextPollAt = :nextPollAt, {ATTEMPTS}",
        "#status = :status_as_read AND #claimId = :claimId_as_read",
        POLLING
        | ZERO_ONE
        | {":claimId_as_read": {"S": "claim-1"}, ":nextPollAt": {"N": str(UNTIL)}, ":attemptCount": {"N": "0"}},
    )


def test_a_release_notes_why_the_check_failed() -> None:
    update, _, values = parts(Release(CLAIMED, UNTIL, "it sleeps"))
    assert update == f"SET {COUNT}, #nextPollAt = :nextPollAt, #lastError = :lastError, {ATTEMPTS}"
    assert values[":lastError"] == {"S": "it sleeps"}


ENDED_VALUES = POLLING | ZERO_ONE | {":completedAt": {"S": "2026-01-01T00:00:00.000Z"}}
END = "#status = :status, #completedAt = :completedAt"
REMOVE = "REMOVE #dueShard, #nextPollAt, #pendingAnswer, #heldBy"


def test_a_mark_requires_only_that_the_row_still_waits() -> None:
    assert parts(Mark(CLAIMED, EndState.COMPLETED, NOW)) == (
        f"SET {COUNT}, {END} {REMOVE}",
        "#status = :status_as_read",
        ENDED_VALUES | {":status": {"S": "COMPLETED"}},
    )


def test_a_mark_of_a_row_whose_state_may_be_tried_again_requires_that_it_was_not() -> None:
    update, condition, values = parts(Mark(token_row(version=5, entry="abc#1"), EndState.CLOSED, NOW))
    assert condition == "#status = :status_as_read AND #entry = :entry_as_read"
    assert values[":entry_as_read"] == {"S": "abc#1"}
    assert "entry" not in update


def test_a_mark_of_a_held_row_saves_the_checks_that_memory_knows_of() -> None:
    update, _, values = parts(Mark(CLAIMED, EndState.COMPLETED, NOW, attempts=7))
    assert update == f"SET {COUNT}, {ATTEMPTS}, {END} {REMOVE}"
    assert values[":attemptCount"] == {"N": "7"}


def test_a_mark_notes_the_error() -> None:
    update, _, values = parts(Mark(CLAIMED, EndState.CLOSED, NOW, "TaskTimedOut: over"))
    assert update == f"SET {COUNT}, {END}, #lastError = :lastError {REMOVE}"
    assert values[":lastError"] == {"S": "TaskTimedOut: over"}


def test_a_mark_says_from_when_the_row_may_be_deleted() -> None:
    update, _, values = parts(Mark(CLAIMED, EndState.COMPLETED, NOW, purge_at=1_767_831_000))
    assert update == f"SET {COUNT}, {END}, #purgeAt = :purgeAt {REMOVE}"
    assert values[":purgeAt"] == {"N": "1767831000"}


def test_a_release_counts_the_checks_that_found_no_such_job() -> None:
    update, _, values = parts(Release(CLAIMED, UNTIL, None, unknown_checks=2))
    assert update == f"SET {COUNT}, #nextPollAt = :nextPollAt, {ATTEMPTS}, #unknownChecks = :unknownChecks"
    assert values[":unknownChecks"] == {"N": "2"}


def test_a_release_that_gives_the_attempt_back_may_be_sent_twice() -> None:
    """It names the number, so that a repeat of it gives no second one back."""
    row = token_row(version=5, claim_id="claim-1", attempt_count=3)
    update, _, values = parts(Release(row, UNTIL, None, unspent=True))
    assert update == f"SET {COUNT}, #nextPollAt = :nextPollAt, #attemptCount = :attemptCount"
    assert values[":attemptCount"] == {"N": "2"}


def test_a_quarantine_requires_the_fault_as_read() -> None:
    assert parts(Quarantine("job-1", FAULT, NOW)) == (
        f"SET {COUNT}, {END}, #lastError = :lastError {REMOVE}",
        "#status = :status_as_read AND #expiresAt = :fault",
        ENDED_VALUES
        | {":fault": {"N": "1"}, ":status": {"S": "QUARANTINED"}, ":lastError": {"S": "expiresAt is wrong"}},
    )


def test_a_quarantine_may_leave_out_the_count_and_the_reason() -> None:
    update, _, _ = parts(Quarantine("job-1", FAULT, NOW, counted=False, with_reason=False))
    assert update == f"SET {END} {REMOVE}"


def test_a_quarantine_of_the_row_as_a_whole_requires_only_that_it_waits() -> None:
    _, condition, _ = parts(Quarantine("job-1", MalformedRowError(None, None, "is too large"), NOW))
    assert condition == "#status = :status_as_read"


def test_a_quarantine_for_something_missing_requires_that_it_still_is() -> None:
    _, condition, values = parts(Quarantine("job-1", MalformedRowError("taskToken", None, "is missing"), NOW))
    assert condition == "#status = :status_as_read AND attribute_not_exists(#taskToken)"
    assert ":fault" not in values


def test_a_quarantine_for_the_version_does_not_count_it() -> None:
    fault = MalformedRowError("version", {"S": "x"}, "is wrong")
    update, condition, values = parts(Quarantine("job-1", fault, NOW))
    assert update == f"SET {END}, #lastError = :lastError {REMOVE}"
    assert condition == "#status = :status_as_read AND #version = :fault"
    assert not values.keys() & ZERO_ONE.keys()


@pytest.mark.parametrize(
    "effect",
    [
        Release(CLAIMED, UNTIL, f"no {CLAIMED.token.reveal()} here"),
        Keep(CLAIMED, PendingAnswer(Succeed("{}")), UNTIL, f"no {CLAIMED.token.reveal()} here"),
        Mark(CLAIMED, EndState.CLOSED, NOW, f"no {CLAIMED.token.reveal()} here"),
    ],
    ids=lambda effect: type(effect).__name__,
)
def test_no_error_is_noted_with_the_token_in_it(effect: Write) -> None:
    _, _, values = parts(effect)
    assert values[":lastError"] == {"S": f"no {CLAIMED.token} here"}


@pytest.mark.parametrize(
    "effect", [Release(CLAIMED, UNTIL, "x" * 5_000), Mark(CLAIMED, EndState.CLOSED, NOW, "x" * 5_000)], ids=str
)
def test_a_long_error_is_noted_in_part(effect: Write) -> None:
    _, _, values = parts(effect)
    assert values[":lastError"] == {"S": "x" * 1_000}


# --- what the protocol is told of a write

ITEM = row_item(claimId={"S": "claim-1"}, version={"N": "5"})


def refused(item: Item | None = None) -> CallError:
    return CallError("ConditionalCheckFailedException", "The conditional request failed", item)


def test_a_claim_that_won_gives_the_row_as_it_is_now() -> None:
    assert write_result(claim(token_row()), {"Attributes": ITEM}) == CLAIMED


def test_a_claim_whose_condition_failed_is_lost() -> None:
    other = row_item(claimId={"S": "somebody else's"}, version={"N": "5"})
    assert write_result(claim(token_row()), refused(other)) == Lost()
    assert write_result(claim(token_row()), refused()) == Lost()


def test_a_claim_recognises_itself_where_its_reply_was_lost() -> None:
    assert write_result(claim(token_row()), refused(ITEM)) == CLAIMED


@pytest.mark.parametrize(
    "reply", [{"Attributes": row_item(expiresAt={"S": ""})}, refused(ITEM | {"expiresAt": {"S": "x"}})]
)
def test_a_claim_of_a_row_that_has_become_malformed_gives_the_fault(reply: Any) -> None:
    fault = write_result(claim(token_row()), reply)
    assert isinstance(fault, MalformedRowError)
    assert fault.attribute == "expiresAt"


OTHER_WRITES: list[Write] = [
    Mark(CLAIMED, EndState.COMPLETED, NOW),
    Keep(CLAIMED, PendingAnswer(Succeed("{}")), UNTIL, "late"),
    Release(CLAIMED, UNTIL, None),
    Quarantine("job-1", FAULT, NOW),
]


@pytest.mark.parametrize("effect", OTHER_WRITES, ids=lambda effect: type(effect).__name__)
def test_the_other_writes_give_nothing_and_are_lost_with_their_condition(effect: Write) -> None:
    assert write_result(effect, {}) is None
    assert write_result(effect, refused(ITEM)) == Lost()


EVERY_WRITE = pytest.mark.parametrize(
    "effect", [claim(token_row()), *OTHER_WRITES], ids=lambda effect: type(effect).__name__
)


@EVERY_WRITE
@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        ("ThrottlingException", Refusal.THROTTLED),
        ("ResourceNotFoundException", Refusal.MISSING),
        ("AccessDeniedException", Refusal.DENIED),
        ("ExpiredTokenException", Refusal.CREDENTIALS),
        ("ReadTimeoutError", None),
    ],
)
def test_any_other_error_of_a_write_is_a_failure_of_the_table(
    effect: Write, code: str, refusal: Refusal | None
) -> None:
    assert write_result(effect, CallError(code, "no")) == Failure(f"{code}: no", refusal=refusal)


@EVERY_WRITE
@pytest.mark.parametrize(
    "message",
    [
        "Item size to update has exceeded the maximum allowed size",
        "An operand in the update expression has an incorrect data type",
        "The provided expression refers to an attribute that does not exist in the item",
        "Number overflow. Attempting to store a number with magnitude larger than supported range",
        "Number underflow. Attempting to store a number with magnitude smaller than supported range",
        "Nesting Levels have exceeded supported limits",
    ],
)
def test_a_refusal_for_what_the_row_holds_is_the_row_s_own(effect: Write, message: str) -> None:
    error = CallError("ValidationException", message, status=400)
    assert write_result(effect, error) == Failure(f"ValidationException: {message}", refused=True)


@EVERY_WRITE
@pytest.mark.parametrize(
    "message",
    [
        "One or more parameter values were invalid: Type mismatch for Index Key nextPollAt Expected: S Actual: N",
        "The table does not have the specified index: due",
        "Attempting to write to a table that is being archived",
    ],
)
def test_a_refusal_for_how_the_table_is_made_is_charged_to_no_row(effect: Write, message: str) -> None:
    error = CallError("ValidationException", message, status=400)
    assert write_result(effect, error) == Failure(f"ValidationException: {message}", refused=False)


@EVERY_WRITE
def test_a_write_that_the_sdk_itself_will_not_send_is_the_row_s_own_affair(effect: Write) -> None:
    failure = write_result(effect, CallError("ParamValidationError", "Invalid length"))
    assert failure == Failure("ParamValidationError: Invalid length", refused=True)


@pytest.mark.parametrize("code", ["TransactionConflictException", "ReplicatedWriteConflictException"])
def test_a_claim_that_meets_somebody_else_s_write_is_lost_and_any_other_write_fails(code: str) -> None:
    assert write_result(claim(token_row()), CallError(code, "no", status=400)) == Lost()
    for effect in OTHER_WRITES:
        assert write_result(effect, CallError(code, "no", status=400)) == Failure(f"{code}: no")


def test_a_claim_whose_row_has_ended_by_its_own_poll_is_lost() -> None:
    """It was applied, its reply was lost, and it is sent again after the mark."""
    assert write_result(claim(token_row()), refused(ITEM | {"status": {"S": "COMPLETED"}})) == Lost()


# --- tidying


def test_a_row_that_somebody_else_ended_is_taken_out_of_the_index() -> None:
    parameters = tidy_call("job-1", EndState.FAILED, "tokens").parameters
    assert parameters["UpdateExpression"] == f"SET {COUNT} REMOVE #dueShard, #nextPollAt"
    assert parameters["ConditionExpression"] == "#status = :status_as_read"
    assert parameters["ExpressionAttributeValues"] == ZERO_ONE | {":status_as_read": {"S": "FAILED"}}


@EVERY_WRITE
def test_a_page_of_html_is_no_reply_to_a_write(effect: Write) -> None:
    assert isinstance(write_result(effect, HTML | {"Attributes": ITEM}), Failure)


def test_a_claim_without_the_row_in_its_reply_has_failed() -> None:
    assert isinstance(write_result(claim(token_row()), {}), Failure)


@pytest.mark.parametrize(
    ("row", "condition"),
    [
        (
            token_row(),
            "#status = :polling AND attribute_not_exists(#version) AND #attemptCount = :attemptCount_as_read",
        ),
        (
            token_row(counted=False),
            "#status = :polling AND attribute_not_exists(#version) AND attribute_not_exists(#attemptCount)",
        ),
        (token_row(version=3, counted=False), "#status = :polling AND #version = :version_as_read"),
    ],
)
def test_the_first_claim_of_a_row_asks_for_its_count_as_it_was_read(row: TokenRow, condition: str) -> None:
    found = write_call(claim(row), "tokens").parameters
    assert found["ConditionExpression"].replace(":status_as_read", ":polling") == condition
    assert found["ExpressionAttributeValues"][":attemptCount"] == {"N": "1"}
    assert "expiresAt" not in found["UpdateExpression"]
