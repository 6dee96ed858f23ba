"""What must be right of a plain entry beyond types and ranges: readings, paths, placeholders and addresses."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from scheduler.checks.findings import Findings
from scheduler.checks.http_requests import check_ask
from scheduler.checks.shapes import ANYTHING, MapOf, PathError, Scalar, Shape, Struct, shape_at
from scheduler.checks.spec import AskHttp
from scheduler.checks.templates import TemplateError
from scheduler.sources.entry_models import LISTS, READINGS, RULES
from scheduler.sources.placeholders import named_in, texts

_HTTP_REPLY = Struct(
    "an HTTP reply",
    lambda: {"status": Scalar("number"), "headers": MapOf(Scalar("text")), "body": ANYTHING},
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


def check_plain(entry: Mapping[str, Any], found: Findings) -> None:
    """Note what is wrong with a plain entry, as far as that can be told without the models of AWS."""
    kind = next(each for each in ("http", "aws", "lambda") if each in entry)
    if kind == "lambda":
        for key in READINGS:
            if key in entry:
                found.fault(key, "it does not go with lambda, whose reply says by itself what it means")
    else:
        _check_rules(entry, kind, found)
        _check_paths(entry, _HTTP_REPLY if kind == "http" else ANYTHING, found)
        _check_placeholders(entry, kind, found)
    if kind == "http":
        _check_http(entry["http"], found)
        if "unknown_errors" in entry:
            found.fault("unknown_errors", "it goes with aws alone; with http, 404 says that a job is not known")
    longest, interval = entry.get("backoff", {}).get("longest"), entry.get("interval_seconds")
    if longest is not None and interval is not None and longest < interval:
        found.fault("backoff.longest", f"it is shorter than interval_seconds, {interval:g}")


def _check_rules(entry: Mapping[str, Any], kind: str, found: Findings) -> None:
    given = [key for key in RULES if key in entry]
    if "acceptors" in given:
        if len(given) > 1:
            found.fault("acceptors", f"they take the place of status and its lists, and {given[0]} is there too")
        _check_acceptors(entry["acceptors"], kind, found)
        return
    if "status" not in given:
        found.fault("status", "it is missing: a JMESPath to the job's status, or acceptors in its place")
    if not entry.get("completed"):
        found.fault("completed", "it is missing: the list of statuses of a job that has ended well")
    lists: dict[str, str] = {}
    for key in LISTS:
        for value in entry.get(key, ()):
            name = value if isinstance(value, str) else str(value).lower()
            if name in lists:
                found.fault(
                    key, f"{name!r} is in {lists[name]} too" if lists[name] != key else f"{name!r} is in it twice"
                )
            lists.setdefault(name, key)


def _check_acceptors(acceptors: list[Mapping[str, Any]], kind: str, found: Findings) -> None:
    for index, acceptor in enumerate(acceptors):
        key, matcher, expected = f"acceptors[{index}]", acceptor["matcher"], acceptor["expected"]
        if matcher.startswith("path"):
            if "argument" not in acceptor:
                found.fault(f"{key}.argument", f"it is missing: {matcher} needs a JMESPath")
            if isinstance(expected, dict | list) and matcher != "path":
                found.fault(f"{key}.expected", "it takes a text, a number or a boolean")
            continue
        if "argument" in acceptor:
            found.fault(f"{key}.argument", f"the matcher {matcher} takes none")
        if matcher == "status" and (isinstance(expected, bool) or not isinstance(expected, int)):
            found.fault(f"{key}.expected", "it takes the number of an HTTP status, such as 404")
        if matcher == "error" and kind == "http":
            found.fault(f"{key}.matcher", "an HTTP reply has no error code: it takes path, pathAll, pathAny or status")
        elif matcher == "error" and not isinstance(expected, str | bool):
            found.fault(f"{key}.expected", "it takes an error code, or true or false: whether there is one")
    if not any(acceptor["state"] == "success" for acceptor in acceptors):
        found.fault("acceptors", "none of them has the state success: no job would ever complete")


def _check_paths(entry: Mapping[str, Any], data: Shape, found: Findings) -> None:
    paths = {key: entry[key] for key in ("status", "result", "reason") if key in entry}
    for index, acceptor in enumerate(entry.get("acceptors", ())):
        if "argument" in acceptor:
            paths[f"acceptors[{index}].argument"] = acceptor["argument"]
    for key, path in (entry.get("aws", {}).get("batch") or {}).items():
        if isinstance(path, str):
            paths[f"aws.batch.{key}"] = path
    for key, path in paths.items():
        try:
            shape_at(path, data)
        except PathError as error:
            found.fault(key, str(error))


def _check_placeholders(entry: Mapping[str, Any], kind: str, found: Findings) -> None:
    """Note braces that cannot be filled; and where there is none, each job would ask the very same."""
    parts = ("url", "query", "headers", "body") if kind == "http" else ("parameters",)
    named: set[str] = set()
    for part in parts:
        for key, text in texts(entry[kind].get(part), f"{kind}.{part}"):
            try:
                named |= named_in(text)
            except ValueError as error:
                found.fault(key, str(error))
    if not named and not any(finding.key.startswith(f"{kind}.") for finding in found.faults):
        found.warn(kind, "neither {jobId} nor an {input.NAME} stands in it: each job asks the very same")


def _check_http(http: Mapping[str, Any], found: Findings) -> None:
    _check_url(http, found)
    for name, value in http.get("headers", {}).items():
        if not _HEADER_NAME.fullmatch(name):
            found.fault("http.headers", "it takes names of letters, digits and hyphens")
        elif any(ord(character) < ord(" ") for character in value):
            found.fault(f"http.headers.{name}", "a header takes no line breaks or other controls")
        elif name.lower() in SECRET_HEADERS and "{" not in value:
            found.warn(f"http.headers.{name}", "a secret does not belong into the file: see auth")
    if "body" in http and http.get("method", "GET") == "GET":
        found.fault("http.body", "a GET has no body; it goes with method: POST")
    if not any(finding.key.startswith("http.") for finding in found.faults):
        try:
            check_ask(AskHttp(**http))
        except TemplateError as error:
            found.fault("http", str(error))


def _check_url(http: Mapping[str, Any], found: Findings) -> None:
    url = http["url"]
    scheme, _, rest = url.partition("://")
    host = re.split(r"[/?#]", rest)[0]
    if scheme not in ("https", "http") or not host:
        found.fault("http.url", "it takes an address that begins with https:// or http://")
    elif "{" in host or "}" in host:
        found.fault("http.url", "no placeholder may stand in the host: allowed are the path and the query")
    elif "@" in host:
        found.fault("http.url", "no user and password may stand in it: see auth")
    elif "#" in rest:
        found.fault("http.url", "a part after # is never sent")
    elif any(character.isspace() or not character.isprintable() for character in url):
        found.fault("http.url", "it takes no blanks and controls: write them as %20")
    else:
        _check_host(scheme, host, http, found)


def _check_host(scheme: str, host: str, http: Mapping[str, Any], found: Findings) -> None:
    try:
        parts = urlsplit(f"{scheme}://{host}")
        name, _ = parts.hostname or "", parts.port
    except ValueError:
        found.fault("http.url", "its host or port cannot be read")
        return
    if scheme == "http" and http.get("auth") and name not in _LOCAL:
        found.warn("http.url", "auth goes over the network unencrypted: http:// and not https://")
