"""Reading YAML as plain data: what looks like a text is one, and nothing is said twice."""

import json
import re
from collections.abc import Hashable
from typing import Any, NoReturn

import yaml

_PROBLEM = 120  # characters of the parser's own words that are shown


class UnreadableError(ValueError):
    """A text is neither YAML nor JSON as it is taken here; the message names the place."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the words of YAML 1.2: `no`, `on`, 012, 12:30 and 2026-01-31 are texts."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  as PyYAML declares it

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases: nobody needs them here, and a few lines of them can stand for gigabytes."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            _refuse(mark, "an alias (*) is not taken")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  as PyYAML calls it
        """Refuse what a mapping says twice, of which PyYAML would take the last."""
        seen = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or key.tag != "tag:yaml.org,2002:str":
                _refuse(key.start_mark, "a key must be a text; put it in quotes")
            if name in seen:
                _refuse(key.start_mark, f"the key {name!r} is there twice")
            seen.add(name)
        return super().construct_mapping(node, deep)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Leave `<<` the ordinary key that it is in YAML 1.2."""


for _kind, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)", "-+0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def _construct_float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


def read_yaml(text: str) -> Any:
    """Give the data of a YAML document. Raises UnreadableError."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506  it is a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        # The parser's own words may quote what stands there; only its problem is shown, which names characters at most.
        message = f"{where}{' '.join(str(error.problem or 'it cannot be read').split()):.{_PROBLEM}}"
    except yaml.YAMLError:
        message = "it holds characters that are not taken"
    except (ValueError, RecursionError) as error:
        message = f"{type(error).__name__}: a value cannot be read"
    raise UnreadableError(message) from None


def read_json(text: str) -> Any:
    """Give the data of a JSON text. Raises UnreadableError."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnreadableError:
        raise
    except json.JSONDecodeError as error:
        message = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except (ValueError, RecursionError):
        message = "a value cannot be read"
    raise UnreadableError(message) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            message = f"the key {name!r} is there twice"
            raise UnreadableError(message)
        made[name] = value
    return made


def _no_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise UnreadableError(message)


def _refuse(mark: yaml.Mark, problem: str) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def write_yaml(data: object) -> str:
    """Give data as YAML for people to read."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
