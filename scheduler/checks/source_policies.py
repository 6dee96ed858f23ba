"""The policy of one source: what its limits leave open is as in the policy of the default source."""

from dataclasses import replace

from scheduler.checks.spec import Limits
from scheduler.core.timing import LONGEST_INTERVAL_SECONDS, Policy, lease_seconds


def policy_of(default: Policy, limits: Limits, check_seconds: float) -> Policy:
    """Give the policy of a source; a check takes `check_seconds` where its limits say nothing else."""
    return replace(
        default,
        interval_seconds=limits.interval_seconds or default.interval_seconds,
        lease_seconds=lease_seconds(limits.timeout_seconds or check_seconds),
        backoff=limits.backoff,
        longest_interval_seconds=limits.longest_seconds or LONGEST_INTERVAL_SECONDS,
        max_attempts=limits.max_attempts,
    )
