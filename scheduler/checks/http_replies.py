"""Replies of an HTTP API: what each says of the job, and what of the source alone."""

import json
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NoReturn

from scheduler.checks.readings import Reader
from scheduler.checks.spec import Reading
from scheduler.core.check_replies import Completed, Report, Unanswered, Unasked
from scheduler.core.service_calls import Refusal

MOST_BYTES = 1_048_576
"""The longest body that is read."""
LONGEST_AGAIN_SECONDS = 900.0
"""A source that wants to be left alone for longer is asked again after so long: it may have mistaken itself."""
_SHOWN = 200
_NEEDS_JSON = re.compile(r"\bbody\s*[.\[|]")
_GZIP_OR_ZLIB = 47
_WELL = range(200, 300)
_UNKNOWN_JOB = frozenset({404, 410})
_AUTH = {401: Refusal.CREDENTIALS, 403: Refusal.DENIED, 407: Refusal.UNREACHABLE}
_TOO_MANY, _UNAVAILABLE = 429, 503
_SOURCES_OWN = frozenset({*_AUTH, _TOO_MANY, _UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A reply; names of headers in lower case. `body` is None where it was longer than MOST_BYTES."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None = field(default=b"", repr=False)

    def again_seconds(self, now: float | None = None) -> float | None:
        """For how long the source wants not to be asked; None where it does not say so.

        A date is compared with the reply's own, so that no clock of ours matters; `now` (epoch) is for replies without.
        """
        said = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"\d{1,9}", said, re.ASCII):
            seconds = float(said)
        else:
            until, at = _epoch(said), _epoch(self.headers.get("date", ""))
            at = now if at is None else at
            if until is None or at is None:
                return None
            seconds = until - at
        return min(max(seconds, 0.0), LONGEST_AGAIN_SECONDS)


class HttpReader:
    """Reads the replies of one source."""

    def __init__(self, reading: Reading) -> None:
        """Compile the paths of a reading. Raises jmespath's JMESPathError."""
        self._reader = Reader(reading)
        by_status = [each for each in reading.acceptors if each.matcher == "status"]
        self._statuses = {each.expected for each in by_status if isinstance(each.expected, int)} - _SOURCES_OWN
        self._by_status = Reader(Reading(acceptors=by_status, result=reading.result, reason=reading.reason))
        paths = [reading.status, *(each.argument for each in reading.acceptors if each.matcher != "status")]
        self._needs_json = any(path and _NEEDS_JSON.search(path) for path in paths)
        self._result_needs_json = bool(reading.result and _NEEDS_JSON.search(reading.result))

    def takes_redirect(self, status: int) -> bool:
        """Whether an acceptor says what this status means, so that a redirect is a reply of its own."""
        return status in self._statuses

    def read(self, reply: HttpReply, now: float | None = None) -> Report:
        """Give what a reply says. Whatever is not clear is Unanswered: never a success, never an end.

        Refused credentials and throttling say nothing of the job: Unasked. 503 does so only with Retry-After, for
        without it may come from a fault over this one job, for which the others must not wait. 404 and 410 are an
        unknown job. An acceptor may name any other status.
        """
        if refused := self._refused(reply, now):
            return refused
        if reply.status not in _WELL and reply.status not in self._statuses:
            return Unanswered(reply_error(reply), unknown_job=reply.status in _UNKNOWN_JOB)
        body = _decoded(reply)
        if body is None:
            return Unanswered(f"the source's reply is longer than {MOST_BYTES:,} bytes, or encoded unasked")
        data, is_json = _content(body)
        whole = {"status": reply.status, "headers": dict(reply.headers), "body": data}
        not_json = Unanswered(f"the source's reply is not JSON: {body[:_SHOWN]!r}")
        reader = self._reader
        if self._needs_json and not is_json:
            if reply.status not in self._statuses:
                return not_json
            reader = self._by_status
        report = reader.read(whole, status=reply.status, jobs_own=data)
        if isinstance(report, Completed) and self._result_needs_json and not is_json:
            return not_json
        return report

    def _refused(self, reply: HttpReply, now: float | None) -> Unasked | None:
        if refusal := _AUTH.get(reply.status):
            return Unasked(reply_error(reply), refusal)
        again = reply.again_seconds(now)
        if reply.status == _TOO_MANY or (reply.status == _UNAVAILABLE and again is not None):
            return Unasked(reply_error(reply), Refusal.THROTTLED, again)
        return None


def read_http(reading: Reading, status: int, headers: Mapping[str, str], body: bytes | None) -> Report:
    """Read one reply; whoever reads many of a source keeps its HttpReader."""
    return HttpReader(reading).read(HttpReply(status, {name.lower(): value for name, value in headers.items()}, body))


def reply_error(reply: HttpReply) -> str:
    """Give the line that tells of a reply that is no answer."""
    try:
        phrase = f" {HTTPStatus(reply.status).phrase}"
    except ValueError:
        phrase = ""
    body = _decoded(reply)
    text = " ".join((body or b"")[:_SHOWN].decode(errors="replace").split())
    return f"the source replied with {reply.status}{phrase}{': ' if text else ''}{text}"


def parsed_json(body: bytes) -> Any:
    """Parse JSON; raises ValueError or RecursionError, also for numbers that could not be written as JSON again."""
    return json.loads(body.removeprefix(b"\xef\xbb\xbf"), parse_constant=_refuse, parse_float=_finite)


def _content(body: bytes) -> tuple[Any, bool]:
    """Give a body as data, and whether paths can lead into it: it is JSON, and more than one bare value."""
    try:
        data = parsed_json(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace"), False
    return data, isinstance(data, dict | list)


def _decoded(reply: HttpReply) -> bytes | None:
    """Give the body as it was before it was compressed, though nobody asked for that; None where it is too long."""
    encoding = reply.headers.get("content-encoding", "identity").strip().lower()
    if reply.body is None or encoding in {"identity", ""}:
        return reply.body
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        return None
    try:
        body = zlib.decompressobj(_GZIP_OR_ZLIB).decompress(reply.body, MOST_BYTES + 1)
    except zlib.error:
        return None
    return body if len(body) <= MOST_BYTES else None


def _epoch(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _refuse(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)
