"""What pydantic found, in the words of a person: at which key, and what is allowed there; never a value."""

import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from scheduler.checks.findings import Finding, meant


def explained(model: type[BaseModel], error: ValidationError) -> list[Finding]:
    """Give a finding for each fault, once for each key.

    What stands at the key is never shown: it may be a secret that was written where the name of one belongs.
    """
    found: dict[str, Finding] = {}
    for fault in error.errors(include_url=False, include_input=False):
        key, allowed, names = _place(model, fault["loc"])
        match fault["type"]:
            case "extra_forbidden":
                name = str(fault["loc"][-1])
                text = f"there is no such key; allowed are {', '.join(names)}{meant(name, names)}"
            case "missing":
                text = f"it is missing: {allowed}"
            case "value_error":
                text = str(fault["ctx"]["error"])
            case _:
                text = f"it takes {allowed}"
        found.setdefault(key, Finding(key, text))
    return list(found.values())


def _place(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[str, str, list[str]]:
    """Give the key of a place as a person writes it, what is allowed there, and the keys that there are beside it."""
    key, allowed, names = "", "a mapping", []
    within: type[BaseModel] | None = model
    free = False
    for part in loc:
        if isinstance(part, int):
            key += f"[{part}]"
            continue
        if within is not None:
            fields = {field.alias or name: field for name, field in within.model_fields.items()}
            names = list(fields)
            key += f"{'.' if key else ''}{part}"
            if part not in fields:
                break  # a key that there is not
            allowed = fields[part].description or "something else"
            free = "dict" in str(fields[part].annotation)
            models = list(_models(fields[part].annotation))
            within = models[0] if len(models) == 1 and not _is_choice(fields[part].annotation) else None
        elif free:
            key += f".{part}"
            free = False
        else:
            break  # what pydantic calls the branches of a choice
    return key, allowed, names


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in typing.get_args(annotation):
        yield from _models(each)


def _is_choice(annotation: Any) -> bool:
    """Whether a key takes one of several types, and not only None beside one."""
    return len([each for each in typing.get_args(annotation) if each is not type(None)]) > 1
