"""DynamoDB's expressions, as far as the product writes them: conditions, filters, key conditions and updates."""

import re
from collections.abc import Mapping
from decimal import Decimal
from operator import gt, le
from typing import TypeVar

from scheduler.core.attributes import Attribute, Item, from_attribute, to_attribute

Found = TypeVar("Found")
_TOKENS = re.compile(r"[#:]?\w+|<=|[(),=+>]")


class RefusedError(Exception):
    """An update that DynamoDB refuses; the text is its own."""


def holds(expression: str, item: Item, names: Mapping[str, str], values: Mapping[str, Attribute]) -> bool:
    """Tell whether a condition holds for an item."""
    reader = _Reader(expression, item, names, values)
    return reader.whole(reader.either())


def updated(
    expression: str, item: Item, names: Mapping[str, str], values: Mapping[str, Attribute]
) -> dict[str, Attribute]:
    """Give an item as an update leaves it. Raises RefusedError."""
    reader = _Reader(expression, item, names, values)
    return reader.whole(reader.update())


def same(one: Attribute | None, other: Attribute | None) -> bool:
    """Compare as DynamoDB does: 1 and 1.0 are the same number, and nothing is equal to what is not there."""
    if one is None or other is None or one.keys() != other.keys():
        return False
    return Decimal(one["N"]) == Decimal(other["N"]) if "N" in one else one == other


class _Reader:
    """Reads an expression and evaluates it on the way; it knows no more than it must, and refuses the rest."""

    def __init__(self, text: str, item: Item, names: Mapping[str, str], values: Mapping[str, Attribute]) -> None:
        self._words = _TOKENS.findall(text)
        assert "".join(self._words) == text.replace(" ", ""), f"not understood: {text}"
        self._item = item
        self._names = names
        self._values = values

    def whole(self, found: Found) -> Found:
        """Give what was found, where nothing of the expression is left."""
        assert not self._words, f"not understood: {self._words}"
        return found

    def _next(self, expected: str | None = None) -> str:
        word: str = self._words.pop(0)
        assert expected in {None, word}, f"{expected} was expected, and not {word}"
        return word

    def _skip(self, word: str) -> bool:
        if self._words[:1] != [word]:
            return False
        self._words.pop(0)
        return True

    def _name(self) -> str:
        word = self._next()
        return self._names[word] if word.startswith("#") else word

    def _operand(self) -> Attribute | None:
        return self._values[self._next()] if self._words[0].startswith(":") else self._item.get(self._name())

    # Conditions

    def either(self) -> bool:
        found = self._both()
        while self._skip("OR"):
            found = self._both() or found
        return found

    def _both(self) -> bool:
        found = self._one()
        while self._skip("AND"):
            found = self._one() and found
        return found

    def _one(self) -> bool:
        if self._skip("NOT"):
            return not self._one()
        if self._skip("("):
            found = self.either()
            self._next(")")
            return found
        if self._skip("attribute_not_exists"):
            return self._argument() is None
        if self._skip("attribute_type"):
            self._next("(")
            held = self._operand()
            self._next(",")
            kind = self._operand()
            self._next(")")
            return held is not None and kind is not None and kind["S"] in held
        return self._compared()

    def _argument(self) -> Attribute | None:
        self._next("(")
        held = self._operand()
        self._next(")")
        return held

    def _compared(self) -> bool:
        one = self._operand()
        match self._next():
            case "=":
                return same(one, self._operand())
            case "<=" | ">" as order:
                other = self._operand()
                if one is None or other is None or "N" not in one or "N" not in other:
                    return False
                compare = le if order == "<=" else gt
                return bool(compare(Decimal(one["N"]), Decimal(other["N"])))
            case "IN":
                self._next("(")
                found = same(one, self._operand())
                while self._skip(","):
                    found = same(one, self._operand()) or found
                self._next(")")
                return found
        message = f"no comparison that is known here is followed by {self._words}"
        raise AssertionError(message)

    # Updates

    def update(self) -> dict[str, Attribute]:
        changed = dict(self._item)
        setting = self._skip("SET")
        while setting:
            name = self._name()
            self._next("=")
            changed[name] = self._sum()
            setting = self._skip(",")
        if self._skip("REMOVE"):
            changed.pop(self._name(), None)
            while self._skip(","):
                changed.pop(self._name(), None)
        return changed

    def _sum(self) -> Attribute:
        first = self._term()
        if not self._skip("+"):
            return first
        second = self._term()
        if "N" not in first or "N" not in second:
            message = "An operand in the update expression has an incorrect data type"
            raise RefusedError(message)
        return to_attribute(from_attribute(first) + from_attribute(second))

    def _term(self) -> Attribute:
        if not self._skip("if_not_exists"):
            held = self._operand()
            if held is None:
                message = "The provided expression refers to an attribute that does not exist in the item"
                raise RefusedError(message)
            return held
        self._next("(")
        held = self._operand()
        self._next(",")
        otherwise = self._operand()
        self._next(")")
        found = held or otherwise
        assert found
        return found
