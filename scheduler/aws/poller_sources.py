"""What of the file of sources goes into the poller Lambda: its entries, and how long a check may take.

Entries are expanded ones: presets and waiters spelt out, secrets as references to where they are kept.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from scheduler.errors import SettingsError
from scheduler.settings import Settings

Entries = Mapping[str, Mapping[str, Any]]
"""The entries of the file by their sources' names."""
NONE: Entries = {}
_KEPT_HERE = {"env": "environment variable", "file": "file"}
_KEPT_AT_AWS = {"secret", "parameter"}


def sources_json(entries: Entries) -> bytes:
    """Give the entries as they are packed, the same to the byte whenever they are the same."""
    return json.dumps(entries, sort_keys=True, ensure_ascii=False, indent=1).encode()


def askable(entries: Entries) -> dict[str, Mapping[str, Any]]:
    """Give the entries that the poller Lambda can ask."""
    return {name: entry for name, entry in entries.items() if not out_of_reach(entry)}


def out_of_reach(entry: Mapping[str, Any]) -> str | None:
    """Say which of an entry's secrets a Lambda cannot read, and what to do; None where there is none.

    What the daemon's environment and files hold is never copied into a function's configuration: whoever may read that
    would have it, and nobody said so.
    """
    for secret in secrets(entry):
        for kept, what in _KEPT_HERE.items():
            if kept in secret:
                return (
                    f"a secret of it is kept in the {what} {secret[kept]}, which the poller Lambda has not; keep it in"
                    " Secrets Manager ({secret: NAME}) or Parameter Store ({parameter: NAME})"
                )
    return None


def secrets(entry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give the references to secrets within an entry."""
    yield from _references((entry.get("http") or {}).get("auth"))


def longest_check_seconds(settings: Settings, entries: Entries) -> float:
    """Give the longest that a check of any source may take."""
    return max([settings.check_timeout_seconds, *(entry.get("timeout_seconds") or 0.0 for entry in entries.values())])


def require_askable(settings: Settings, entries: Entries) -> None:
    """Raise SettingsError where the poller Lambda is to poll sources that it cannot ask."""
    if settings.mode != "lambda":
        return
    faults = [f"source {name}: {reason}" for name, entry in entries.items() if (reason := out_of_reach(entry))]
    for name, entry in entries.items():
        seconds = entry.get("timeout_seconds") or 0.0
        if not settings.fits_invocation(max(seconds, settings.check_timeout_seconds)):
            faults.append(
                f"source {name}: timeout_seconds: {seconds:g} is not allowed in lambda mode with"
                f" SCHEDULER_LAMBDA_BATCH_SIZE={settings.lambda_batch_size}, where an invocation may take 900 s"
            )
    if faults:
        raise SettingsError("\n".join(faults))


def _references(value: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(value, Mapping):
        return
    if value.keys() & (_KEPT_HERE.keys() | _KEPT_AT_AWS):
        yield value
    for held in value.values():
        yield from _references(held)
