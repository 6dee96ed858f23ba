"""Whether what an entry reads is in an operation's output, and whether it thinks of every status that there can be."""

from collections.abc import Iterable, Mapping
from typing import Any

from scheduler.checks.findings import Findings, meant
from scheduler.checks.shapes import Anything, ListOf, PathError, Scalar, Shape, named, shape_at

LISTS = ("in_progress", "completed", "failed")


def check_reading(entry: Mapping[str, Any], data: Shape, found: Findings) -> None:
    """Note what is wrong with `status` and its lists, `acceptors`, `result` and `reason`, over data of a shape."""
    for key in ("result", "reason"):
        if entry.get(key) is not None:
            _look(entry[key], data, key, found)
    if (path := entry.get("status")) is not None:
        status = _look(path, data, "status", found)
        if isinstance(status, Scalar):
            _check_lists(entry, status.values, found)
        elif status is not None and not isinstance(status, Anything):
            kind = "a list" if isinstance(status, ListOf) else "an object"
            found.fault("status", f"it finds {kind}, and must find one text, number or boolean")
    _check_acceptors(entry.get("acceptors", ()), data, found)


def _look(path: str, data: Shape, key: str, found: Findings) -> Shape | None:
    try:
        return shape_at(path, data)
    except PathError as error:
        found.fault(key, str(error))
        return None


def _check_lists(entry: Mapping[str, Any], values: Iterable[str], found: Findings) -> None:
    known = list(values)
    if not known:
        return
    listed = {str(value): key for key in LISTS for value in entry.get(key, ())}
    for value, key in listed.items():
        if value not in known:
            allowed = f"{value!r} is no status that {entry['status']} can have, but {named(known, most=40)}"
            found.fault(key, allowed + meant(value, known))
    left = [value for value in known if value not in listed]
    if left:
        found.warn("status", f"in none of the lists, and so never an end: {named(left, most=40)}")


def _check_acceptors(acceptors: Iterable[Mapping[str, Any]], data: Shape, found: Findings) -> None:
    expected: dict[str, set[Any]] = {}
    enums: dict[str, list[str]] = {}
    for index, acceptor in enumerate(acceptors):
        path = acceptor.get("argument")
        if path is None:
            continue
        key = f"acceptors[{index}]"
        shape = _look(path, data, f"{key}.argument", found)
        if acceptor["matcher"] in ("pathAll", "pathAny"):
            if isinstance(shape, ListOf):
                shape = shape.item
            elif shape is not None and not isinstance(shape, Anything):
                found.fault(f"{key}.argument", f"{acceptor['matcher']} needs a path that finds a list")
                continue
        if isinstance(shape, Scalar) and shape.values:
            enums[path] = list(shape.values)
            expected.setdefault(path, set()).add(acceptor["expected"])
            if acceptor["expected"] not in shape.values:
                allowed = f"{path} is never {acceptor['expected']!r}, but {named(enums[path], most=40)}"
                found.fault(f"{key}.expected", allowed + meant(str(acceptor["expected"]), shape.values))
    for path, values in enums.items():
        left = [value for value in values if value not in expected[path]]
        if left:
            found.warn("acceptors", f"of {path} none names, and so they are taken for in progress: {named(left, 40)}")
