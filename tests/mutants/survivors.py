"""The survivors that are accepted: each stands in survivors.toml with the reason why no test should notice it."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.results import Mutant

ACCEPTED = Path(__file__).with_name("survivors.toml")


@dataclass(frozen=True, slots=True, order=True)
class Survivor:
    """A change of some lines that may live. Line numbers are left out, for they change with everything above."""

    path: str
    place: str
    was: str
    becomes: str


def accepted(text: str) -> list[Survivor]:
    """Read the list. Raises ValueError where an entry has no reason."""
    survivors = []
    for path, entries in tomllib.loads(text).items():
        for entry in entries:
            if not entry["why"].strip():
                message = f"{path}: a survivor in {entry['place']} has no reason"
                raise ValueError(message)
            survivors += [Survivor(path, entry["place"], entry["was"], becomes) for becomes in entry["becomes"]]
    return survivors


def compare(
    mutants: Iterable[Mutant], known: Iterable[Survivor], paths: Sequence[str]
) -> tuple[list[Survivor], list[Survivor]]:
    """Give the survivors that nobody has accepted, and the accepted ones that live no more."""
    living = {
        Survivor(mutant.path, mutant.place, mutant.was, mutant.becomes) for mutant in mutants if not mutant.noticed
    }
    expected = {survivor for survivor in known if survivor.path in paths}
    return sorted(living - expected), sorted(expected - living)


def entries(survivors: Iterable[Survivor]) -> str:
    """Give survivors as entries of the list, for somebody to add the reasons, or better the tests."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for survivor in survivors:
        grouped.setdefault((survivor.path, survivor.place, survivor.was), []).append(survivor.becomes)
    return "\n".join(
        f'[["{path}"]]\nplace = "{place}"\nwas = {_literal(was)}\n'
        f'becomes = [\n{"".join(f"    {_literal(change)},{chr(10)}" for change in becomes)}]\nwhy = ""\n'
        for (path, place, was), becomes in grouped.items()
    )


def _literal(text: str) -> str:
    return f"'''\n{text}'''" if "\n" in text or "'" in text else f"'{text}'"
