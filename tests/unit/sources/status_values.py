"""What a preset's status can be, by botocore's model of the operation that it asks."""

from collections.abc import Iterator, Mapping
from typing import Any

import jmespath
from botocore.loaders import create_loader
from botocore.model import ListShape, OperationModel, ServiceModel, Shape, StructureShape

from scheduler.sources.presets import Preset, expand_preset

_LOADER = create_loader()


def entry_of(preset: Preset) -> dict[str, Any]:
    """Give the entry that a preset stands for, with what it needs given."""
    entry = expand_preset(preset.name, {name: "given" for name, each in preset.parameters.items() if each.needed})
    assert entry is not None
    return entry


def operation_of(entry: Mapping[str, Any]) -> OperationModel:
    """Give the model of the operation that an entry asks."""
    service = entry["aws"]["service"]
    model: OperationModel = ServiceModel(_LOADER.load_service_model(service, "service-2"), service).operation_model(
        entry["aws"]["operation"]
    )
    return model


def job_shape(entry: Mapping[str, Any]) -> Shape:
    """Give the shape that an entry's paths look into: the output, or a job's own item of a batch."""
    output = operation_of(entry).output_shape
    assert output is not None
    if batch := entry["aws"].get("batch"):
        items = output.members[batch["items"]]
        assert isinstance(items, ListShape)
        return items.member
    return output


def status_values(entry: Mapping[str, Any]) -> tuple[set[str], bool]:
    """Give the texts that an entry's status can be, and whether there are more that the model does not list."""
    values: set[str] = set()
    is_open = False
    for end in _ends(jmespath.compile(entry["status"]).parsed, job_shape(entry)):
        if isinstance(end, str):
            values.add(end)
        else:
            assert end.type_name == "string"
            values |= set(end.metadata.get("enum", ()))
            is_open |= "enum" not in end.metadata
    return values, is_open


def _ends(node: Mapping[str, Any], shape: Shape) -> Iterator[Shape | str]:
    """Give what an expression can find: `a || b` finds either, and `a && b` finds b or is passed over."""
    match node["type"]:
        case "or_expression":
            for child in node["children"]:
                yield from _ends(child, shape)
        case "and_expression":
            yield from _ends(node["children"][-1], shape)
        case "literal":
            yield node["value"]
        case _:
            yield _member(node, shape)


def _member(node: Mapping[str, Any], shape: Shape) -> Shape:
    match node["type"], shape:
        case "field", StructureShape():
            return shape.members[node["value"]]
        case "index", ListShape():
            return shape.member
        case "subexpression" | "index_expression", _:
            for child in node["children"]:
                shape = _member(child, shape)
            return shape
    message = f"a status is not read so: {node}"
    raise AssertionError(message)
