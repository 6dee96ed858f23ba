"""DynamoDB's wire form of values: what the low-level clients of boto3 and aioboto3 take and give."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

Attribute = Mapping[str, Any]
Item = Mapping[str, Attribute]


def to_attribute(value: object) -> dict[str, Any]:
    """Encode a str, bool, int, float, mapping or sequence of these; raises TypeError for anything else."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | Decimal():
            return {"N": str(value)}
        case float():
            return {"N": repr(value)}
        case str():
            return {"S": value}
        case Mapping():
            return {"M": {str(key): to_attribute(item) for key, item in value.items()}}
        case list() | tuple():
            return {"L": [to_attribute(item) for item in value]}
    message = f"cannot store a {type(value).__name__} in DynamoDB"
    raise TypeError(message)


def from_attribute(attribute: Attribute) -> Any:
    """Decode one attribute value; a number becomes an int, or a Decimal where it is not whole."""
    ((kind, value),) = attribute.items()
    match kind:
        case "N":
            number = Decimal(value)
            return int(number) if number == number.to_integral_value() else number
        case "NULL":
            return None
        case "M":
            return {key: from_attribute(item) for key, item in value.items()}
        case "L":
            return [from_attribute(item) for item in value]
    return value


def from_item(item: Item) -> dict[str, Any]:
    """Decode a whole item."""
    return {name: from_attribute(attribute) for name, attribute in item.items()}
