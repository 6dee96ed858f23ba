"""Specs: the sources of a file as values, each an entry that has been validated and whose presets are spelt out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Matcher = Literal["path", "pathAll", "pathAny", "status", "error"]
State = Literal["success", "failure", "retry"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How a source may be asked; None where its entry leaves it to the settings or to nobody.

    The first interval is `interval_seconds`; with each check of a job it grows by the factor `backoff`, up to
    `longest_seconds`. A row's own interval and most attempts win over these.
    """

    interval_seconds: float | None = None
    backoff: float = 1.0
    longest_seconds: float | None = None
    timeout_seconds: float | None = None
    max_attempts: int | None = None
    concurrency: int | None = None
    rate_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class AskHttp:
    """A request of an HTTP API; `{jobId}` and `{input.x}` stand in the url's path and query, headers and body.

    `auth` is one of bearer, basic, header, sigv4 and oauth2, with its secrets as references to where they are kept.
    A `body` that is not a text is sent as JSON.
    """

    url: str
    method: Literal["GET", "POST"] = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    auth: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """How an operation is asked for many jobs: the one parameter that is a list with `{jobId}` in it takes their ids.

    `items` is the path to the list in the reply, `id` the path to the job's id in each of its items; what the entry
    says of status, result and reason is then read from the job's own item.
    """

    items: str
    id: str
    most: int = 100


@dataclass(frozen=True, slots=True)
class AskAws:
    """An operation of an AWS API, with the names that botocore has for service, operation and parameters."""

    service: str
    operation: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    region: str | None = None
    role_arn: str | None = None
    batch: Batch | None = None


@dataclass(frozen=True, slots=True)
class AskLambda:
    """A Lambda function that takes CHECK_STATUS, for so many jobs at once."""

    function: str
    batch_size: int = 1


@dataclass(frozen=True, slots=True)
class Acceptor:
    """One rule in the format of botocore's waiters, version 2."""

    state: State
    matcher: Matcher
    expected: Any
    argument: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reply means: `status` with its lists, or `acceptors` in their order; a function's reply needs neither.

    Paths are JMESPath: over `{status, headers, body}` of an HTTP reply, over the output of an AWS operation.
    `unknown_errors` are an AWS service's codes for a job that it does not know.
    """

    status: str | None = None
    in_progress: Sequence[str] = ()
    completed: Sequence[str] = ()
    failed: Sequence[str] = ()
    acceptors: Sequence[Acceptor] = ()
    result: str | None = None
    reason: str | None = None
    unknown_errors: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One source: its name, how it is asked, what its replies mean, and its limits."""

    name: str
    ask: AskHttp | AskAws | AskLambda
    reading: Reading = field(default_factory=Reading)
    limits: Limits = field(default_factory=Limits)


def spec_of(name: str, entry: Mapping[str, Any]) -> SourceSpec:
    """Give the spec of an entry, taken to be valid: one of `http`, `aws` or `lambda`, and what goes with it."""
    acceptors = [Acceptor(**acceptor) for acceptor in entry.get("acceptors", ())]
    backoff = entry.get("backoff", {})
    limits = _taken(Limits, entry) | {"backoff": backoff.get("factor", 1.0), "longest_seconds": backoff.get("longest")}
    reading = Reading(**_taken(Reading, entry) | ({"acceptors": acceptors} if acceptors else {}))
    return SourceSpec(name, _ask(entry), reading, Limits(**limits))


def _ask(entry: Mapping[str, Any]) -> AskHttp | AskAws | AskLambda:
    if "http" in entry:
        return AskHttp(**entry["http"])
    if "aws" in entry:
        batch = entry["aws"].get("batch")
        return AskAws(**entry["aws"] | {"batch": Batch(**batch) if batch else None})
    return AskLambda(**entry["lambda"])


def _taken(made: type[Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: entry[each.name] for each in fields(made) if each.name in entry}
