"""Effects as requests, and replies as results."""

from typing import Any

import pytest

from scheduler.core.answer_delivery import send_call, send_result
from scheduler.core.answers import Answer, Fail, PendingAnswer, Succeed
from scheduler.core.attributes import Item
from scheduler.core.due_rows import find_parameters, keys, shard_parameters
from scheduler.core.effects import (
    Claim,
    Delivered,
    Delivery,
    Failure,
    Heartbeat,
    Keep,
    Lost,
    Mark,
    Quarantine,
    Release,
    Send,
    Write,
)
from scheduler.core.instant import parse_iso
from scheduler.core.row_reader import MalformedRowError
from scheduler.core.row_writes import tidy_call, write_call, write_result
from scheduler.core.service_calls import Call, CallError
from scheduler.core.states import EndState
from scheduler.core.token import TaskToken
from scheduler.core.token_row import TokenRow
from tests.fakes import row_item, token_row

NOW = parse_iso("2026-01-01T00:00:00Z")
UNTIL = NOW + 60_000
ZERO_ONE = {":zero": {"N": "0"}, ":one": {"N": "1"}}
COUNT = "#version = if_not_exists(#version, :zero) + :one"
POLLING = {":status_as_read": {"S": "POLLING"}}
CLAIMED = token_row(version=5, claim_id="claim-1")
TOKEN = TaskToken("AQ-secret")
SUCCESS = Send(TOKEN, Succeed("{}"))
FAILURE = Send(TOKEN, Fail("JobFailed", "no paper"))
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
TAKEN_BACK = "REMOVE #purgeAt, #completedAt"
COUNT_ATTEMPT = "#attemptCount = if_not_exists(#attemptCount, :zero) + :one"


def claim(row: TokenRow) -> Claim:
    return Claim(row, "claim-1", NOW, UNTIL, 3)


def test_a_claim_requires_the_version_as_read() -> None:
    assert parts(claim(token_row(version=4))) == (
        f"SET {COUNT}, {COUNT_ATTEMPT}, {CLAIM_SETS} {TAKEN_BACK}",
        "#status = :status_as_read AND #version = :version_as_read",
        POLLING | ZERO_ONE | CLAIM_VALUES | {":version_as_read": {"N": "4"}},
    )


def test_a_claim_of_a_foreign_row_requires_no_version_and_the_attempts_as_read() -> None:
    assert parts(claim(token_row(attempt_count=2))) == (
        f"SET {COUNT}, {COUNT_ATTEMPT}, {CLAIM_SETS} {TAKEN_BACK}",
        "#status = :status_as_read AND attribute_not_exists(#version) AND #attemptCount = :attemptCount_as_read",
        POLLING | ZERO_ONE | CLAIM_VALUES | {":attemptCount_as_read": {"N": "2"}},
    )


def test_a_claim_for_a_kept_answer_spends_no_attempt() -> None:
    update, _, _ = parts(claim(token_row(version=4, pending=PendingAnswer(Succeed("{}")))))
    assert update == f"SET {COUNT}, {CLAIM_SETS} {TAKEN_BACK}"


def test_a_claim_asks_for_the_row_whether_it_wins_or_not() -> None:
    parameters = write_call(claim(token_row()), "tokens").parameters
    assert parameters["ReturnValues"] == "ALL_NEW"
    assert parameters["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"


def test_an_answer_is_kept_by_the_holder_of_the_claim_alone() -> None:
    kept = PendingAnswer(Succeed("{}"), 1)
    assert parts(Keep(CLAIMED, kept, UNTIL, "throttled")) == (
        f"SET {COUNT}, #pendingAnswer = :pendingAnswer, #nextPollAt = :nextPollAt, #lastError = :lastError",
        "#status = :status_as_read AND #claimId = :claimId_as_read",
        POLLING
        | ZERO_ONE
        | {
            ":claimId_as_read": {"S": "claim-1"},
            ":pendingAnswer": {"M": {"tries": {"N": "1"}, "output": {"S": "{}"}}},
            ":nextPollAt": {"N": str(UNTIL)},
            ":lastError": {"S": "throttled"},
        },
    )


def test_a_row_is_released_by_the_holder_of_the_claim_alone() -> None:
    assert parts(Release(CLAIMED, UNTIL, None)) == (
        f"SET {COUNT}, #nextPollAt = :nextPollAt",
        "#status = :status_as_read AND #claimId = :claimId_as_read",
        POLLING | ZERO_ONE | {":claimId_as_read": {"S": "claim-1"}, ":nextPollAt": {"N": str(UNTIL)}},
    )


def test_a_release_notes_why_the_check_failed() -> None:
    update, _, values = parts(Release(CLAIMED, UNTIL, "it sleeps"))
    assert update == f"SET {COUNT}, #nextPollAt = :nextPollAt, #lastError = :lastError"
    assert values[":lastError"] == {"S": "it sleeps"}


ENDED_VALUES = POLLING | ZERO_ONE | {":completedAt": {"S": "2026-01-01T00:00:00.000Z"}}
END = "#status = :status, #completedAt = :completedAt"
REMOVE = "REMOVE #dueShard, #nextPollAt, #pendingAnswer"


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
    assert update == f"SET {COUNT}, #nextPollAt = :nextPollAt, #unknownChecks = :unknownChecks"
    assert values[":unknownChecks"] == {"N": "2"}


def test_a_release_may_give_the_attempt_back() -> None:
    update, _, values = parts(Release(CLAIMED, UNTIL, None, unspent=True))
    assert update == f"SET {COUNT}, #nextPollAt = :nextPollAt, #attemptCount = #attemptCount - :one"
    assert values[":one"] == {"N": "1"}


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


@pytest.mark.parametrize("reply", [{"Attributes": row_item(expiresAt=None)}, refused(ITEM | {"expiresAt": {"S": "x"}})])
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


@pytest.mark.parametrize("effect", [claim(token_row()), *OTHER_WRITES], ids=lambda effect: type(effect).__name__)
@pytest.mark.parametrize(("code", "refused"), [("ThrottlingException", False), ("ValidationException", True)])
def test_any_other_error_of_a_write_is_a_failure(effect: Write, code: str, *, refused: bool) -> None:
    assert write_result(effect, CallError(code, "no")) == Failure(f"{code}: no", refused=refused)


# --- answers


@pytest.mark.parametrize(
    ("effect", "call"),
    [
        (SUCCESS, Call("stepfunctions", "send_task_success", {"taskToken": "AQ-secret", "output": "{}"})),
        (
            FAILURE,
            Call(
                "stepfunctions",
                "send_task_failure",
                {"taskToken": "AQ-secret", "error": "JobFailed", "cause": "no paper"},
            ),
        ),
        (Heartbeat(TOKEN), Call("stepfunctions", "send_task_heartbeat", {"taskToken": "AQ-secret"})),
    ],
)
def test_an_answer_is_one_request(effect: Send | Heartbeat, call: Call) -> None:
    assert send_call(effect) == call


HTML: dict[str, Any] = {"ResponseMetadata": {"HTTPHeaders": {"content-type": "text/html"}}}
CODES = [
    ("TaskTimedOut", Delivered.CLOSED),
    ("TaskDoesNotExist", Delivered.CLOSED),
    ("InvalidToken", Delivered.CLOSED),
    ("InvalidOutput", Delivered.REFUSED),
    ("ValidationException", Delivered.REFUSED),
    ("ParamValidationError", Delivered.REFUSED),
    ("ThrottlingException", Delivered.DEFERRED),
    ("AccessDeniedException", Delivered.DEFERRED),
    ("InternalError", Delivered.DEFERRED),
    ("ServiceUnavailable", Delivered.DEFERRED),
    ("ReadTimeoutError", Delivered.DEFERRED),
]


@pytest.mark.parametrize("effect", [SUCCESS, FAILURE, Heartbeat(TOKEN)], ids=["success", "failure", "heartbeat"])
def test_a_reply_without_an_error_is_a_delivery(effect: Send | Heartbeat) -> None:
    assert send_result(effect, {}) == Delivery(Delivered.DELIVERED)


@pytest.mark.parametrize("effect", [SUCCESS, FAILURE], ids=["success", "failure"])
@pytest.mark.parametrize(("code", "kind"), CODES)
def test_each_error_of_an_answer_has_its_meaning(effect: Send, code: str, kind: Delivered) -> None:
    unusable = code == "AccessDeniedException"
    expected = Delivery(kind, f"{code}: so", unusable=unusable)
    assert send_result(effect, CallError(code, "so")) == expected


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("TaskTimedOut", Delivered.CLOSED),
        ("TaskDoesNotExist", Delivered.CLOSED),
        ("InvalidToken", Delivered.DEFERRED),
        ("ThrottlingException", Delivered.DEFERRED),
    ],
)
def test_an_invalid_token_says_nothing_where_it_is_a_heartbeat_s(code: str, kind: Delivered) -> None:
    assert send_result(Heartbeat(TOKEN), CallError(code, "so")).kind is kind


@pytest.mark.parametrize("code", ["InvalidToken", "ThrottlingException", "ValidationException"])
def test_the_token_is_masked_wherever_a_service_repeats_it(code: str) -> None:
    delivery = send_result(SUCCESS, CallError(code, "'AQ-secret' and AQ-secret"))
    assert delivery.error == f"{code}: '{TOKEN}' and {TOKEN}"


@pytest.mark.parametrize("answer", [Succeed("{}"), Fail("JobFailed", "no paper")])
def test_the_token_shows_in_no_effect(answer: Answer) -> None:
    assert "AQ-secret" not in f"{Send(TOKEN, answer)} {Heartbeat(TOKEN)!r}"


# --- finding and tidying


def test_a_row_that_somebody_else_ended_is_taken_out_of_the_index() -> None:
    parameters = tidy_call("job-1", EndState.FAILED, "tokens").parameters
    assert parameters["UpdateExpression"] == f"SET {COUNT} REMOVE #dueShard, #nextPollAt"
    assert parameters["ConditionExpression"] == "#status = :status_as_read"
    assert parameters["ExpressionAttributeValues"] == ZERO_ONE | {":status_as_read": {"S": "FAILED"}}


def test_a_scan_finds_waiting_rows_that_are_due_or_have_no_time_that_compares() -> None:
    parameters = find_parameters("tokens", NOW)
    due = "(attribute_not_exists(#next) OR #next <= :now OR NOT attribute_type(#next, :number))"
    assert parameters["FilterExpression"] == f"#status = :polling AND {due}"
    assert parameters["ExpressionAttributeValues"][":now"] == {"N": str(NOW)}


def test_a_sweep_looks_only_for_what_no_query_of_these_shards_can_find() -> None:
    parameters = find_parameters("tokens", NOW, 4)
    stray = "(attribute_not_exists(#next) OR attribute_not_exists(#shard) OR NOT (#shard BETWEEN :first AND :last))"
    assert parameters["FilterExpression"].endswith(f" AND {stray}")
    values = parameters["ExpressionAttributeValues"]
    assert (values[":first"], values[":last"]) == ({"N": "0"}, {"N": "3"})


def test_a_query_asks_one_shard_for_what_is_due() -> None:
    parameters = shard_parameters("tokens", "due", 2, NOW)
    assert parameters["IndexName"] == "due"
    assert parameters["KeyConditionExpression"] == "#shard = :shard AND #next <= :now"
    assert parameters["ExpressionAttributeValues"] == {":shard": {"N": "2"}, ":now": {"N": str(NOW)}}


def test_keys_are_those_of_the_jobs_in_their_order() -> None:
    assert keys(["b", "a"]) == [{"jobId": {"S": "b"}}, {"jobId": {"S": "a"}}]


@pytest.mark.parametrize("effect", [claim(token_row()), *OTHER_WRITES], ids=lambda effect: type(effect).__name__)
def test_a_page_of_html_is_no_reply_to_a_write(effect: Write) -> None:
    assert isinstance(write_result(effect, HTML | {"Attributes": ITEM}), Failure)


def test_a_claim_without_the_row_in_its_reply_has_failed() -> None:
    assert isinstance(write_result(claim(token_row()), {}), Failure)


def test_a_page_of_html_delivers_nothing() -> None:
    assert send_result(SUCCESS, HTML).kind is Delivered.DEFERRED
