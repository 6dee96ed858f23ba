"""Shapes: what a JMESPath can find in data of a known form, told before there is any data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

_FUNCTIONS = Functions.FUNCTION_TABLE
_OF_FIRST = frozenset({"reverse", "sort", "sort_by"})
_ELEMENT_OF_FIRST = frozenset({"max", "max_by", "min", "min_by"})


class PathError(ValueError):
    """A path is no JMESPath, or finds nothing in data of that shape."""


@dataclass(frozen=True, slots=True)
class Anything:
    """Data of which nothing is known, or a path that cannot be decided."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text, number or boolean; `values` are those that it can have, where its model lists them."""

    kind: str
    values: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list, or what a projection makes."""

    item: "Shape"


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object whose keys are data."""

    value: "Shape"


@dataclass(frozen=True)
class Struct:
    """An object whose keys are known. They are made when they are looked at: a model may contain itself."""

    name: str
    make: Callable[[], Mapping[str, "Shape"]] = field(repr=False, compare=False)

    @cached_property
    def members(self) -> Mapping[str, "Shape"]:
        """The members by their names."""
        return self.make()


Shape = Anything | Scalar | ListOf | MapOf | Struct
ANYTHING = Anything()


def shape_at(path: str, shape: Shape) -> Shape:
    """Give the shape that a path finds in data of a shape; Anything where that cannot be decided.

    Raises PathError where the path is no JMESPath, names a function that there is not, or surely finds nothing.
    """
    try:
        tree = jmespath.compile(path).parsed
    except (JMESPathError, ValueError, RecursionError) as error:  # a ValueError: a literal that is no JSON
        message = f"it is no JMESPath: {' '.join(str(error).split())}"
        raise PathError(message) from error
    return _at(tree, shape)


def _at(node: Mapping[str, Any], shape: Shape) -> Shape:  # noqa: C901  a case for each kind of node
    children: Sequence[Any] = node["children"]
    match node["type"]:
        case "field":
            return _member(node["value"], shape)
        case "identity" | "current":
            return shape
        case "subexpression" | "pipe" | "index_expression":
            for child in children:
                shape = _at(child, shape)
            return shape
        case "index":
            return _item(shape)
        case "slice":
            return ListOf(_item(shape))
        case "flatten":
            return _flattened(_at(children[0], shape))
        case "projection" | "value_projection" | "filter_projection":
            return _projected(node, shape)
        case "function_expression":
            return _called(node["value"], children, shape)
        case "multi_select_dict":
            found = {child["value"]: _at(child["children"][0], shape) for child in children}
            return Struct("what the path makes", lambda: found)
    # What is left makes lists, booleans or either of two things: only its parts can be looked at.
    for child in children:
        _at(child, shape)
    return ANYTHING


def _member(name: str, shape: Shape) -> Shape:
    match shape:
        case Anything():
            return shape
        case MapOf(value):
            return value
        case Struct() if name in shape.members:
            return shape.members[name]
        case Struct():
            message = f"{shape.name} has no {name!r}, but {named(shape.members)}"
        case ListOf():
            message = f"{name!r} is asked of a list: say which of its items, such as [0] or [*]"
        case Scalar(kind):
            message = f"{name!r} is asked of a {kind}"
    raise PathError(message)


def _item(shape: Shape) -> Shape:
    match shape:
        case Anything():
            return shape
        case ListOf(item):
            return item
    message = "an item is asked of what is no list"
    raise PathError(message)


def _flattened(shape: Shape) -> Shape:
    item = _item(shape)
    return item if isinstance(item, ListOf) else ListOf(item)


def _projected(node: Mapping[str, Any], shape: Shape) -> Shape:
    left, right, *condition = node["children"]
    found = _at(left, shape)
    if node["type"] == "value_projection":
        item: Shape = found.value if isinstance(found, MapOf) else ANYTHING
    else:
        item = _item(found)
    for each in condition:
        _at(each, item)
    return ListOf(_at(right, item))


def _called(name: str, arguments: Sequence[Mapping[str, Any]], shape: Shape) -> Shape:
    if name not in _FUNCTIONS:
        message = f"JMESPath has no function {name!r}, but {named(_FUNCTIONS)}"
        raise PathError(message)
    wanted = _FUNCTIONS[name]["signature"]
    variadic = bool(wanted) and wanted[-1].get("variadic", False)
    if len(arguments) < len(wanted) or (len(arguments) > len(wanted) and not variadic):
        message = f"the function {name} takes {len(wanted)} arguments, and has {len(arguments)}"
        raise PathError(message)
    shapes = [_at(each, shape) for each in arguments if each["type"] != "expref"]
    if name in _OF_FIRST and isinstance(shapes[0], ListOf):
        return shapes[0]
    if name in _ELEMENT_OF_FIRST and isinstance(shapes[0], ListOf):
        return shapes[0].item
    return ANYTHING


def named(names: Mapping[str, Any] | Sequence[str], most: int = 12) -> str:
    """Give names as a line shows them: in their order, and not too many of them."""
    shown = list(names)
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return (", ".join(shown[:most]) or "nothing") + more
