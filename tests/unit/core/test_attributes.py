"""DynamoDB's form of values."""

from decimal import Decimal
from typing import Any

import pytest

from scheduler.core.attributes import from_attribute, from_item, to_attribute


@pytest.mark.parametrize(
    ("value", "attribute"),
    [
        (None, {"NULL": True}),
        (True, {"BOOL": True}),
        (False, {"BOOL": False}),
        (0, {"N": "0"}),
        (-(10**37), {"N": "-" + "1" + "0" * 37}),
        ("", {"S": ""}),
        ("é", {"S": "é"}),
        ([1, "a"], {"L": [{"N": "1"}, {"S": "a"}]}),
        ([], {"L": []}),
        ({}, {"M": {}}),
        ({"a": {"b": [None]}}, {"M": {"a": {"M": {"b": {"L": [{"NULL": True}]}}}}}),
    ],
)
def test_a_value_keeps_its_form_both_ways(value: Any, attribute: Any) -> None:
    assert to_attribute(value) == attribute
    assert from_attribute(attribute) == value
    assert type(from_attribute(attribute)) is type(value)


@pytest.mark.parametrize(
    ("value", "attribute"),
    [(0.1, {"N": "0.1"}), (1e-7, {"N": "1e-07"}), (Decimal("1.50"), {"N": "1.50"}), ((1,), {"L": [{"N": "1"}]})],
)
def test_a_fraction_or_a_tuple_is_written_too(value: object, attribute: Any) -> None:
    assert to_attribute(value) == attribute


@pytest.mark.parametrize(("text", "number"), [("1.5", Decimal("1.5")), ("1.0", 1), ("1E2", 100), ("-0", 0)])
def test_a_number_is_whole_where_it_can_be(text: str, number: Any) -> None:
    read = from_attribute({"N": text})
    assert (read, type(read)) == (number, type(number))


@pytest.mark.parametrize("held", [{"B": b"x"}, {"SS": ["a"]}, {"NS": ["1"]}], ids=str)
def test_other_types_are_given_as_they_are(held: Any) -> None:
    assert from_attribute(held) == next(iter(held.values()))


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object()], ids=lambda value: type(value).__name__)
def test_what_cannot_be_stored_is_named(value: object) -> None:
    with pytest.raises(TypeError, match=f"cannot store a {type(value).__name__} in DynamoDB"):
        to_attribute(value)


def test_an_item_is_read_whole() -> None:
    assert from_item({"jobId": {"S": "a"}, "n": {"N": "1"}}) == {"jobId": "a", "n": 1}
