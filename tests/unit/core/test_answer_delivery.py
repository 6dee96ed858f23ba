"""Answers and heartbeats as requests, and what Step Functions' replies mean."""

from typing import Any

import pytest

from scheduler.core.answer_delivery import send_call, send_result
from scheduler.core.answers import Answer, Fail, Succeed
from scheduler.core.effects import Delivered, Delivery, Heartbeat, Send
from scheduler.core.service_calls import Call, CallError, Refusal
from scheduler.core.token import TaskToken

TOKEN = TaskToken("AQ-secret")
SUCCESS = Send(TOKEN, Succeed("{}"))
FAILURE = Send(TOKEN, Fail("JobFailed", "no paper"))
HTML: dict[str, Any] = {"ResponseMetadata": {"HTTPHeaders": {"content-type": "text/html"}}}


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


CODES = [
    ("TaskTimedOut", Delivered.CLOSED, None),
    ("TaskDoesNotExist", Delivered.CLOSED, None),
    ("InvalidToken", Delivered.CLOSED, None),
    ("InvalidOutput", Delivered.REFUSED, None),
    ("ValidationException", Delivered.REFUSED, None),
    ("ParamValidationError", Delivered.REFUSED, None),
    ("ThrottlingException", Delivered.DEFERRED, Refusal.THROTTLED),
    ("AccessDeniedException", Delivered.DEFERRED, Refusal.DENIED),
    ("ExpiredTokenException", Delivered.DEFERRED, Refusal.CREDENTIALS),
    ("EndpointConnectionError", Delivered.DEFERRED, Refusal.UNREACHABLE),
    ("InternalError", Delivered.DEFERRED, None),
    ("ReadTimeoutError", Delivered.DEFERRED, None),
]


@pytest.mark.parametrize("effect", [SUCCESS, FAILURE, Heartbeat(TOKEN)], ids=["success", "failure", "heartbeat"])
def test_a_reply_without_an_error_is_a_delivery(effect: Send | Heartbeat) -> None:
    assert send_result(effect, {}) == Delivery(Delivered.DELIVERED)


@pytest.mark.parametrize("effect", [SUCCESS, FAILURE], ids=["success", "failure"])
@pytest.mark.parametrize(("code", "kind", "refusal"), CODES)
def test_each_error_of_an_answer_has_its_meaning(
    effect: Send, code: str, kind: Delivered, refusal: Refusal | None
) -> None:
    expected = Delivery(kind, f"{code}: so", refusal, unknown=code == "InvalidToken")
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
def test_an_invalid_token_closes_nothing_where_it_is_a_heartbeat_s(code: str, kind: Delivered) -> None:
    assert send_result(Heartbeat(TOKEN), CallError(code, "so")).kind is kind


@pytest.mark.parametrize(("status", "refusal"), [(400, None), (429, Refusal.THROTTLED), (503, Refusal.UNAVAILABLE)])
def test_an_answer_that_the_service_did_not_take_for_its_own_reasons_says_which(
    status: int, refusal: Refusal | None
) -> None:
    error = CallError("OfTheFuture", "so", status=status)
    assert send_result(SUCCESS, error) == Delivery(Delivered.DEFERRED, "OfTheFuture: so", refusal)


@pytest.mark.parametrize("code", ["InvalidToken", "ThrottlingException", "ValidationException"])
def test_the_token_is_masked_wherever_a_service_repeats_it(code: str) -> None:
    delivery = send_result(SUCCESS, CallError(code, "'AQ-secret' and AQ-secret"))
    assert delivery.error == f"{code}: '{TOKEN}' and {TOKEN}"


@pytest.mark.parametrize("answer", [Succeed("{}"), Fail("JobFailed", "no paper")])
def test_the_token_shows_in_no_effect(answer: Answer) -> None:
    assert "AQ-secret" not in f"{Send(TOKEN, answer)} {Heartbeat(TOKEN)!r}"


def test_a_page_of_html_delivers_nothing() -> None:
    assert send_result(SUCCESS, HTML).kind is Delivered.DEFERRED
