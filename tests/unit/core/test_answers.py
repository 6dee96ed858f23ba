"""Answers within the sizes that Step Functions accepts, and answers kept for later."""

import json
from typing import Any

import pytest

from scheduler.core.answers import (
    MAX_CAUSE_LENGTH,
    MAX_ERROR_LENGTH,
    MAX_OUTPUT_BYTES,
    Answer,
    Fail,
    PendingAnswer,
    Succeed,
    fail,
    read_pending,
    succeed,
    write_pending,
)
from scheduler.core.attributes import from_attribute, to_attribute
from scheduler.core.states import EndState

FRAME = len('{"r":""}')


@pytest.mark.parametrize(("character", "size"), [("x", 1), ("é", 2), ("€", 3), ("😀", 4), ('"', 2), ("\ud800", 6)])
def test_an_output_may_fill_the_limit_and_not_one_byte_more(character: str, size: int) -> None:
    whole, rest = divmod(MAX_OUTPUT_BYTES - FRAME, size)
    fits = succeed({"r": character * whole + "x" * rest})
    assert isinstance(fits, Succeed)
    assert len(fits.output.encode()) == MAX_OUTPUT_BYTES
    assert isinstance(succeed({"r": character * whole + "x" * (rest + 1)}), Fail)


def test_an_output_too_large_is_a_failure_that_names_its_size() -> None:
    cause = "the job completed, but its output has 262145 bytes and Step Functions takes 262144"
    assert succeed({"r": "x" * (MAX_OUTPUT_BYTES - FRAME + 1)}) == Fail("OutputTooLarge", cause, EndState.FAILED)


@pytest.mark.parametrize("text", ["é€😀", "\ud800 alone", "line\nbreak", "\u2028", "\x00"])
def test_an_output_says_what_it_was_given(text: str) -> None:
    answer = succeed({"r": text})
    assert isinstance(answer, Succeed)
    assert json.loads(answer.output.encode()) == {"r": text}


@pytest.mark.parametrize(
    ("given", "kept"), [(256, "x" * 256), (257, "x" * 255 + "…"), (1_000, "x" * 255 + "…"), (0, "")]
)
def test_an_error_is_cut_to_its_limit(given: int, kept: str) -> None:
    assert fail("x" * given, "").error == kept
    assert len(kept) <= MAX_ERROR_LENGTH


@pytest.mark.parametrize("given", [32_767, 32_768, 32_769, 100_000])
def test_a_cause_is_cut_to_its_limit(given: int) -> None:
    cause = fail("JobFailed", "é" * given).cause
    assert len(cause) == min(given, MAX_CAUSE_LENGTH)
    assert cause.endswith("…") is (given > MAX_CAUSE_LENGTH)


ANSWERS: list[Answer] = [
    Succeed('{"r":"é"}'),
    Fail("JobFailed", "no paper"),
    Fail("PollingExpired", "late", EndState.EXPIRED),
    Fail("MaxAttemptsExceeded", "", EndState.MAX_ATTEMPTS),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
@pytest.mark.parametrize("tries", [0, 3])
def test_a_kept_answer_comes_back_as_it_was(answer: Answer, tries: int) -> None:
    pending = PendingAnswer(answer, tries)
    assert read_pending(from_attribute(to_attribute(write_pending(pending)))) == pending


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"tries": 0},
        {"output": "not JSON", "tries": 0},
        {"output": 5, "tries": 0},
        {"output": "{}"},
        {"output": "{}", "tries": "many"},
        {"output": "{}", "tries": None},
        {"error": "E", "endState": "FAILED", "tries": 0},
        {"error": "E", "cause": "C", "endState": "DONE", "tries": 0},
        {"error": 5, "cause": "C", "endState": "FAILED", "tries": 0},
    ],
    ids=str,
)
def test_a_kept_answer_of_another_shape_is_refused(kept: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_pending(kept)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_never_sent(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        succeed({"r": number})


@pytest.mark.parametrize("text", ["plain", "é", "\ud800"])
def test_an_output_has_no_blanks_between_its_parts(text: str) -> None:
    answer = succeed({"a": text, "b": [1, 2]})
    assert isinstance(answer, Succeed)
    assert " " not in answer.output
    assert answer.output.endswith(',"b":[1,2]}')
