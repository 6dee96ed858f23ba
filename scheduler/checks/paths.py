"""Paths: JMESPath expressions, refused when they are compiled where they could never be evaluated."""

from typing import Any

import jmespath
from jmespath.exceptions import ArityError, JMESPathError, ParseError, UnknownFunctionError, VariadictArityError
from jmespath.functions import Functions


class UnreadableError(ValueError):
    """A path cannot be evaluated over this reply; the text says why, and which path."""


class Path:
    """A compiled expression."""

    def __init__(self, text: str) -> None:
        """Compile an expression. Raises JMESPathError: it cannot be parsed, or a function is unknown or has too few."""
        self.text = text
        try:
            self._compiled = jmespath.compile(text)
        except JMESPathError:
            raise
        except (ValueError, RecursionError) as error:  # a literal that is no JSON
            raise ParseError(0, text, "text", str(error)) from error
        # jmespath itself would only find these out over a reply, and not over each.
        _check_functions(self._compiled.parsed)

    def of(self, data: Any) -> Any:
        """Give what the path leads to, None where it leads nowhere. Raises UnreadableError."""
        try:
            return self._compiled.search(data)
        except (JMESPathError, ValueError, TypeError, RecursionError, OverflowError) as error:
            message = f"{self.text} cannot be read: {' '.join(str(error).split())}"
            raise UnreadableError(message) from error


def _check_functions(node: Any) -> None:
    if not isinstance(node, dict):
        return
    children = node.get("children", ())
    if node.get("type") == "function_expression":
        name = node["value"]
        known: Any = Functions.FUNCTION_TABLE.get(name)
        if known is None:
            message = f"Unknown function: {name}()"
            raise UnknownFunctionError(message)
        signature = known["signature"]
        if signature and signature[-1].get("variadic"):
            if len(children) < len(signature):
                raise VariadictArityError(len(signature), len(children), name)
        elif len(children) != len(signature):
            raise ArityError(len(signature), len(children), name)
    for child in children:
        _check_functions(child)
