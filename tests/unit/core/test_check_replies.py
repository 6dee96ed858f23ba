"""What a source's reply says of a job: whatever is no clear status is no status."""

import json
from typing import Any

import pytest

from scheduler.core.check_replies import (
    UNKNOWN_JOB,
    Completed,
    Failed,
    InProgress,
    Report,
    Unanswered,
    read_function_error,
    read_reply,
)


def read(reply: Any) -> Report:
    return read_reply(json.dumps(reply).encode())


def test_a_job_goes_on() -> None:
    assert read({"status": "IN_PROGRESS", "pollCount": 1}) == InProgress()


def test_a_completed_job_brings_the_whole_reply() -> None:
    reply = {"status": "COMPLETED", "result": {"pages": [1, 2]}}
    assert read(reply) == Completed(reply)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ({"reason": "no paper"}, "no paper"),
        ({"cause": "no paper"}, "no paper"),
        ({"error": "no paper"}, "no paper"),
        ({"message": "no paper"}, "no paper"),
        ({"reason": "", "message": "no paper"}, "no paper"),
        ({"message": "second", "reason": "first"}, "first"),
        ({"error": {"code": 7}}, '{"code": 7}'),
        ({}, "the job failed and gave no reason"),
    ],
)
def test_a_failed_job_brings_its_own_reason(reply: dict[str, Any], reason: str) -> None:
    assert read({"status": "FAILED"} | reply) == Failed(reason)


@pytest.mark.parametrize("status", ["completed", "DONE", "SUCCEEDED", "", None, 1, True, ["COMPLETED"], {}])
def test_an_unknown_status_is_no_success_and_no_end(status: Any) -> None:
    assert read({"status": status}) == Unanswered(f"the source's reply has an unknown status: {status!r}")


@pytest.mark.parametrize("reply", [None, [], "COMPLETED", 5, {}, {"state": "COMPLETED"}, [{"status": "COMPLETED"}]])
def test_a_reply_without_a_status_says_nothing(reply: Any) -> None:
    assert read(reply) == Unanswered(f"the source's reply has no status: {reply!r}")


def test_a_source_s_own_error_is_shown() -> None:
    assert read({"error": "job not found"}) == Unanswered("the source replied with an error: job not found")


@pytest.mark.parametrize(
    "payload", [b"", b"<html>", b'{"status": "COMPLETED"', b"\xff\xfe\xff", b'{"status": "COMPLETED", "n": NaN}']
)
def test_a_reply_that_is_not_json_says_nothing(payload: bytes) -> None:
    assert read_reply(payload) == Unanswered(f"the source's reply is not JSON: {payload!r}")


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
def test_a_number_that_json_does_not_know_is_refused(constant: bytes) -> None:
    assert isinstance(read_reply(b'{"status": "COMPLETED", "n": %s}' % constant), Unanswered)


@pytest.mark.parametrize(
    "reply", [{"status": "x" * 9_000}, {"error": "x" * 9_000}, {"other": "x" * 9_000}, "x" * 9_000]
)
def test_only_the_beginning_of_a_long_reply_is_shown(reply: Any) -> None:
    report = read(reply)
    assert isinstance(report, Unanswered)
    assert len(report.error) < 300


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b'{"errorType": "KeyError", "errorMessage": "id"}', "the source raised KeyError: id"),
        (b'{"errorMessage": "timed out"}', 'the source raised b\'{"errorMessage": "timed out"}\''),
        (b"Task timed out", "the source raised b'Task timed out'"),
        (b'"text"', "the source raised b'\"text\"'"),
        (b"", "the source raised b''"),
    ],
)
def test_a_function_that_raised_says_nothing_of_the_job(payload: bytes, error: str) -> None:
    assert read_function_error(payload) == Unanswered(error)


def test_a_number_too_large_to_be_one_is_refused() -> None:
    assert isinstance(read_reply(b'{"status": "COMPLETED", "n": 1e999}'), Unanswered)


def test_a_reply_nested_too_deep_to_be_read_says_nothing() -> None:
    assert isinstance(read_reply(b"[" * 200_000), Unanswered)


@pytest.mark.parametrize(
    ("reply", "error", "unknown"),
    [
        ({"status": "NOT_FOUND"}, "the source knows no such job", True),
        ({"error": f"{UNKNOWN_JOB}: a"}, f"the source replied with an error: {UNKNOWN_JOB}: a", True),
        ({"error": "rate exceeded"}, "the source replied with an error: rate exceeded", False),
        ({"status": "SLEEPING"}, "the source's reply has an unknown status: 'SLEEPING'", False),
    ],
)
def test_a_job_that_the_source_does_not_know_is_told_from_one_of_which_it_says_nothing(
    reply: dict[str, Any], error: str, *, unknown: bool
) -> None:
    assert read(reply) == Unanswered(error, unknown_job=unknown)


def test_a_number_with_a_fraction_is_brought_as_it_is() -> None:
    assert read({"status": "COMPLETED", "share": 0.5}) == Completed({"status": "COMPLETED", "share": 0.5})
