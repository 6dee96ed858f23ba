"""mutmut, with the tests of a mutant's own module before all others that reach it.

Most mutants die at once by the tests that were written for their module. pytest takes a second to find the hundreds of
others that also read a row, say; so they are looked for only where a mutant has lived that long.
"""

import sys
from collections.abc import Iterable
from itertools import pairwise

import mutmut.workers.isolation
from mutmut.__main__ import cli
from mutmut.runners.harness import PytestRunner

_GOES = (0, 50, 150, None)
"""Where one go ends and the next begins, among the tests in their order."""


class NearestFirst(PytestRunner):  # type: ignore[misc]  # mutmut is in an environment of its own
    """Runs the tests of each mutant in several goes."""

    def run_tests(self, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        """Run tests in the order given, those near to the mutant first; not zero where one failed."""
        if mutant_name is None:
            return int(super().run_tests(mutant_name=mutant_name, tests=tests))
        module = mutant_name.rpartition(".")[0].rpartition(".")[2]
        ordered = sorted(tests, key=lambda test: f"test_{module}" not in test)
        for some in filter(None, (ordered[start:end] for start, end in pairwise(_GOES))):
            if code := int(super().run_tests(mutant_name=mutant_name, tests=some)):
                return code
        return 0


if __name__ == "__main__":
    mutmut.workers.isolation.PytestRunner = NearestFirst
    sys.exit(cli())
