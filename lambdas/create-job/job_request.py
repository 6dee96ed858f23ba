"""What the state machine asks for: reading the event, and refusing one that makes no sense.

Every complaint is a ValueError that names the part that is wrong, and never shows the token.
"""

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from scheduler.core.token import MAX_LENGTH, TaskToken

_DAY_SECONDS = 86_400
_YEAR_SECONDS = 31_536_000  # the longest that an execution of Step Functions may last
_LEAST_INTERVAL_SECONDS = 0.1
_LONGEST_TIMEOUT_SECONDS = 99_999_999  # of a state's TimeoutSeconds
_MOST_ATTEMPTS = 1_000_000
_DEFAULT_ATTEMPTS, _DEFAULT_TIMEOUT_MINUTES = 10, 15
_DIGEST_LENGTH = 32  # hex digits, 128 bits: it stands in every row, which is written with every claim
_POLLING_KEYS = ("intervalMinutes", "intervalSeconds", "maxAttempts", "timeoutMinutes", "heartbeat")


@dataclass(frozen=True, slots=True)
class PollingConfig:
    """How a job is polled; without an interval, as often as the poller's settings say."""

    interval_seconds: float | None
    max_attempts: int
    timeout_seconds: float
    heartbeat: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an execution into its waiting state.

    The key is the same however often Step Functions tries that state again; `retry` counts how often it has.
    """

    key: str
    retry: int

    def text(self) -> str:
        """Give it as a token row holds it."""
        return f"{self.key}#{self.retry}"

    @classmethod
    def of(cls, text: str) -> Self | None:
        """Read what a token row holds; None where that is no entry."""
        key, _, retry = text.partition("#")
        return cls(key, int(retry)) if key and retry.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Request:
    """What the state machine asks for; one of an earlier version says nothing of its entry."""

    token: TaskToken
    execution_id: str
    record: Mapping[str, Any]
    config: PollingConfig
    entry: Entry | None

    def idempotency_key(self, number: int) -> str:
        """Give the key of the job of this number: each attempt of the same entry comes to the same ones."""
        if self.entry is None:
            return hashlib.sha256(self.token.reveal().encode()).hexdigest()
        return _digest(f"{self.entry.key} {number}") if number else self.entry.key


def read_request(event: Any) -> Request:
    """Read an event. Raises ValueError."""
    asked = _object(event, "the event")
    token = asked.get("taskToken")
    if not isinstance(token, str) or not 0 < len(token) <= MAX_LENGTH:
        message = f"taskToken must be a string of 1 to {MAX_LENGTH} characters"
        raise ValueError(message)
    execution_id = _text(asked.get("executionId"), "executionId")
    record = _object(asked.get("record"), "record")
    record_id = record.get("id")
    if isinstance(record_id, bool) or not isinstance(record_id, str | int) or record_id == "":
        message = "record.id must be a non-empty string or a whole number"
        raise ValueError(message)
    config = _read_config(_object(asked.get("pollingConfig", {}), "pollingConfig"), asked.get("timeoutSeconds"))
    entry = _read_entry(_object(asked["entry"], "entry"), execution_id, record) if "entry" in asked else None
    return Request(TaskToken(token), execution_id, record, config, entry)


def _read_entry(entry: Mapping[str, Any], execution_id: str, record: Mapping[str, Any]) -> Entry:
    """Read an entry. All that it says but the count is part of the key, and so is the record.

    Two iterations of a Map may enter the same state in the same millisecond: their records tell them apart, or what
    their own state machine adds to the entry.
    """
    for name in ("state", "time"):
        _text(entry.get(name), f"entry.{name}")
    retry = _whole(entry.get("retryCount", 0), "entry.retryCount", 0, _MOST_ATTEMPTS)
    said = {name: value for name, value in entry.items() if name != "retryCount"}
    return Entry(_digest(json.dumps([execution_id, said, record], sort_keys=True)), retry)


def _read_config(config: Mapping[str, Any], state_timeout: Any) -> PollingConfig:
    for key in config:
        _require_known(key)
    interval: float | None = None
    # The state machine's default intervalMinutes stands beside a given intervalSeconds, which therefore wins.
    if "intervalSeconds" in config:
        interval = _number(config["intervalSeconds"], "intervalSeconds", _LEAST_INTERVAL_SECONDS, _DAY_SECONDS)
    elif "intervalMinutes" in config:
        minutes = config["intervalMinutes"]
        interval = 60 * _number(minutes, "intervalMinutes", _LEAST_INTERVAL_SECONDS / 60, _DAY_SECONDS / 60)
    minutes = config.get("timeoutMinutes", _DEFAULT_TIMEOUT_MINUTES)
    timeout = 60 * _number(minutes, "timeoutMinutes", 0.01, _YEAR_SECONDS / 60)
    if state_timeout is not None:
        # Past the state's own time-out nobody waits for an answer.
        timeout = min(timeout, _whole(state_timeout, "timeoutSeconds", 1, _LONGEST_TIMEOUT_SECONDS))
    heartbeat = config.get("heartbeat", False)
    if not isinstance(heartbeat, bool):
        message = f"pollingConfig.heartbeat must be true or false, not {heartbeat!r:.50}"
        raise ValueError(message)  # noqa: TRY004 - one kind of error for whatever is wrong with the event
    attempts = _whole(config.get("maxAttempts", _DEFAULT_ATTEMPTS), "pollingConfig.maxAttempts", 1, _MOST_ATTEMPTS)
    return PollingConfig(interval, attempts, timeout, heartbeat)


def _require_known(key: str) -> None:
    """Refuse a key that would have no effect: whoever wrote it believes that it has."""
    if key not in _POLLING_KEYS:
        near = difflib.get_close_matches(key[:50], _POLLING_KEYS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_POLLING_KEYS)}"
        message = f"pollingConfig.{repr(key)[1:-1]:.50} is not known; {hint}"
        raise ValueError(message)


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        message = f"{name} must be an object"
        raise ValueError(message)  # noqa: TRY004 - one kind of error for whatever is wrong with the event
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        message = f"{name} must be a non-empty string"
        raise ValueError(message)
    return value


def _number(value: Any, name: str, least: float, most: float) -> float:
    # NaN is JSON to Python, and fails the comparison as it should.
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        message = f"pollingConfig.{name} must be a number from {least:g} to {most:g}, not {value!r:.50}"
        raise ValueError(message)
    return value


def _whole(value: Any, name: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        message = f"{name} must be a whole number from {least} to {most}, not {value!r:.50}"
        raise ValueError(message)
    return value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_LENGTH]
