"""Paths: what can never be evaluated is refused at once, what one reply does not allow is told with the path."""

import pytest
from jmespath.exceptions import JMESPathError

from scheduler.checks.paths import Path, UnreadableError


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.",
        "a[",
        "jobs[?id == ",
        "a | ",
        "nothing(a)",
        "jobs[].nothing(@)",
        "length()",
        "length(a, b)",
        "not_null()",
    ],
)
def test_an_expression_that_can_never_be_evaluated_is_refused_when_it_is_compiled(text: str) -> None:
    with pytest.raises(JMESPathError):
        Path(text)


def test_a_path_leads_to_what_is_there_and_to_nothing_elsewhere() -> None:
    assert Path("jobs[0].status").of({"jobs": [{"status": "DONE"}]}) == "DONE"
    assert Path("jobs[0].status").of({"jobs": []}) is None
    assert Path("not_null(a, b, 'neither')").of({}) == "neither"


def test_what_this_reply_does_not_allow_is_told_with_the_path() -> None:
    with pytest.raises(UnreadableError, match=r"^length\(a\) cannot be read: .*invalid type"):
        Path("length(a)").of({"a": 1})
