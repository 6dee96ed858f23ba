"""What became of the mutants, as mutmut writes it down beside its copy of each source."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from enum import StrEnum

from tests.mutants.workshop import WORKSHOP, in_workshop


class Verdict(StrEnum):
    """Whether the tests noticed."""

    KILLED = "killed"
    """A test failed."""
    TIMEOUT = "timeout"
    """The tests did not end."""
    CRASHED = "crashed"
    """The process died."""
    SURVIVED = "survived"
    """Every test passed."""
    UNTESTED = "untested"
    """No test reaches it."""
    UNKNOWN = "unknown"
    """The tests could not be run."""


_VERDICTS = {
    0: Verdict.SURVIVED,
    1: Verdict.KILLED,
    3: Verdict.KILLED,
    5: Verdict.UNTESTED,
    33: Verdict.UNTESTED,
    -24: Verdict.TIMEOUT,
    -11: Verdict.CRASHED,
    -9: Verdict.CRASHED,
}
NOTICED = frozenset({Verdict.KILLED, Verdict.TIMEOUT, Verdict.CRASHED})


@dataclass(frozen=True, slots=True, order=True)
class Mutant:
    """One small bug: where it was put, the lines that it changed, and whether the tests noticed."""

    path: str
    place: str
    was: str
    becomes: str
    verdict: Verdict

    @property
    def noticed(self) -> bool:
        """Whether the tests showed in any way that something was wrong."""
        return self.verdict in NOTICED


def results(paths: Sequence[str]) -> Iterator[Mutant]:
    """Give every mutant of these sources."""
    for path in paths:
        copy = WORKSHOP / "mutants" / in_workshop(path)
        # A source without a function has no mutants, and no notes.
        if not (notes := copy.with_name(f"{copy.name}.meta")).exists():
            continue
        codes: dict[str, int | None] = json.loads(notes.read_text("utf-8"))["exit_code_by_key"]
        spans = json.loads(copy.with_name(f"{copy.name}.spans").read_text("utf-8"))["spans"]
        lines = copy.read_text("utf-8").splitlines()
        bodies = {
            name: [line.replace(name, "") for line in lines[first - 1 : last]] for name, (first, last) in spans.items()
        }
        for key, code in codes.items():
            name = key.rpartition(".")[2]  # such as xǁTaskTokenǁscrub__mutmut_3
            mangled = name.partition("__mutmut_")[0]
            was, becomes = _change(bodies[f"{mangled}__mutmut_orig"], bodies[name])
            verdict = _VERDICTS.get(code, Verdict.UNKNOWN) if code is not None else Verdict.UNKNOWN
            yield Mutant(path, _place(mangled), was, becomes, verdict)


def _place(mangled: str) -> str:
    """Give a function's own name for the one that mutmut gave it: x_poll, or xǁTokenRowǁclaimed."""
    return mangled.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")


def _change(before: Sequence[str], after: Sequence[str]) -> tuple[str, str]:
    changed = list(unified_diff(before, after, lineterm="", n=0))[2:]
    was, becomes = ("\n".join(line[1:].strip() for line in changed if line.startswith(sign)) for sign in ("-", "+"))
    return was, becomes
