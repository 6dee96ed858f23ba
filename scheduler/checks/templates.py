"""Templates: texts in which `{jobId}` and `{input.x}` stand for what a row says of its job.

What a row says is data that anybody may have chosen, so it never gets out of its place: not out of the segment of a
path, the value of a query, the line of a header.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit
from xml.sax.saxutils import escape

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAMED = re.compile(r"jobId|input(\.[^\s.{}]+)+")
_AS_WRITTEN = "/?:@!$&'()*+,;=~%[]"  # what a person writes into a URL stays, and what cannot stand there is encoded
_NOT_IN_A_LINE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FORM, _XML, _PLAIN = "application/x-www-form-urlencoded", "xml", "text/plain"


class TemplateError(ValueError):
    """A template that nothing can be put into; the text says what is allowed."""


class UnfitJobError(ValueError):
    """A job for which a template cannot be filled; the text names the placeholder and not its value."""


@dataclass(frozen=True, slots=True)
class JobRef:
    """What a template is filled with: the job's id, and the input that its row gives its source."""

    job_id: str
    input: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """The place of a value, by its name: `jobId`, `input.x`, `input.x.y`."""

    name: str

    def of(self, job: JobRef) -> Any:
        """Give the value. Raises UnfitJobError where the row has none."""
        if self.name == "jobId":
            return job.job_id
        value: Any = job.input
        for key in self.name.split(".")[1:]:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is None:
            message = f"its row gives no {self.name}"
            raise UnfitJobError(message)
        return _plain(value, self.name)


def placeholders(value: Any) -> set[str]:
    """Give the names that stand in a text, or in the texts of a list or a mapping. Raises TemplateError."""
    if isinstance(value, str):
        return {part.name for part in _parts(value) if isinstance(part, Placeholder)}
    if isinstance(value, Mapping):
        return {name for each in value.values() for name in placeholders(each)}
    return {name for each in value for name in placeholders(each)} if isinstance(value, list | tuple) else set()


def fill_text(template: str, job: JobRef) -> str:
    """Fill a text in which nothing has a meaning. Raises UnfitJobError."""
    return _filled(template, job, lambda text, _: text)


def fill_header(template: str, job: JobRef) -> str:
    """Fill the value of a header. Raises UnfitJobError where it would not stay in one line of ASCII."""

    def fit(text: str, name: str) -> str:
        if not text.isascii() or _NOT_IN_A_LINE.search(text):
            message = f"{name} does not fit into a header: it has characters that may not stand there"
            raise UnfitJobError(message)
        return text

    return _filled(template, job, fit)


def fill_data(value: Any, job: JobRef) -> Any:
    """Fill the texts in data; one that is nothing but a placeholder becomes its value, of the type that the row has."""
    if isinstance(value, str):
        match _parts(value):
            case (Placeholder() as whole,):
                return whole.of(job)
        return fill_text(value, job)
    if isinstance(value, Mapping):
        return {key: fill_data(each, job) for key, each in value.items()}
    return [fill_data(each, job) for each in value] if isinstance(value, list | tuple) else value


def fill_body(template: str, job: JobRef, content_type: str) -> str:
    """Fill a body that is a text, encoded as its type calls for. Raises UnfitJobError or TemplateError."""
    kind = content_type.split(";", maxsplit=1)[0].strip().lower()
    if kind == _FORM:
        return _filled(template, job, _encoded)
    if kind.endswith(_XML):
        return _filled(template, job, lambda text, _: escape(text, {'"': "&quot;", "'": "&apos;"}))
    if kind == _PLAIN or not placeholders(template):
        return fill_text(template, job)
    message = f"placeholders cannot stand in a text of type {kind}: write the body as data, not as a text"
    raise TemplateError(message)


def check_url(url: str) -> None:
    """Raise TemplateError where a URL is none that jobs can be asked at."""
    try:
        split = urlsplit(url)
        host, _ = split.hostname, split.port
    except ValueError as error:
        message = f"it is no URL: {error}"
        raise TemplateError(message) from error
    fault = None
    if split.scheme not in {"http", "https"}:
        fault = "it must begin with https:// or http://"
    elif not host or not split.netloc.isascii() or re.search(r"[{}\s\\%]", split.netloc):
        fault = "its host must be a plain name or address: no placeholder may stand there"
    elif "@" in split.netloc:
        fault = "no user may stand before the host: `auth` is the place for that"
    elif "#" in url:
        fault = "no # may stand in it: what follows is never sent"
    elif any(segment in {".", ".."} for segment in split.path.split("/")):
        fault = "no segment of its path may be . or .."
    elif re.search(r"[\x00-\x20\x7f]", url):
        fault = "no space and no control character may stand in it"
    if fault:
        raise TemplateError(fault)
    placeholders(url)


def fill_url(url: str, query: Mapping[str, str], job: JobRef) -> str:
    """Fill a URL and the query that is put behind it. Raises UnfitJobError; TemplateError as `check_url` does."""
    check_url(url)
    split = urlsplit(url)
    path = "/".join(_segment(segment, job) for segment in split.path.split("/"))
    pairs = [f"{quote(name, safe='')}={_filled(value, job, _encoded, _whole)}" for name, value in query.items()]
    asked = "&".join([*([_filled(split.query, job, _encoded, _kept)] if split.query else []), *pairs])
    return f"{split.scheme}://{split.netloc}{path or '/'}{'?' if asked else ''}{asked}"


def _segment(template: str, job: JobRef) -> str:
    """Fill one segment of a path.

    Dots are never taken for a step up: not even encoded ones, which servers and proxies decode first. So a value is
    refused that holds such a step behind a slash of its own, and an empty one that would name the whole collection.
    """

    def encoded(text: str, name: str) -> str:
        if not text or {".", ".."} & set(re.split(r"[/\\]", text)[1:]):
            message = f"{name} does not fit into a URL: it is empty, or leads out of its place"
            raise UnfitJobError(message)
        return _encoded(text, name)

    filled = _filled(template, job, encoded, _kept)
    if re.match(r"\.{1,2}(%2F|%5C|$)", filled, re.IGNORECASE):
        message = "the job does not fit into a URL: a segment of the path would be . or .."
        raise UnfitJobError(message)
    return filled


def _encoded(text: str, name: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError as error:
        message = f"{name} does not fit into a URL: it is no text of Unicode"
        raise UnfitJobError(message) from error


def _kept(literal: str) -> str:
    return quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", literal), safe=_AS_WRITTEN)


def _whole(literal: str) -> str:
    return quote(literal, safe="")


def _filled(
    template: str, job: JobRef, place: Callable[[str, str], str], literal: Callable[[str], str] = lambda text: text
) -> str:
    return "".join(
        place(_text(part.of(job), part.name), part.name) if isinstance(part, Placeholder) else literal(part)
        for part in _parts(template)
    )


def _text(value: Any, name: str) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
    message = f"{name} is neither a text nor a number"
    raise UnfitJobError(message)


def _plain(value: Any, name: str) -> Any:
    """Give a value of a row as JSON has it."""
    match value:
        case Decimal():
            return _plain(float(value), name)
        case float() if math.isfinite(value):
            return value
        case str() | bool() | int() | None:
            return value
        case Mapping():
            return {str(key): _plain(each, name) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each, name) for each in value]
    message = f"{name} is nothing that can be sent"
    raise UnfitJobError(message)


@lru_cache(maxsize=4096)
def _parts(template: str) -> tuple[str | Placeholder, ...]:
    """Part a template into what stands in it as it is, and its placeholders. Raises TemplateError."""
    parts: list[str | Placeholder] = []
    end = 0
    for token in _TOKEN.finditer(template):
        parts.append(template[end : token.start()])
        end = token.end()
        if token[0] in {"{{", "}}"}:
            parts.append(token[0][0])
        elif token[1] is not None and _NAMED.fullmatch(token[1]):
            parts.append(Placeholder(token[1]))
        else:
            message = f"{token[0]} is no placeholder: {{jobId}} and {{input.name}} are; a brace itself is {{{{ or }}}}"
            raise TemplateError(message)
    parts.append(template[end:])
    return tuple(part for part in parts if part)
