"""An entry of the file of sources, as pydantic checks it: keys, types and ranges, each with what is allowed."""

from typing import Annotated, Any, Literal

from pydantic import Field

from scheduler.sources.auth_models import Auth, Strict, Text

_PARAMETERS = "a mapping, of the operation's parameters by their names"
_REGION: dict[str, Any] = {"pattern": r"^[a-z]{2}(-[a-z]+)+-\d$", "description": "a region such as eu-west-1"}
_ROLE: dict[str, Any] = {"pattern": r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$", "description": "the ARN of a role"}
_TEXTS = "a mapping of texts; put numbers in quotes"
_STATUSES = "a list of statuses"
_PATH = "a JMESPath"
Status = str | bool | int | float
Service = Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
_SERVICE = "the name that botocore has for a service, such as stepfunctions"


class Http(Strict):
    """A request of an HTTP API."""

    url: Text = Field(description="an address that begins with https:// or http://")
    method: Literal["GET", "POST"] = Field("GET", description="GET or POST")
    headers: dict[str, str] | None = Field(None, description=_TEXTS)
    query: dict[str, str] | None = Field(None, description=_TEXTS)
    body: Any = Field(None, description="a text, or anything that is sent as JSON")
    auth: Auth | None = Field(None, description="one of bearer, basic, header, sigv4 and oauth2")


class Batch(Strict):
    """How an operation is asked for many jobs at once."""

    items: Text = Field(description="a JMESPath to the list in the output that has an item for each job")
    id: Text = Field(description="a JMESPath to the job's id in such an item")
    most: int | None = Field(None, ge=1, le=1000, description="a whole number from 1 to 1000")


class Aws(Strict):
    """An operation of an AWS API."""

    service: Service = Field(description=_SERVICE)
    operation: Text = Field(description="the name of an operation, such as GetJobRun")
    parameters: dict[str, Any] | None = Field(None, description=_PARAMETERS)
    region: str | None = Field(None, **_REGION)
    role_arn: str | None = Field(None, **_ROLE)
    batch: Batch | None = Field(None, description="items, id and maybe most")


class Waiter(Strict):
    """One of botocore's own waiters."""

    service: Service = Field(description=_SERVICE)
    name: Text = Field(description="the name of a waiter, such as DBSnapshotCompleted")
    parameters: dict[str, Any] | None = Field(None, description=_PARAMETERS)
    region: str | None = Field(None, **_REGION)
    role_arn: str | None = Field(None, **_ROLE)


class Function(Strict):
    """A Lambda function that takes CHECK_STATUS."""

    function: str = Field(pattern=r"^[a-zA-Z0-9_:$-]{1,170}$", description="the name or ARN of a Lambda function")
    batch_size: int | None = Field(None, ge=1, le=100, description="a whole number from 1 to 100")


class AcceptorEntry(Strict):
    """One rule in the format of botocore's waiters, version 2."""

    state: Literal["success", "failure", "retry"] = Field(description="success, failure or retry")
    matcher: Literal["path", "pathAll", "pathAny", "status", "error"] = Field(
        description="path, pathAll, pathAny, status or error"
    )
    expected: Any = Field(description="the value that is expected")
    argument: Text | None = Field(None, description=_PATH)


class Backoff(Strict):
    """How the interval grows."""

    factor: float = Field(1.0, ge=1, le=10, description="a number from 1 to 10")
    longest: float | None = Field(None, ge=0.1, le=86_400, description="a number of seconds from 0.1 to 86400")


class Entry(Strict):
    """One source: how it is asked, what the reply means, and its limits."""

    http: Http | None = Field(None, description="url, and maybe method, headers, query, body and auth")
    aws: Aws | None = Field(None, description="service, operation, parameters, and maybe region, role_arn and batch")
    waiter: Waiter | None = Field(None, description="service, name, parameters, and maybe region and role_arn")
    lambda_: Function | None = Field(None, alias="lambda", description="function, and maybe batch_size")
    preset: Text | None = Field(None, description="the name of a preset")
    with_: dict[str, Any] | None = Field(None, alias="with", description="a mapping, of the preset's parameters")
    region: str | None = Field(None, **_REGION)
    role_arn: str | None = Field(None, **_ROLE)

    status: Text | None = Field(None, description=_PATH)
    in_progress: list[Status] | None = Field(None, description=_STATUSES)
    completed: list[Status] | None = Field(None, description=_STATUSES)
    failed: list[Status] | None = Field(None, description=_STATUSES)
    acceptors: list[AcceptorEntry] | None = Field(None, min_length=1, description="a list of acceptors")
    result: Text | None = Field(None, description=_PATH)
    reason: Text | None = Field(None, description=_PATH)
    unknown_errors: list[Text] | None = Field(None, description="a list of error codes")

    interval_seconds: float | None = Field(None, ge=0.1, le=86_400, description="a number of seconds from 0.1 to 86400")
    backoff: Backoff | None = Field(None, description="factor, and maybe longest")
    timeout_seconds: float | None = Field(None, ge=0.1, le=900, description="a number of seconds from 0.1 to 900")
    max_attempts: int | None = Field(None, ge=1, le=1_000_000, description="a whole number from 1 to 1000000")
    concurrency: int | None = Field(None, ge=1, le=1_000, description="a whole number from 1 to 1000")
    rate_per_second: float | None = Field(None, ge=0.001, le=10_000, description="a number from 0.001 to 10000")


KINDS = ("http", "aws", "waiter", "lambda", "preset")
LISTS = ("in_progress", "completed", "failed")
RULES = ("status", *LISTS, "acceptors")
READINGS = (*RULES, "result", "reason", "unknown_errors")
LIMITS = ("interval_seconds", "backoff", "timeout_seconds", "max_attempts", "concurrency", "rate_per_second")
