"""Presets: entries for well-known job systems that travel with the program, each with a few parameters."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from scheduler.checks.findings import Findings, meant
from scheduler.sources.entry_models import LISTS, RULES
from scheduler.sources.plain_yaml import read_yaml

_LEFT_OUT = object()
_PLACE = re.compile(r"\{with\.([A-Za-z0-9_]+)\}")
_KEYS = {"about", "job_id", "partial", "with", "entry"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a preset; one that is `needed` has no default."""

    about: str
    needed: bool
    default: Any = None


@dataclass(frozen=True, slots=True)
class Preset:
    """What a preset's file says; `partial` is its decision about a partial success, where there can be one."""

    name: str
    about: str
    job_id: str
    entry: Mapping[str, Any]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    partial: str | None = None


@cache
def presets() -> Mapping[str, Preset]:
    """Give the presets by their names."""
    folder = files("scheduler.sources") / "presets"
    found = {
        each.name.removesuffix(".yaml"): each.read_text("utf-8")
        for each in folder.iterdir()
        if each.name.endswith(".yaml")
    }
    return {name: _preset(name, read_yaml(found[name])) for name in sorted(found)}


def preset(name: str) -> Preset | None:
    """Give a preset; None where there is none of that name."""
    return presets().get(name)


def expand_preset(name: str, given: Mapping[str, Any], found: Findings | None = None) -> dict[str, Any] | None:
    """Give the entry that a preset stands for, with its parameters filled in, or note why there is none."""
    found = Findings() if found is None else found
    chosen = preset(name)
    if chosen is None:
        known = f"there is no preset {name!r}; `callback-scheduler sources presets` lists them"
        found.fault("preset", known + meant(name, presets()))
        return None
    faults = len(found.faults)
    for each in given:
        if each not in chosen.parameters:
            allowed = f"the preset {name} has no such parameter, but {', '.join(chosen.parameters) or 'none'}"
            found.fault(f"with.{each}", allowed + meant(each, chosen.parameters))
    for each, parameter in chosen.parameters.items():
        if parameter.needed and given.get(each) is None:
            found.fault(f"with.{each}", f"the preset {name} needs it: {parameter.about}")
    if len(found.faults) > faults:
        return None
    values = {each: parameter.default for each, parameter in chosen.parameters.items()} | dict(given)
    entry = dict(chosen.entry)
    for kind in {"http", "aws"} & entry.keys():
        filled = _filled({key: value for key, value in entry[kind].items() if key != "batch"}, values)
        entry[kind] = filled | {key: value for key, value in entry[kind].items() if key == "batch"}
    return entry


def overridden(entry: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Give a preset's entry with what somebody's own entry says over it.

    A status that is listed there is taken out of the preset's other lists, so that one list turns a partial success.
    """
    made = dict(entry)
    if given.get("acceptors"):
        made = {key: value for key, value in made.items() if key not in RULES}
    elif any(given.get(key) is not None for key in RULES):
        made.pop("acceptors", None)
    moved = [value for key in LISTS for value in given.get(key) or ()]
    for key in LISTS:
        if key in made:
            made[key] = [value for value in made[key] if value not in moved]
    return made | dict(given)


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        if (whole := _PLACE.fullmatch(value)) is not None:
            return _LEFT_OUT if values[whole[1]] is None else values[whole[1]]
        return _PLACE.sub(lambda place: str(values[place[1]]), value)
    if isinstance(value, Mapping):
        made = {key: _filled(each, values) for key, each in value.items()}
        return {key: each for key, each in made.items() if each is not _LEFT_OUT}
    if isinstance(value, list):
        return [made for each in value if (made := _filled(each, values)) is not _LEFT_OUT]
    return value


def _preset(name: str, data: Any) -> Preset:
    """Read a preset's file, which is ours: what is wrong with it is a fault of ours."""
    if not isinstance(data, dict) or not {"about", "job_id", "entry"} <= data.keys() <= _KEYS:
        message = f"the preset {name} needs about, job_id and entry, and may have partial and with"
        raise ValueError(message)
    parameters = {
        each: Parameter(said["about"], "default" not in said, said.get("default"))
        for each, said in data.get("with", {}).items()
    }
    return Preset(name, data["about"], data["job_id"], data["entry"], parameters, data.get("partial"))
