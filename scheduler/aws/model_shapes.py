"""The shapes of botocore's models: as paths look into them, and as parameters must fit them."""

import re
from collections.abc import Mapping
from typing import Any

from botocore.model import ListShape, MapShape, StructureShape
from botocore.model import Shape as ModelShape

from scheduler.checks.findings import Findings, meant
from scheduler.checks.shapes import ANYTHING, ListOf, MapOf, Scalar, Shape, Struct, named

_ANY_INPUT = re.compile(r"\{input\.[^{}]+\}")
"""A text that is nothing but an input of the job keeps the type of that input."""
_TAKES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "a text; put it in quotes"),
    "character": ((str,), "a text; put it in quotes"),
    "blob": ((str,), "a text"),
    "timestamp": ((str, int, float), "a time, such as '2026-01-31T00:00:00Z'"),
    "integer": ((int,), "a whole number"),
    "long": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "double": ((int, float), "a number"),
    "bigdecimal": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
    "list": ((list,), "a list"),
    "map": ((dict,), "a mapping"),
    "structure": ((dict,), "a mapping"),
}


def output_shape(shape: ModelShape | None) -> Shape:
    """Give an output as paths look into it."""
    if shape is None:
        return Struct("the output", dict)
    free = getattr(shape, "is_document_type", False) or getattr(shape, "is_eventstream", False)
    if free or shape.serialization.get("jsonvalue"):
        return ANYTHING
    match shape:
        case StructureShape():
            members = shape.members
            return Struct(shape.name, lambda: {name: output_shape(member) for name, member in members.items()})
        case ListShape():
            return ListOf(output_shape(shape.member))
        case MapShape():
            return MapOf(output_shape(shape.value))
    return Scalar("text" if shape.type_name == "string" else shape.type_name, tuple(shape.metadata.get("enum", ())))


def check_parameters(given: Any, shape: ModelShape | None, key: str, found: Findings) -> None:
    """Note what is wrong with an operation's parameters: names, types, and those that are missing."""
    if shape is None:
        if given:
            found.fault(key, "the operation takes no parameters")
        return
    if isinstance(given, str) and _ANY_INPUT.fullmatch(given):
        return
    types, words = _TAKES.get(shape.type_name, ((object,), "anything"))
    fits: bool = isinstance(given, types)
    if not fits or (isinstance(given, bool) and bool not in types):
        found.fault(key, f"it takes {words}")
        return
    match shape:
        case StructureShape() if not getattr(shape, "is_document_type", False):
            _check_structure(given, shape, key, found)
        case ListShape():
            for index, each in enumerate(given):
                check_parameters(each, shape.member, f"{key}[{index}]", found)
        case MapShape():
            for name, each in given.items():
                check_parameters(each, shape.value, f"{key}.{name}", found)


def _check_structure(given: Mapping[str, Any], shape: StructureShape, key: str, found: Findings) -> None:
    for name, each in given.items():
        if name in shape.members:
            check_parameters(each, shape.members[name], f"{key}.{name}", found)
        else:
            allowed = f"there is no such parameter; allowed are {named(shape.members)}"
            found.fault(f"{key}.{name}", allowed + meant(name, shape.members))
    for name in shape.required_members:
        # A token against repeats is made by the SDK where none is given.
        if name not in given and not shape.members[name].metadata.get("idempotencyToken"):
            found.fault(f"{key}.{name}", "the operation needs it")
