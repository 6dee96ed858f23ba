"""The texts of an entry in which placeholders may stand, each with its key."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from scheduler.checks.templates import TemplateError, placeholders

_IN_BRACES = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.]{0,40})\}")


def texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Give each text inside of nested data, with its key."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from texts(each, f"{key}.{name}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from texts(each, f"{key}[{index}]")


def named_in(text: str) -> set[str]:
    """Give the names of the placeholders in a text. Raises ValueError, whose words show nothing but names.

    A body may be JSON in a text, with anything between its braces.
    """
    try:
        return placeholders(text)
    except TemplateError:
        for name in _IN_BRACES.findall(text.replace("{{", "").replace("}}", "")):
            if not _is_known(name):
                message = f"{{{name}}} is not known; allowed are {{jobId}} and {{input.NAME}}"
                raise ValueError(message) from None
        message = "braces hold {jobId} or {input.NAME}; a literal brace is written twice, as {{ or }}"
        raise ValueError(message) from None


def _is_known(name: str) -> bool:
    try:
        return bool(placeholders(f"{{{name}}}"))
    except TemplateError:
        return False
