"""`make mutants`: thousands of small bugs, one at a time, and whether the quick tests notice.

Ends with 1 where fewer than nine of ten are noticed, where one lives that survivors.toml does not excuse, or where that
list excuses one that lives no more.
"""

import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.mutants.results import NOTICED, Mutant, Verdict, results
from tests.mutants.survivors import ACCEPTED, accepted, compare, entries
from tests.mutants.workshop import build, run, sources

LEAST = 0.90
"""The part of all mutants, the excused ones included, that the tests must notice."""


def main(patterns: Sequence[str]) -> int:
    """Make and try the mutants of all sources, or of those that the patterns name; give the exit code."""
    paths = sources(patterns)
    if not paths:
        sys.exit(f"no source that is mutated matches {' '.join(patterns)}")
    started = time.monotonic()
    build(paths)
    run()
    mutants = list(results(paths))
    _say(table(mutants, paths))
    noticed = sum(mutant.noticed for mutant in mutants) / len(mutants)
    _say(f"\n{noticed:.1%} of {len(mutants)} noticed, in {time.monotonic() - started:.0f} s")
    new, gone = compare(mutants, accepted(ACCEPTED.read_text("utf-8")), paths)
    if new:
        _say(f"\n{len(new)} survive without a reason in {ACCEPTED.name}:\n\n{entries(new)}")
    if gone:
        _say(f"\n{len(gone)} of {ACCEPTED.name} survive no more; take them out:\n\n{entries(gone)}")
    return 1 if noticed < LEAST or new or gone else 0


def table(mutants: Sequence[Mutant], paths: Sequence[str]) -> str:
    """Give the count of each verdict for each source and for all."""
    width = max(map(len, paths))
    lines = [f"{'':{width}}" + "".join(f"{verdict:>10}" for verdict in Verdict) + f"{'noticed':>10}"]
    for path in [*paths, "all"]:
        counts = Counter(mutant.verdict for mutant in mutants if path in {mutant.path, "all"})
        if total := counts.total():
            figures = "".join(f"{counts[verdict] or '':>10}" for verdict in Verdict)
            share = sum(counts[verdict] for verdict in NOTICED) / total
            lines.append(f"{path:{width}}{figures}{share:>10.1%}")
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
