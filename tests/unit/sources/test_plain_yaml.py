"""YAML as plain data: no surprises, nothing twice, no code."""

import pytest

from scheduler.sources.plain_yaml import UnreadableError, read_json, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("NO", "NO"),
        ("on", "on"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("012345678901", "012345678901"),
        ("12:30", "12:30"),
        ("2026-01-31", "2026-01-31"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("17", 17),
        ("-1.5e3", -1500.0),
        ("1e3", 1000.0),
        (".inf", ".inf"),
        ("v1.2", "v1.2"),
    ],
)
def test_a_word_is_what_yaml_1_2_takes_it_for(text: str, value: object) -> None:
    read = read_yaml(f"key: {text}")["key"]
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\nb: 2\na: 3", "line 3, column 1: the key 'a' is there twice"),
        ("a: {b: 1, b: 2}", "line 1, column 11: the key 'b' is there twice"),
        ("a: &x 1\nb: *x", "line 2, column 4: an alias (*) is not taken"),
        ("on: 1\n7: 2", "line 2, column 1: a key must be a text; put it in quotes"),
        ("true: 1", "line 1, column 1: a key must be a text; put it in quotes"),
        ("? [a]\n: 1", "line 1, column 3: a key must be a text; put it in quotes"),
        ("a: b: c", "line 1, column 5: mapping values are not allowed here"),
        ("a: !!python/object/apply:os.system [ls]", "line 1, column 4: could not determine a constructor"),
        ("a: 1\n---\nb: 2", "line 2, column 1: but found another document"),
        ("a: \x00", "it holds characters that are not taken"),
        ("[" * 5000, "a value cannot be read"),
    ],
)
def test_what_is_not_taken_says_where(text: str, why: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        read_yaml(text)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' is there twice"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": }', "line 1, column 7: Expecting value"),
        ("[" * 100_000, "a value cannot be read"),
    ],
)
def test_json_is_held_to_the_same(text: str, why: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        read_json(text)
    assert str(caught.value) == why
