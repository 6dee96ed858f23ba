"""Secrets: read from where an entry says that they are kept, kept for five minutes, and never shown."""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from scheduler.checks.secret_values import NoValueError, value_of
from scheduler.core.check_replies import Unasked
from scheduler.core.service_calls import Refusal, call_error
from sdk_errors import SDK_ERRORS

KEPT_SECONDS = 300.0
"""For how long a secret of AWS is kept; it is read anew earlier where it is refused."""


class SecretError(Exception):
    """A secret that cannot be read; its text does not show it."""

    def __init__(self, reason: str, refusal: Refusal = Refusal.CREDENTIALS) -> None:
        self.refusal = refusal
        super().__init__(f"a secret cannot be read: {reason}")

    def report(self) -> Unasked:
        """Give what it means for a job: its source was not asked."""
        return Unasked(str(self), self.refusal)


class Secrets:
    """Reads secrets of Secrets Manager and Systems Manager, of this function's environment and of its files."""

    def __init__(self, client: Callable[[str, str | None], Any], clock: Callable[[], float] = monotonic) -> None:
        """Take what gives a client of a service in a region; None is the function's own."""
        self._client = client
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[str, float]] = {}
        self._lock = threading.Lock()

    def read(self, reference: str | Mapping[str, str]) -> str:
        """Give a secret's value; a text is one as it is. Raises SecretError."""
        match reference:
            case str():
                return reference
            case {"env": name}:
                if value := os.environ.get(name):
                    return value
                message = f"environment variable {name} is not set for this function"
                raise SecretError(message)
            case {"file": path}:
                return _of_file(path)
            case {"secret": name}:
                held = self._of_aws("secret", name)
                try:
                    return value_of(held, name, reference.get("key"))
                except NoValueError as error:
                    raise SecretError(str(error)) from None
            case {"parameter": name}:
                return self._of_aws("parameter", name)
        message = "it is not said where it is kept"
        raise SecretError(message)

    def forget(self, reference: str | Mapping[str, str]) -> None:
        """Read a secret anew when it is next asked for: the value that is kept was refused."""
        with self._lock:
            for kind in ("secret", "parameter"):
                if isinstance(reference, Mapping) and kind in reference:
                    self._kept.pop((kind, reference[kind]), None)

    def _of_aws(self, kind: str, name: str) -> str:
        # One after the other: the polls of a batch all want the same one.
        with self._lock:
            value, until = self._kept.get((kind, name), ("", float("-inf")))
            if self._clock() >= until:
                value = self._fetched(kind, name)
                self._kept[kind, name] = (value, self._clock() + KEPT_SECONDS)
            return value

    def _fetched(self, kind: str, name: str) -> str:
        region = name.split(":")[3] if name.startswith("arn:") else None
        try:
            if kind == "parameter":
                reply = self._client("ssm", region).get_parameter(Name=name, WithDecryption=True)
                return str(reply["Parameter"]["Value"])
            value = self._client("secretsmanager", region).get_secret_value(SecretId=name).get("SecretString")
        except SDK_ERRORS as error:
            failure = call_error(error)
            refusal = failure.refusal or Refusal.CREDENTIALS
            # A secret that is missing is not a source that is.
            refusal = Refusal.CREDENTIALS if refusal is Refusal.MISSING else refusal
            message = f"{kind} {name}: {failure.code}: {failure.message}"
            raise SecretError(message, refusal) from None
        if value is None:
            message = f"{kind} {name} holds no text"
            raise SecretError(message)
        return str(value)


def _of_file(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        message = f"file {path}: {error.strerror}"
        raise SecretError(message) from None
    except UnicodeDecodeError:
        message = f"file {path} holds no text"
        raise SecretError(message) from None
