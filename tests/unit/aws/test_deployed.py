"""What `deploy` says of one resource."""

from dataclasses import asdict

import pytest

from scheduler.aws.deployed import Deployed


@pytest.mark.parametrize(
    ("done", "line"),
    [
        (Deployed("role", "r", "created"), "created    role r"),
        (Deployed.found("function", "f", []), "unchanged  function f"),
        (Deployed.found("function", "f", ["code", "Timeout"]), "updated    function f (code, Timeout)"),
        (Deployed.found("table", "t", [], "its TTL is elsewhere"), "unchanged  table t (its TTL is elsewhere)"),
        (Deployed.found("table", "t", ["index due"], "oh"), "updated    table t (index due; oh)"),
        (Deployed("function", "f", "left alone", "why"), "left alone function f (why)"),
    ],
)
def test_a_line_says_what_was_done_and_why(done: Deployed, line: str) -> None:
    assert done.line == line


def test_a_program_finds_the_note_by_itself() -> None:
    assert asdict(Deployed.found("function", "f", ["code"])) == {
        "kind": "function",
        "name": "f",
        "action": "updated",
        "note": "code",
    }
    assert asdict(Deployed.found("function", "f", []))["note"] is None
