"""The standard AWS variables: what the SDK would refuse with a traceback, said in the words of our own settings."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from botocore.exceptions import (
    CredentialRetrievalError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from scheduler.core.service_calls import Refusal, call_error
from scheduler.errors import CloudError, SchedulerError, SettingsError

_ENDPOINT = "AWS_ENDPOINT_URL"
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_REGION = re.compile(r"(?!-)[a-zA-Z0-9-]{1,63}(?<!-)")
_PROFILES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")  # the SDK looks at them in this order


def check_environment(environment: Mapping[str, str]) -> None:
    """Raise SettingsError where an endpoint is no address, or a region has no region's form.

    The SDK would call the first a region that is missing, and complain of the second with each call.
    """
    for variable, value in environment.items():
        is_endpoint = variable == _ENDPOINT or variable.startswith(f"{_ENDPOINT}_")
        if value and is_endpoint and not _is_address(value):
            raise _not_allowed(variable, value, "a URL, such as http://localhost:4566")
        if value and variable in _REGIONS and not _REGION.fullmatch(value):
            raise _not_allowed(variable, value, "the name of a region, such as us-east-1")


def not_opened(error: Exception, environment: Mapping[str, str]) -> SchedulerError:
    """Give what to raise where the SDK makes no session or no client.

    It asks nobody for that, so what it refuses is what is set. But credentials that a file or a program should give may
    come right by themselves.
    """
    match error:
        case NoRegionError():
            return SettingsError("no AWS region is set: set AWS_REGION, or AWS_ENDPOINT_URL for a local cloud")
        case ProfileNotFound(kwargs={"profile": name}):
            holds = [variable for variable in _PROFILES if environment.get(variable) == name]
            return _not_allowed(next(iter(holds), "AWS_PROFILE"), name, "the name of a profile that is there")
        case PartialCredentialsError(kwargs={"provider": "env", "cred_var": missing}):
            return SettingsError(f"AWS_ACCESS_KEY_ID is set and {missing} is not: set both of them, or neither")
    failure = call_error(error)
    message = " ".join(f"the AWS settings cannot be used: {failure.code}: {failure.message}".split())
    if isinstance(error, PartialCredentialsError | CredentialRetrievalError | SSOError | TokenRetrievalError):
        return CloudError(message, Refusal.CREDENTIALS)
    return SettingsError(message)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        usable = parts.port is None or parts.port > 0
    except ValueError:  # a port that is none, or half an IPv6 address
        return False
    return (
        usable and parts.scheme in {"http", "https"} and bool(parts.hostname) and url.isprintable() and " " not in url
    )


def _not_allowed(variable: str, value: str, allowed: str) -> SettingsError:
    return SettingsError(f"{variable}={value!r} is not allowed: it takes {allowed}")
