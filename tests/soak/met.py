"""What a soak must have met, for its verdict to mean something."""

from collections.abc import Mapping

from tests.soak.plan import GONE_SLEEP, SHORT_SLEEP, STALE_SLEEP, Options

_CALLS: dict[str, float] = {
    "failed: dynamodb": 0.2,
    "failed: lambda": 0.05,
    "failed: states": 0.03,
    "dropped": 0.2,
    "garbled": 0.1,
    "batches in part": 0.02,
    "late": 2.0,
    "throttled": 0.2,
}
"""How many calls each kind must meet for each workflow: about a third of what it does meet."""


def unmet(met: Mapping[str, int], options: Options) -> list[str]:
    """Say which faults were met too seldom."""
    wrong = []
    for kind, least in floors(options).items():
        count = sum(count for each, count in met.items() if each.startswith(kind))
        if count < least:
            wrong.append(f"met too seldom: {kind}, {count} times, of {least} at least")
    return wrong


def floors(options: Options) -> dict[str, int]:
    """Give how often each kind of fault must be met at least; a kind is all those whose names begin so."""
    rounds = options.rounds
    kills = rounds * (int(options.kill_seconds / options.kill_every) // 2 + options.replicas)
    befallen = {f"sleeps of {seconds:.0f} s": rounds for seconds in (SHORT_SLEEP, STALE_SLEEP, GONE_SLEEP)}
    # How many rows are taken over is shown and not asserted: not every sleeper holds some when it falls asleep.
    noticed = {"drops after sleep": rounds}
    calls = {kind: max(1, round(share * options.workflows)) for kind, share in _CALLS.items()}
    return calls | befallen | noticed | {"kills": kills, "black-outs": rounds}
