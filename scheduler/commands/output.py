"""What commands print: data to standard output, messages for people to standard error."""

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from scheduler.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def say(text: str) -> None:
    """Say something to people."""
    print(f"callback-scheduler: {text}", file=sys.stderr)  # noqa: T201


def show(data: object) -> None:
    """Print data: a text as it is, anything else as one line of JSON."""
    print(json.dumps(data, default=str) if not isinstance(data, str) else data, flush=True)  # noqa: T201


def read_settings(**given: Any) -> "Settings":
    """Read the settings, and warn of variables that are none. Raises SettingsError."""
    from scheduler.settings import Settings, unknown_variables

    settings = Settings.load(**given)
    for line in unknown_variables(os.environ):
        say(f"warning: {line}")
    return settings
