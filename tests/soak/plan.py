"""The plan of a soak: which workflows come when, what befalls them, all drawn from one seed."""

import random
from dataclasses import dataclass
from typing import Any, Literal

from scheduler.core.attributes import to_attribute
from scheduler.core.instant import Instant, format_iso
from scheduler.core.token_row import due_shard

Fate = Literal["completes", "fails", "endless", "expires"]
_FATES: dict[Fate, int] = {"completes": 55, "fails": 20, "endless": 15, "expires": 10}
_MOST_CHECKS = 4
_PATIENT = 0.15
_PATIENT_CHECKS = (8, 16)
"""Some jobs take so long that they are held across sleeps and takeovers."""
_NEVER = 1_000_000_000  # checks
_FAR_MS = 3_600_000
_ARRIVING = 0.85
"""Workflows come during this part of the chaos, so that there are some to hurt as long as it lasts."""
_FOREIGN = 0.2
_HEARTBEAT = 0.25
_ODD = 0.25
_ODDITIES: list[Any] = ["function_error", "not_json", "unknown_status", "nan"]
POLLS_PER_SECOND = 20
"""More polls of one row a second than there can be: the least interval is half a second."""
THROTTLED = ("SendTask*", "SendTask*", "dynamodb:*", "UpdateItem", "Invoke", "*")
SHARDS = 4
LEAST_REPLICAS = 4
"""One that sleeps until it is gone to the others, one that sleeps for less, one that is awake, and one that claims."""
INTERVALS = (0.5, 1.0, 2.0)
SHORT_SLEEP, STALE_SLEEP, GONE_SLEEP = 12.0, 23.0, 42.0
"""Seconds: longer than a beat, than a beat may lag, and than it takes others to see that one is gone and take over."""
SLEEPS_SECONDS = 54.0
_WARM_SECONDS = 8.0
"""Replicas hold rows by then, and have beaten, also where a busy machine takes seconds to start them."""
_CALM_KILL_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may choose."""

    seed: int
    workflows: int = 300
    replicas: int = LEAST_REPLICAS
    rounds: int = 3
    kill_seconds: float = 15.0
    kill_every: float = 1.0
    blackout_every: float = 15.0
    settle_seconds: float = 120.0

    @property
    def round_seconds(self) -> float:
        """Give how long one round is: some time of kills, then one of sleeps."""
        return self.kill_seconds + SLEEPS_SECONDS

    @property
    def seconds(self) -> float:
        """Give how long the chaos is."""
        return self.rounds * self.round_seconds

    @property
    def claimer(self) -> int:
        """Give the replica that claims for each poll; the others hold rows."""
        return self.replicas - 1


@dataclass(frozen=True, slots=True)
class Workflow:
    """A waiting task and its job. A foreign one's row has the first block of attributes alone."""

    job_id: str
    fate: Fate
    checks: int
    max_attempts: int
    lives_ms: int
    interval_seconds: float
    foreign: bool
    heartbeat: bool
    script: list[Any]

    @property
    def reason(self) -> str:
        """Give the job's own reason, where it fails."""
        return f"{self.job_id} broke after {self.checks} checks"

    @property
    def result(self) -> dict[str, str]:
        """Give the job's output, where it completes."""
        return {"made by": self.job_id, "text": 'ä "quoted" line\nand another'}

    def row(self, token: str, now: Instant) -> dict[str, Any]:
        """Give the token row as its creator writes it."""
        row: dict[str, Any] = {
            "jobId": self.job_id,
            "taskToken": token,
            "executionId": f"arn:aws:states:us-east-1:000000000000:execution:poc-callback-workflow:{self.job_id}",
            "createdAt": format_iso(now),
            "expiresAt": format_iso(now + self.lives_ms),
            "attemptCount": 0,
            "maxAttempts": self.max_attempts,
            "status": "POLLING",
        }
        if not self.foreign:
            row |= {"version": 0, "nextPollAt": now, "dueShard": due_shard(self.job_id, SHARDS)}
            row |= {"intervalSeconds": self.interval_seconds}
            row |= {"heartbeat": True} if self.heartbeat else {}
        return {name: to_attribute(value) for name, value in row.items()}


@dataclass(frozen=True, slots=True)
class Arrive:
    """A workflow starts to wait."""

    workflow: Workflow


@dataclass(frozen=True, slots=True)
class Kill:
    """One replica dies by SIGKILL, and is started again."""

    replica: int


@dataclass(frozen=True, slots=True)
class Throttle:
    """A burst of throttling: of these operations only `rate` calls a second get through."""

    operation: str
    rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Blackout:
    """All replicas die at once; when they come back, the time of the longest hold has passed."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """One replica is stopped by SIGSTOP: for longer than a beat, than a beat may lag, or until others call it gone."""

    replica: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Wake:
    """One that sleeps goes on, by SIGCONT."""

    replica: int


Event = Arrive | Kill | Throttle | Blackout | Sleep | Wake
Timed = tuple[float, Event]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is drawn before it begins: what happens when, and the seed of the faults of single calls."""

    workflows: list[Workflow]
    events: list[Timed]
    fault_seed: int


def draw(options: Options) -> Plan:
    """Draw the plan. The same options give the same plan; the operating system decides how the processes interleave."""
    chance = random.Random(options.seed)
    workflows = [_workflow(chance, number, options) for number in range(options.workflows)]
    events: list[Timed] = [(chance.uniform(0, _ARRIVING * options.seconds), Arrive(each)) for each in workflows]
    for number in range(options.rounds):
        events += _round(chance, options, number * options.round_seconds)
    events += _bursts(chance, options.seconds)
    return Plan(workflows, sorted(events, key=lambda timed: timed[0]), chance.getrandbits(32))


def _workflow(chance: random.Random, number: int, options: Options) -> Workflow:
    (fate,) = chance.choices(list(_FATES), list(_FATES.values()))
    # A killed poll spends an attempt, and so does a check that fails. A row is polled at most every interval, so that a
    # job with this many attempts cannot run out of them in the time that a soak has: only the endless ones do.
    plenty = round(POLLS_PER_SECOND * (options.seconds + options.settle_seconds))
    odd = chance.random() < _ODD
    checks = chance.randint(*_PATIENT_CHECKS) if chance.random() < _PATIENT else chance.randint(1, _MOST_CHECKS)
    return Workflow(
        job_id=f"soak-{number:04}-{fate}",
        fate=fate,
        checks=checks if fate in {"completes", "fails"} else _NEVER,
        max_attempts=chance.randint(2, 5) if fate == "endless" else plenty,
        lives_ms=chance.randint(2_000, 8_000) if fate == "expires" else _FAR_MS,
        interval_seconds=chance.choice(INTERVALS),
        foreign=chance.random() < _FOREIGN,
        heartbeat=chance.random() < _HEARTBEAT,
        script=chance.choices(_ODDITIES, k=chance.randint(1, 2)) if odd else [],
    )


def _round(chance: random.Random, options: Options, begin: float) -> list[Timed]:
    """Draw one round: any replica may be killed; then some sleep, and only the one that claims is killed."""
    calm = begin + options.kill_seconds
    kills: list[Timed] = [
        (begin + at, Kill(chance.randrange(options.replicas)))
        for at in _every(options.kill_every, options.kill_seconds)
    ]
    blackouts: list[Timed] = [(begin + at, Blackout()) for at in _every(options.blackout_every, options.kill_seconds)]
    gone, stale = chance.sample(range(options.claimer), 2)
    slept = _slept(gone, calm + _WARM_SECONDS, GONE_SLEEP)
    slept += _slept(stale, calm + _WARM_SECONDS + 1, SHORT_SLEEP)
    slept += _slept(stale, calm + _WARM_SECONDS + 1 + SHORT_SLEEP + 4, STALE_SLEEP)
    kills += [(calm + at, Kill(options.claimer)) for at in _every(_CALM_KILL_EVERY, SLEEPS_SECONDS)]
    return [*kills, *blackouts, (calm, Blackout()), *slept]


def _slept(replica: int, at: float, seconds: float) -> list[Timed]:
    return [(at, Sleep(replica, seconds)), (at + seconds, Wake(replica))]


def _every(gap: float, seconds: float) -> list[float]:
    return [gap * number for number in range(1, int(seconds / gap) + 1) if gap * number < seconds]


def _bursts(chance: random.Random, seconds: float) -> list[Timed]:
    events: list[Timed] = []
    at = chance.uniform(1, 4)
    while at < seconds:
        burst = Throttle(chance.choice(THROTTLED), chance.choice([0.0, 2.0, 10.0]), chance.uniform(1, 2.5))
        events.append((at, burst))
        at += burst.seconds + chance.uniform(2, 5)
    return events
