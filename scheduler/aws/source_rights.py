"""What the poller Lambda's role must allow for its sources: their functions, secrets, roles and operations."""

from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session

from scheduler.aws.arns import Place, function_arn
from scheduler.aws.poller_sources import Entries, secrets

Right = tuple[str, str]
"""An action and a resource."""
_ALL = "*"
_PREFIXES = {"cloudwatch": "cloudwatch"}
"""What IAM calls a service, where that is not the name by which its requests are signed."""
_ACTIONS = {
    ("lambda", "Invoke"): "lambda:InvokeFunction",
    ("s3", "HeadBucket"): "s3:ListBucket",
    ("s3", "HeadObject"): "s3:GetObject",
    ("s3", "ListObjects"): "s3:ListBucket",
    ("s3", "ListObjectsV2"): "s3:ListBucket",
}
"""What IAM calls an operation, where that is not the operation's own name."""
_UNLIKE = frozenset({"apigateway", "apigatewayv2"})
"""Services whose actions have nothing to do with their operations."""


def source_statements(entries: Entries, place: Place) -> list[dict[str, Any]]:
    """Give the statements of a policy that let the entries' sources be asked."""
    rights: dict[str, set[str]] = {}
    for entry in entries.values():
        for action, resource in _rights(entry, place):
            rights.setdefault(action, set()).add(resource)
    grouped: dict[tuple[str, ...], list[str]] = {}
    for action, resources in sorted(rights.items()):
        grouped.setdefault((_ALL,) if _ALL in resources else tuple(sorted(resources)), []).append(action)
    return [
        {"Effect": "Allow", "Action": actions, "Resource": list(resources)} for resources, actions in grouped.items()
    ]


def not_granted(entry: Mapping[str, Any]) -> str | None:
    """Say what of an entry's rights must be given by a person; None where the role has all of them."""
    signed = (entry.get("http", {}).get("auth") or {}).get("sigv4")
    if signed and not signed.get("role_arn"):
        return f"let the poller's role call what it signs for: {signed['service']}"
    asked = entry.get("aws", {})
    if asked.get("service") in _UNLIKE and not asked.get("role_arn"):
        return f"let the poller's role call {asked['service']} {asked['operation']}: IAM names its actions differently"
    return None


def _rights(entry: Mapping[str, Any], place: Place) -> Iterator[Right]:
    if "lambda" in entry:
        yield "lambda:InvokeFunction", function_arn(place, entry["lambda"]["function"])
    asked = entry.get("aws")
    signed = (entry.get("http", {}).get("auth") or {}).get("sigv4") or {}
    if role := (asked or signed).get("role_arn"):
        yield "sts:AssumeRole", role
    elif asked and asked["service"] not in _UNLIKE:
        # Few operations that tell how a job stands can be granted for a resource; the job's is not known before it is.
        yield _action(asked["service"], asked["operation"]), _ALL
    for secret in secrets(entry):
        if name := secret.get("secret"):
            arn = name if name.startswith("arn:") else place.arn("secretsmanager", f"secret:{name}")
            # A secret's ARN ends in six characters that AWS chose, and may be given without them.
            yield "secretsmanager:GetSecretValue", f"{arn}-??????"
            yield "secretsmanager:GetSecretValue", arn
        if name := secret.get("parameter"):
            arn = name if name.startswith("arn:") else place.arn("ssm", f"parameter/{name.lstrip('/')}")
            yield "ssm:GetParameter", arn


def _action(service: str, operation: str) -> str:
    if (service, operation) in _ACTIONS:
        return _ACTIONS[service, operation]
    if service not in _PREFIXES:
        _PREFIXES[service] = botocore.session.get_session().get_service_model(service).signing_name
    return f"{_PREFIXES[service]}:{operation}"
