"""The file of sources: read, checked with all its faults told at once, and spelt out as plain entries."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from scheduler.checks.findings import Findings
from scheduler.checks.spec import SourceSpec, spec_of
from scheduler.errors import SettingsError
from scheduler.sources.auth_models import exactly_one
from scheduler.sources.entry_checks import check_plain
from scheduler.sources.entry_models import KINDS, LIMITS, READINGS, RULES, Entry
from scheduler.sources.explaining import explained
from scheduler.sources.plain_yaml import UnreadableError, read_json, read_yaml
from scheduler.sources.presets import expand_preset, overridden

VARIABLE = "SCHEDULER_SOURCES"
_LARGEST = 1_000_000  # bytes
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,139}")
_KINDS = set(KINDS)


class Models(Protocol):
    """Whoever knows the models of AWS's services."""

    def check(self, entry: Mapping[str, Any], *, lenient: bool = False) -> Findings:
        """Check an expanded entry that asks an AWS API; a lenient check warns of what a reading has wrong."""
        ...

    def waiter(self, waiter: Mapping[str, Any], found: Findings) -> dict[str, Any] | None:
        """Give the entry that a waiter stands for, or note why there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of a file.

    `entries` are plain and expanded, and can be written as JSON; `origins` say what each was written as; `findings` has
    the warnings of each by its name, and `warnings` all of them as lines.
    """

    file: str = VARIABLE
    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    findings: Mapping[str, Findings] = field(default_factory=dict)

    @property
    def specs(self) -> dict[str, SourceSpec]:
        """The specs of the entries, by their names."""
        return {name: spec_of(name, entry) for name, entry in self.entries.items()}

    @property
    def warnings(self) -> list[str]:
        """A line for each warning."""
        return [
            f"{self.file}: {name}: {each.key}: {each.text}"
            for name, found in self.findings.items()
            for each in found.warnings
        ]


def read_entries(value: str, models: Models) -> Sources:
    """Read what SCHEDULER_SOURCES names: a file, or JSON in place. Raises SettingsError with a line for each fault."""
    file, data = _data(value)
    if not isinstance(data, dict):
        message = f"{file}: it takes a mapping, of the sources by their names"
        raise SettingsError(message)
    entries: dict[str, Mapping[str, Any]] = {}
    findings: dict[str, Findings] = {}
    for name, raw in data.items():
        findings[name] = found = Findings()
        if not _NAME.fullmatch(name):
            found.fault("name", "it takes up to 140 letters, digits, '_', '-' and '.', a letter or digit first")
        elif (entry := _expanded(raw, models, found)) is not None:
            entries[name] = entry
    faults = [
        f"{file}: {name!r}: {each.text}" if each.key == "name" else f"{file}: {name}: {_at(each.key)}{each.text}"
        for name, found in findings.items()
        for each in found.faults
    ]
    if faults:
        raise SettingsError("\n".join(faults))
    return Sources(file, entries, {name: _origin(raw) for name, raw in data.items()}, findings)


def _at(key: str) -> str:
    return f"{key}: " if key else ""


def _data(value: str) -> tuple[str, Any]:
    if value.lstrip().startswith("{"):
        try:
            return VARIABLE, read_json(value)
        except UnreadableError as error:
            message = f"{VARIABLE}: it is no JSON, as what begins with {{ must be: {error}"
            raise SettingsError(message) from None
    try:
        with Path(value).open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            message = f"{value}: it is larger than {_LARGEST} bytes"
            raise SettingsError(message)
        return value, read_yaml(content.decode("utf-8-sig"))
    except (OSError, ValueError) as error:
        why = error if isinstance(error, UnreadableError) else getattr(error, "strerror", None) or "it is not UTF-8"
        if isinstance(error, OSError) or "\0" in value:
            message = f"{VARIABLE}={value!r} is not allowed ({why}): it takes the path of a YAML file, or JSON"
        else:
            message = f"{value}: {why}"
        raise SettingsError(message) from None


def _expanded(raw: Any, models: Models, found: Findings) -> dict[str, Any] | None:
    """Give the plain entry that a raw one stands for; None, and faults, where there is none."""
    given = _checked(raw, found)
    if given is None:
        return None
    if "preset" in given:
        given = _from_preset(given, found)
    elif "waiter" in given:
        waiter = models.waiter(given["waiter"], found)
        own = {key: value for key, value in given.items() if key != "waiter"}
        given = waiter and waiter | own
    # A preset's parameters may be anything: what comes of them is checked like an entry that somebody wrote.
    if given is None or (given := _checked(given, found)) is None:
        return None
    check_plain(given, found)
    if "aws" in given:
        told = {(each.key, each.text) for each in found.faults}
        checked = models.check(given, lenient="waiter" in raw)
        found.faults += [each for each in checked.faults if (each.key, each.text) not in told]
        found.warnings += checked.warnings
    return None if found.faults else given


def _checked(raw: Any, found: Findings) -> dict[str, Any] | None:
    """Give an entry whose keys, types and ranges are right, without those that say nothing."""
    try:
        exactly_one(raw, _KINDS, "a source")
    except ValueError as error:
        found.fault("", str(error))
        return None
    try:
        entry = Entry.model_validate(raw)
    except ValidationError as error:
        found.faults += explained(Entry, error)
        return None
    if "preset" in raw:
        # What is null here takes away what the preset has.
        return {key: value for key, value in raw.items() if value is not None or key in READINGS + LIMITS}
    faults = len(found.faults)
    for key in ("with", "region", "role_arn"):
        if raw.get(key) is not None:
            place = "" if key == "with" else f"; with {_kind(raw)} it stands inside of that"
            found.fault(key, f"it goes with preset alone{place}")
    if "waiter" in raw:
        for key in RULES:
            if raw.get(key) is not None:
                found.fault(key, "it does not go with waiter, which has acceptors of its own; use aws")
    return (
        None if len(found.faults) > faults else entry.model_dump(by_alias=True, exclude_none=True, exclude_unset=True)
    )


def _from_preset(given: Mapping[str, Any], found: Findings) -> dict[str, Any] | None:
    entry = expand_preset(given["preset"], given.get("with") or {}, found)
    if entry is None:
        return None
    place = {key: given[key] for key in ("region", "role_arn") if given.get(key) is not None}
    if place and "aws" not in entry:
        found.fault(next(iter(place)), f"the preset {given['preset']} asks no AWS API")
        return None
    if "aws" in entry:
        entry["aws"] = entry["aws"] | place
    own = {key: value for key, value in given.items() if key in READINGS + LIMITS}
    return {key: value for key, value in overridden(entry, own).items() if value is not None}


def _kind(raw: Mapping[str, Any]) -> str:
    return next((kind for kind in KINDS if kind in raw), "none")


def _origin(raw: Mapping[str, Any]) -> str:
    """Say in short how a source is asked."""
    kind = _kind(raw)
    match kind:
        case "preset":
            return f"preset {raw['preset']}"
        case "waiter":
            return f"waiter {raw['waiter']['service']} {raw['waiter']['name']}"
        case "aws":
            return f"aws {raw['aws']['service']} {raw['aws']['operation']}"
        case "lambda":
            return f"lambda {raw['lambda']['function']}"
    # A query may hold a secret, against the advice of the guide.
    return f"http {raw['http']['url'].partition('?')[0]}"
