"""Measure what the engine costs and how it holds, against a stub with DynamoDB Local behind it.

    python -m benchmarks.bench [cpu] [calls] [lateness] [neighbours] [finding] [claims] [memory] [drain] [twice] [kill]
                               [--rounds 3] [--stored 1000000] [--no-files]

Without names it measures all, in about twenty minutes, and writes benchmarks/results.json and docs/bench.svg. Linux
only: CPU is that of the daemon's own process, as /proc has it. Each figure is CPU for each poll, a count, or a ratio of
what ran side by side, so that it says the same on another machine, and on a busy one nearly so; the lateness does not,
and wants an idle one.

Not measured: CPU on the embedded cloud. It starts a process for each function it invokes, and is busy long before the
daemon is.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from benchmarks import polls, replicas, tables
from benchmarks.chart import draw
from benchmarks.figure import Figure
from benchmarks.world import ROOT, older
from tests.backends import dynamodb_local

BEFORE = "b7d10f4"
"""The last commit before held rows and lanes."""
_RESULTS, _CHART = ROOT / "benchmarks" / "results.json", ROOT / "docs" / "bench.svg"
_LATE_SECONDS = 60.0


def measured(chosen: list[str], rounds: int, stored: int) -> Iterable[Figure]:
    """Measure what was chosen, one after the other; a figure that cannot be had is told of and left out."""
    with tempfile.TemporaryDirectory() as folder, dynamodb_local() as url:
        before = older(BEFORE, Path(folder))
        parts: dict[str, Callable[[], Iterable[Figure]]] = {
            "calls": lambda: polls.calls(url, before),
            "cpu": lambda: polls.cpu(url, before, rounds),
            "lateness": lambda: polls.lateness(url, before, _LATE_SECONDS),
            "neighbours": lambda: polls.neighbours(url, _LATE_SECONDS),
            "claims": lambda: tables.claims(url, 2 * rounds + 1),
            "finding": lambda: tables.finding(url, 20 * rounds, stored),
            "memory": tables.memory,
            "drain": lambda: replicas.drain(url),
            "twice": lambda: replicas.twice(url),
            "kill": lambda: replicas.kill(url),
        }
        for name in chosen or parts:
            try:
                yield from parts[name]()
            except (SystemExit, TimeoutError, subprocess.SubprocessError) as error:
                print(f"{name} could not be measured: {error}", file=sys.stderr)


def main() -> None:
    """Print each figure as it comes, then write all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stored", type=int, default=1_000_000)
    parser.add_argument("--no-files", action="store_true")
    given = parser.parse_args()
    figures = []
    for figure in measured(given.names, given.rounds, given.stored):
        figures.append(figure)
        before = "" if figure.before is None else f" (before: {figure.before:.3g})"
        sign = "≤" if figure.better == "less" else "≥"
        verdict = "holds" if figure.holds else "DOES NOT HOLD"
        print(f"{figure.name}: {figure.value:.3g} {figure.unit}{before}, {sign} {figure.bar:g}: {verdict}", flush=True)
    if given.no_files:
        return
    results = {figure.name: figure for figure in [*_read(), *figures]}
    shown = {
        "measured": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "before": BEFORE,
        "figures": [asdict(figure) for figure in results.values()],
    }
    _RESULTS.write_text(json.dumps(shown, indent=2, ensure_ascii=False) + "\n", "utf-8")
    _CHART.write_text(draw(list(results.values())), "utf-8")


def _read() -> list[Figure]:
    """Read the figures of the last time: those that are not measured anew stay."""
    if not _RESULTS.exists():
        return []
    return [Figure(**each) for each in json.loads(_RESULTS.read_text("utf-8"))["figures"]]


if __name__ == "__main__":
    main()
