"""Asking a Lambda for a job's status: what was surely never run spends nothing, what may have run is asked once."""

import json

import pytest

from scheduler.core.check_replies import InProgress, Unanswered, Unasked
from scheduler.core.invocation import Invocation, NoInvocation, check_payload, not_invoked, read_check
from scheduler.core.service_calls import CallError, Refusal


def test_a_status_is_asked_by_job_id() -> None:
    assert json.loads(check_payload('a"é')) == {"action": "CHECK_STATUS", "jobId": 'a"é'}


def test_an_invocation_is_read_as_a_reply() -> None:
    assert read_check(Invocation(b'{"status": "IN_PROGRESS"}')) == InProgress()


def test_an_invocation_that_failed_is_no_success_whatever_it_says() -> None:
    assert isinstance(read_check(Invocation(b'{"status": "COMPLETED"}', failed=True)), Unanswered)


@pytest.mark.parametrize("refusal", Refusal)
def test_a_function_that_surely_never_ran_was_not_asked(refusal: Refusal) -> None:
    assert read_check(NoInvocation("no", refusal)) == Unasked("no", refusal)


def test_a_function_that_may_have_run_was_asked_and_said_nothing() -> None:
    assert read_check(NoInvocation("no reply")) == Unanswered("no reply")


def test_a_function_that_does_not_exist_is_named_with_the_command_that_makes_it() -> None:
    missing = CallError("ResourceNotFoundException", "no", status=404)
    line = "function jobs does not exist; `callback-scheduler deploy` makes it"
    assert not_invoked("jobs", missing) == NoInvocation(line, Refusal.MISSING)


OF_THE_SERVICE = [
    ("TooManyRequestsException", 429, Refusal.THROTTLED),
    ("EC2ThrottledException", 502, Refusal.THROTTLED),
    ("ServiceException", 500, Refusal.UNAVAILABLE),
    ("EC2AccessDeniedException", 502, Refusal.UNAVAILABLE),
    ("ENILimitReachedException", 502, Refusal.UNAVAILABLE),
    ("SubnetIPAddressLimitReachedException", 502, Refusal.UNAVAILABLE),
    ("KMSDisabledException", 502, Refusal.UNAVAILABLE),
    ("KMSAccessDeniedException", 502, Refusal.UNAVAILABLE),
    ("KMSNotFoundException", 502, Refusal.UNAVAILABLE),
    ("EFSMountTimeoutException", 408, Refusal.UNAVAILABLE),
    ("EFSMountConnectivityException", 408, Refusal.UNAVAILABLE),
    ("EFSIOException", 410, Refusal.UNAVAILABLE),
    ("SnapStartNotReadyException", 409, Refusal.UNAVAILABLE),
    ("ResourceConflictException", 409, Refusal.UNAVAILABLE),
    ("ResourceNotReadyException", 502, Refusal.UNAVAILABLE),
    ("InvalidRuntimeException", 502, Refusal.UNAVAILABLE),
    ("AccessDeniedException", 403, Refusal.DENIED),
    ("ExpiredTokenException", 403, Refusal.CREDENTIALS),
    ("OfTheFutureException", 400, Refusal.UNAVAILABLE),
]


@pytest.mark.parametrize(("code", "status", "refusal"), OF_THE_SERVICE)
def test_whatever_lambda_itself_replies_the_function_did_not_run(code: str, status: int, refusal: Refusal) -> None:
    error = f"function jobs could not be invoked: {code}: no"
    assert not_invoked("jobs", CallError(code, "no", status=status)) == NoInvocation(error, refusal)


@pytest.mark.parametrize(
    "code",
    [
        "InvalidRequestContentException",
        "RequestTooLargeException",
        "SerializedRequestEntityTooLargeException",
        "UnsupportedMediaTypeException",
    ],
)
def test_what_lambda_says_of_one_request_alone_slows_down_nobody(code: str) -> None:
    assert not_invoked("jobs", CallError(code, "no", status=400)).refusal is None


@pytest.mark.parametrize("code", ["ReadTimeoutError", "ConnectionClosedError", "IncompleteReadError", "TimeoutError"])
def test_a_reply_that_was_lost_leaves_open_whether_the_function_ran(code: str) -> None:
    assert not_invoked("jobs", CallError(code, "no reply in time")).refusal is None


@pytest.mark.parametrize("code", ["EndpointConnectionError", "ConnectTimeoutError", "SSLError", "ProxyConnectionError"])
def test_a_function_out_of_reach_was_not_asked(code: str) -> None:
    assert not_invoked("jobs", CallError(code, "no")).refusal is Refusal.UNREACHABLE
