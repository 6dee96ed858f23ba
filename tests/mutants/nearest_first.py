"""mutmut, with one collection of the tests for all mutants, and those of a mutant's own module before all others.

pytest takes a second to start and to find the tests that reach a mutant, and a test takes some milliseconds. So the
tests are found once, and each mutant's process, a fork, runs those it needs of them. Most mutants die at once by the
tests that were written for their module.
"""

import os
import sys
from collections.abc import Iterable
from itertools import pairwise

import mutmut.workers.isolation
import pytest
from _pytest.config import _prepareconfig
from mutmut.__main__ import cli
from mutmut.mutation.trampoline import get_mutant_under_test
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.utils.file_utils import change_cwd

_NO_TESTS = 33
_QUICK_SECONDS = 2.0
"""A test that takes longer than this is not among the quick ones."""
_LONGEST_SECONDS = 10
"""What such a test may take with a mutant in it: more is one that does not end."""
_MOST_OTHERS = 80
"""How many tests of other modules, the quickest, a mutant that the tests of its own module let live must pass too."""


def _chosen(mutant_name: str, tests: Iterable[str]) -> list[str]:
    module = mutant_name.rpartition(".")[0].rpartition(".")[2]
    seconds = state().duration_by_test
    quick = sorted((test for test in tests if seconds[test] < _QUICK_SECONDS), key=seconds.__getitem__)
    near = [test for test in quick if f"test_{module}" in test]
    return near + [test for test in quick if f"test_{module}" not in test][:_MOST_OTHERS]


class NearestFirst(PytestRunner):  # type: ignore[misc]  # mutmut is in an environment of its own
    """Runs the tests of each mutant from the collection that its parent process made."""

    _session: pytest.Session | None = None

    def run_tests(self, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        """Run tests, those near to the mutant first; not zero where one failed."""
        if mutant_name is None and get_mutant_under_test() == "fail":
            return int(super().run_tests(mutant_name=mutant_name, tests=tests))
        if mutant_name is None:
            # That they pass without a mutant, the run has shown by which it was learnt what each test reaches.
            self._session = self._collected()
            return 0
        assert self._session is not None
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        chosen = {test: place for place, test in enumerate(_chosen(mutant_name, tests))}
        items = sorted(
            (item for item in self._session.items if item.nodeid in chosen), key=lambda item: chosen[item.nodeid]
        )
        if not items:
            return _NO_TESTS
        with change_cwd("mutants"):
            for item, following in pairwise([*items, None]):
                assert item is not None
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self._session.testsfailed:
                    return 1
        return 0

    def _collected(self) -> pytest.Session:
        """Do what pytest does up to its first test, and stay there."""
        with change_cwd("mutants"):
            arguments = [
                "-q",
                "-s",
                "--rootdir=.",
                f"--timeout={_LONGEST_SECONDS}",
                *self._pytest_add_cli_args_test_selection,
                *self._pytest_add_cli_args,
            ]
            config = _prepareconfig(arguments)
            config._do_configure()
            session = pytest.Session.from_config(config)
            config.hook.pytest_sessionstart(session=session)
            config.hook.pytest_collection(session=session)
            return session


if __name__ == "__main__":
    mutmut.workers.isolation.PytestRunner = NearestFirst
    sys.exit(cli())
