"""What a path finds is told from the shape of the data, and nothing is said where that cannot be decided."""

import pytest

from scheduler.checks.shapes import ANYTHING, ListOf, MapOf, PathError, Scalar, Shape, Struct, shape_at

STATE = Scalar("text", ("GOOD", "BAD"))


def run() -> Struct:
    """A run that holds runs, as recursive models do."""
    return Struct(
        "Run", lambda: {"State": STATE, "Parts": ListOf(run()), "Tags": MapOf(Scalar("text")), "Any": ANYTHING}
    )


OUTPUT = Struct("Output", lambda: {"Run": run(), "Runs": ListOf(run())})


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("Run.State", STATE),
        ("Run.Parts[0].Parts[-1].State", STATE),
        ("Runs[].State", ListOf(STATE)),
        ("Runs[*].Parts[*].State", ListOf(ListOf(STATE))),
        ("Runs[*].Parts[].State", ListOf(STATE)),
        ("Runs[].Parts[].State", ListOf(STATE)),
        ("Runs[?State=='GOOD'].State | [0]", STATE),
        ("Runs[:2].State", ListOf(STATE)),
        ("Run.Tags.anything", Scalar("text")),
        ("Run.Tags.*", ListOf(Scalar("text"))),
        ("Run.Any.whatever[3]", ANYTHING),
        ("sort_by(Runs, &State)[0].State", STATE),
        ("max_by(Runs, &State).State", STATE),
        ("{state: Run.State}.state", STATE),
        ("to_string(Run.State)", ANYTHING),
        ("Run.State || 'GOOD'", ANYTHING),
        ("@.Run.State", STATE),
        ("length(Runs) == `0`", ANYTHING),
    ],
)
def test_a_path_finds_the_shape_that_it_leads_to(path: str, found: Shape) -> None:
    assert shape_at(path, OUTPUT) == found


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("Run.Stat", "Run has no 'Stat', but State, Parts, Tags, Any"),
        ("Runs.State", "'State' is asked of a list: say which of its items, such as [0] or [*]"),
        ("Run.State.Name", "'Name' is asked of a text"),
        ("Run[0]", "an item is asked of what is no list"),
        ("Runs[?Stat=='GOOD'] | [0]", "Run has no 'Stat', but State, Parts, Tags, Any"),
        ("not_null(Run.State, Run.Stat)", "Run has no 'Stat', but State, Parts, Tags, Any"),
        ("[Run.Stat, Run.State]", "Run has no 'Stat', but State, Parts, Tags, Any"),
        ("!(Run.Stat)", "Run has no 'Stat', but State, Parts, Tags, Any"),
        ("length(Runs, Run)", "the function length takes 1 arguments, and has 2"),
        ("Run.", "it is no JMESPath: "),
    ],
)
def test_a_path_that_surely_finds_nothing_says_why(path: str, why: str) -> None:
    with pytest.raises(PathError) as caught:
        shape_at(path, OUTPUT)
    assert str(caught.value).startswith(why)


def test_an_unknown_function_is_told_when_the_path_is_read_and_not_over_a_reply() -> None:
    with pytest.raises(PathError, match="JMESPath has no function 'lenght', but "):
        shape_at("lenght(Runs)", ANYTHING)
