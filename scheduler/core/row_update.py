"""One conditional update of a token row, and the two forms in which it is sent: alone, and as one of a batch.

What it requires and what it changes is said once, for both forms.
"""

from dataclasses import dataclass, field
from typing import Any

from scheduler.core.attributes import Attribute, to_attribute
from scheduler.core.service_calls import Call

_ZERO, _ONE = {"N": "0"}, {"N": "1"}


@dataclass(frozen=True, slots=True)
class _Required:
    """What an attribute must hold, None for nothing, and the name of that value."""

    name: str
    label: str
    held: Attribute | None


@dataclass(slots=True)
class RowUpdate:
    """An update of a token row under construction. Values are parameters in either form, and never text."""

    job_id: str
    _sets: list[tuple[str, Attribute | None]] = field(default_factory=list)
    """Attributes and what they are set to; None for one that is counted up."""
    _removes: list[str] = field(default_factory=list)
    _required: list[_Required] = field(default_factory=list)

    def set(self, **attributes: object) -> None:
        """Set attributes to plain values."""
        self._sets += [(name, to_attribute(value)) for name, value in attributes.items()]

    def count(self, name: str) -> None:
        """Add 1 to a number."""
        self._sets.append((name, None))

    def remove(self, *names: str) -> None:
        """Take attributes away, where they are there."""
        self._removes += names

    def require(self, name: str, held: Attribute | None, label: str = "") -> None:
        """Let the update happen only where an attribute holds this, or is not there."""
        self._required.append(_Required(name, label or f"{name}_as_read", held))

    def call(self, table: str, **more: Any) -> Call:
        """Give it as an UpdateItem; attribute names double as their placeholders."""
        names: set[str] = set()
        values: dict[str, Attribute] = {}

        def named(name: str) -> str:
            names.add(name)
            return f"#{name}"

        def valued(label: str, attribute: Attribute) -> str:
            values[f":{label}"] = attribute
            return f":{label}"

        def setting(name: str, attribute: Attribute | None) -> str:
            if attribute is not None:
                return f"{named(name)} = {valued(name, attribute)}"
            return f"{named(name)} = if_not_exists({named(name)}, {valued('zero', _ZERO)}) + {valued('one', _ONE)}"

        def condition(required: _Required) -> str:
            if required.held is None:
                return f"attribute_not_exists({named(required.name)})"
            return f"{named(required.name)} = {valued(required.label, required.held)}"

        expression = f"SET {', '.join(setting(*one) for one in self._sets)}"
        if self._removes:
            expression += f" REMOVE {', '.join(map(named, self._removes))}"
        parameters = {
            "TableName": table,
            "Key": {"jobId": {"S": self.job_id}},
            "UpdateExpression": expression,
            "ConditionExpression": " AND ".join(map(condition, self._required)),
            "ExpressionAttributeNames": {f"#{name}": name for name in sorted(names)},
            "ExpressionAttributeValues": values,
            **more,
        }
        return Call("dynamodb", "update_item", parameters)

    def statement(self, table: str, *, returning: bool) -> dict[str, Any]:
        """Give it as one statement of a BatchExecuteStatement; `returning` asks for the row, updated or refused.

        PartiQL has no default for a number that is not there: a statement that counts one is refused.
        """
        parameters = [_ONE if held is None else held for _, held in self._sets]
        text = [f'UPDATE "{_quoted(table)}"']
        text += [
            f'SET "{name}" = ?' if held is not None else f'SET "{name}" = "{name}" + ?' for name, held in self._sets
        ]
        text += [f'REMOVE "{name}"' for name in self._removes]
        text.append('WHERE "jobId" = ?')
        parameters.append({"S": self.job_id})
        for required in self._required:
            if required.held is None:
                text.append(f'AND "{required.name}" IS MISSING')
            else:
                text.append(f'AND "{required.name}" = ?')
                parameters.append(required.held)
        statement: dict[str, Any] = {"Parameters": parameters}
        if returning:
            text.append("RETURNING ALL NEW *")
            statement["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        return {"Statement": " ".join(text), **statement}


def _quoted(name: str) -> str:
    return name.replace('"', '""')
