"""What a million polls cost on AWS: calls, capacity units and money, beside the other ways to poll.

    .venv/bin/python benchmarks/cost.py

Arithmetic with the product's own policy; nothing is measured. List prices of US East (N. Virginia), in US dollars for a
million, as AWS's price pages for DynamoDB, EventBridge Scheduler, Step Functions and Lambda had them in November 2026.
Free tiers and what the source itself costs are left out.
"""

from dataclasses import dataclass

from scheduler.core.row_reader import read_row
from scheduler.core.timing import Policy, lease_seconds
from scheduler.core.token_row import TokenRow

WRITE_UNITS, READ_UNITS = 0.625, 0.125
SCHEDULES = 1.00  # invocations of EventBridge Scheduler
TRANSITIONS = 25.0  # of Standard workflows
INVOCATIONS = 0.20  # of Lambda, without the time that they run
MILLION = 1_000_000

ROW_WRITE_UNITS = 2
"""A row has some 1.2 KB, most of it the token."""
INDEX_WRITE_UNITS = 2
"""A changed nextPollAt takes the row out of the index `due` and puts it in again, with its keys alone."""
LOOP_TRANSITIONS = 3
"""A round of Wait, Task and Choice."""
INTERVALS = (5, 60, 600)
HOLDS = (0, 300, 3600)
CHECK_SECONDS = 10.0


@dataclass(frozen=True)
class Cost:
    """What a million polls of jobs in progress take, beside the checks."""

    writes: float
    units: float
    dollars: float


def held(interval: float, hold: float) -> Cost:
    """Give the cost of polls at an interval, with holds of so many seconds at most."""
    policy = Policy(interval, lease_seconds(CHECK_SECONDS), 4, longest_hold_seconds=hold, chance=lambda: 0.5)
    seconds = policy.hold_seconds(_row(interval))
    if seconds is None:
        # A claim for each poll, and one write more where the lease is longer than the interval.
        writes = 1.0 + (interval < policy.lease_seconds)
    else:
        writes = 1 / max(1.0, (policy.renew_at(_row(interval), seconds)) / interval)
    units = writes * (ROW_WRITE_UNITS + INDEX_WRITE_UNITS)
    return Cost(writes * MILLION, units * MILLION, units * WRITE_UNITS)


def _row(interval: float) -> TokenRow:
    text = {"jobId": "j", "taskToken": "t", "executionId": "e", "createdAt": "", "expiresAt": "2099-01-01T00:00:00Z"}
    numbers = {"attemptCount": "0", "maxAttempts": "9", "intervalSeconds": str(interval)}
    return read_row({n: {"S": v} for n, v in text.items()} | {n: {"N": v} for n, v in numbers.items()})


def main() -> None:
    """Print the tables of docs/scale.md."""
    print("| interval | hold | writes | write units | dollars |\n|---|---|---|---|---|")
    for interval in INTERVALS:
        for hold in HOLDS:
            cost = held(interval, hold)
            print(f"| {interval} s | {hold} s | {cost.writes:,.0f} | {cost.units:,.0f} | {cost.dollars:.2f} |")
    print("\n| another way | dollars |\n|---|---|")
    print(f"| EventBridge Scheduler, one schedule for each job | {SCHEDULES:.2f} |")
    print(f"| and the Lambda that it invokes, its run time left out | {SCHEDULES + INVOCATIONS:.2f} |")
    print(f"| a Wait/Choice loop, {LOOP_TRANSITIONS} transitions a round | {LOOP_TRANSITIONS * TRANSITIONS:.2f} |")
    beats = 2_592_000 / 10 * (1 + INDEX_WRITE_UNITS) * WRITE_UNITS / MILLION
    print(f"\nA replica's beats cost {beats:.2f} dollars in 30 days, whatever it holds.")


if __name__ == "__main__":
    main()
