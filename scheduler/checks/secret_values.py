"""The value that a secret stands for: its whole text, or what one key of its JSON holds."""

import json


class NoValueError(ValueError):
    """A secret that has no such value; the text does not show it."""


def value_of(text: str, name: str, key: str | None) -> str:
    """Give the text, or the text at a key of it. Raises NoValueError."""
    if key is None:
        return text
    try:
        value = json.loads(text)[key]
    except (ValueError, KeyError, TypeError, RecursionError):
        # The cause would show the secret.
        message = f"secret {name} is no JSON with the key {key}"
        raise NoValueError(message) from None
    if not isinstance(value, str):
        message = f"the key {key} of secret {name} is no text"
        raise NoValueError(message)
    return value
