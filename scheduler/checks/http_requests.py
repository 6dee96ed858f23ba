"""Requests of an HTTP API, as values: whoever asks sends them as they are, byte for byte."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from scheduler.checks.spec import AskHttp
from scheduler.checks.templates import (
    JobRef,
    TemplateError,
    UnfitJobError,
    check_url,
    fill_body,
    fill_data,
    fill_header,
    fill_url,
    placeholders,
)

MOST_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GOES_ON_AS_GET = frozenset({301, 302, 303})
_FORM = "application/x-www-form-urlencoded"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_A_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect", "upgrade"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. Headers may hold secrets, so they are not shown; `url` is encoded and must be sent unchanged."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)

    def having(self, headers: Mapping[str, str]) -> "HttpRequest":
        """Give the request with these headers, in place of those with the same names."""
        names = {name.lower() for name in headers}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in names}
        return replace(self, headers=kept | dict(headers))


def http_request(ask: AskHttp, job_id: str, given: Mapping[str, Any] | None = None) -> HttpRequest:
    """Give the request for a job's status, without auth.

    Raises UnfitJobError where an input is missing or would get out of its place.
    """
    job = JobRef(job_id, given or {})
    headers = {"Accept": "application/json", "User-Agent": "callback-scheduler"}
    request = HttpRequest(ask.method, fill_url(ask.url, ask.query, job), headers).having(
        # A compressed reply of 1 MB could be one of a gigabyte.
        {name: fill_header(value, job) for name, value in ask.headers.items()} | {"Accept-Encoding": "identity"}
    )
    if ask.body is None:
        return request
    named = next((value for name, value in request.headers.items() if name.lower() == "content-type"), None)
    kind, body = _body(ask.body, job, named)
    return replace(request.having({"Content-Type": kind}), body=body)


def check_ask(ask: AskHttp) -> None:
    """Raise TemplateError where no job could be asked for so."""
    check_url(ask.url)
    for name, value in ask.headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OURS:
            message = f"header {name!r}: it is no name of a header, or one that is not an entry's to set"
            raise TemplateError(message)
        if not value.isascii() or _NOT_IN_A_HEADER.search(value):
            message = f"header {name}: its value must be one line of ASCII"
            raise TemplateError(message)
    for each in (ask.headers, ask.query, ask.body):
        placeholders(each)
    if isinstance(ask.body, str):
        kind = next((value for name, value in ask.headers.items() if name.lower() == "content-type"), "text/plain")
        try:
            fill_body(ask.body, JobRef("job"), kind)
        except UnfitJobError:  # the job's own matter
            return


def redirected(request: HttpRequest, status: int, location: str | None) -> HttpRequest | None:
    """Give the request that a redirect asks for, None where it leads to another scheme, host or port."""
    try:
        url = urljoin(request.url, location or "")
        # What a reply says is no template: its braces are its own.
        check_url(url.replace("{", "%7B").replace("}", "%7D"))
        if not location or not url.isascii() or _origin(url) != _origin(request.url):
            return None
    except ValueError:
        return None
    if status not in _GOES_ON_AS_GET or request.method == "GET":
        return replace(request, url=url)
    headers = {name: value for name, value in request.headers.items() if name.lower() != "content-type"}
    return HttpRequest("GET", url, headers)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    split = urlsplit(url)
    return split.scheme, split.hostname, split.port or _DEFAULT_PORTS.get(split.scheme)


def _body(template: Any, job: JobRef, kind: str | None) -> tuple[str, bytes]:
    """Give a body and its type: a text as it is, data as a form where it is to be one, and as JSON otherwise."""
    try:
        if isinstance(template, str):
            kind = kind or "text/plain"
            return kind, fill_body(template, job, kind).encode()
        data = fill_data(template, job)
        if isinstance(data, Mapping) and kind and kind.lower().startswith(_FORM):
            return kind, urlencode(data, doseq=True).encode()
    except UnicodeEncodeError as error:
        message = "the job does not fit into a body: it is no text of Unicode"
        raise UnfitJobError(message) from error
    return kind or "application/json", json.dumps(data).encode()
