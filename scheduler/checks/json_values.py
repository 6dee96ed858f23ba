"""JSON values: what an SDK gives as Python's own, in the form in which a workflow can be told of it."""

import base64
import datetime as dt
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

METADATA = "ResponseMetadata"
"""What the SDKs add to each output."""


def jsonable(value: Any) -> Any:
    """Give a value as JSON can hold it. Raises TypeError for what is no value, such as a stream.

    Dates become ISO 8601 in UTC, bytes base64, Decimals numbers, and numbers that are none the texts that AWS's own
    protocols have for them: NaN, Infinity and -Infinity.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else _named(value)
        case Decimal():
            return _number(value)
        case dt.datetime():
            return _instant(value)
        case dt.date():
            return value.isoformat()
        case bytes() | bytearray():
            return base64.b64encode(value).decode("ascii")
        case Mapping():
            return {str(key): jsonable(held) for key, held in value.items()}
        case list() | tuple():
            return [jsonable(held) for held in value]
        case set() | frozenset():
            return sorted((jsonable(held) for held in value), key=repr)
    message = f"a {type(value).__name__} is no value of JSON"
    raise TypeError(message)


def output_of(reply: Mapping[str, Any]) -> dict[str, Any]:
    """Give an operation's output as JSON values, without what the SDK adds. Raises TypeError for streams."""
    return {name: jsonable(value) for name, value in reply.items() if name != METADATA}


def _number(value: Decimal) -> Any:
    if not value.is_finite():
        return _named(float(value))
    whole = value == value.to_integral_value()
    number = float(value)
    return int(value) if whole else number if math.isfinite(number) else str(value)


def _named(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _instant(value: dt.datetime) -> str:
    moment = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def streamed(content: bytes) -> Any:
    """Give what a stream of an output held: JSON where it is that, else text, else base64."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return jsonable(content)
    try:
        return jsonable(json.loads(text))
    except (ValueError, RecursionError):
        return text
