"""The clouds in memory: a token table, Step Functions and a source that do what they are told, faults included.

The contract suite holds `FakeTokenTable` to what DynamoDB does. Nothing here reads a clock or waits by itself.
"""

import asyncio
import itertools
import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from scheduler.core.answer_delivery import send_result
from scheduler.core.answers import MAX_OUTPUT_BYTES, Answer, Succeed, write_pending
from scheduler.core.attributes import Attribute, Item, from_attribute, to_attribute
from scheduler.core.check_replies import InProgress, Report, Unanswered
from scheduler.core.effects import (
    Claim,
    Delivery,
    Failure,
    Heartbeat,
    Keep,
    Lost,
    Mark,
    Quarantine,
    Release,
    Send,
    Write,
)
from scheduler.core.instant import Instant, format_iso
from scheduler.core.invocation import Invocation, NoInvocation
from scheduler.core.row_reader import Found, MalformedRowError, read_found, read_row
from scheduler.core.row_writes import write_result
from scheduler.core.service_calls import CONDITION_FAILED, CallError
from scheduler.core.states import POLLING, EndState
from scheduler.core.timing import Policy
from scheduler.core.token_row import TokenRow, due_shard
from scheduler.errors import CloudError

MAX_ITEM_BYTES = 409_600
MAX_NUMBER_DIGITS = 38
THROTTLED = "ThrottlingException"
REAL_TOKEN_PREFIX = "AQ"  # what Step Functions' own tokens begin with; anything else it calls garbage


class _Refused(Exception):  # noqa: N818  it is raised and caught in this file, as DynamoDB's refusal of an update
    def __init__(self, code: str, message: str, item: Item | None = None) -> None:
        super().__init__(message)
        self.error = CallError(code, message, item)


def row_item(job_id: str = "job-1", /, **changes: Attribute | None) -> dict[str, Attribute]:
    """Give the item that a foreign creator writes for a waiting job; a change to None takes an attribute away."""
    item: dict[str, Attribute | None] = {
        "jobId": {"S": job_id},
        "taskToken": {"S": f"{REAL_TOKEN_PREFIX}-{job_id}"},
        "executionId": {"S": f"arn:aws:states:us-east-1:000000000000:execution:flow:{job_id}"},
        "createdAt": {"S": "2026-01-01T00:00:00Z"},
        "expiresAt": {"S": "2026-01-01T01:00:00Z"},
        "attemptCount": {"N": "0"},
        "maxAttempts": {"N": "10"},
        "status": {"S": POLLING},
    }
    return {name: held for name, held in (item | changes).items() if held is not None}


def token_row(job_id: str = "job-1", **changes: Any) -> TokenRow:
    """Give the row of a foreign creator as it is read, with some fields changed."""
    return replace(read_row(row_item(job_id)), **changes)


def fixed_policy(interval: float = 60, lease: float = 31, chance: float = 0) -> Policy:
    """Give a policy without luck; its claims are numbered."""
    numbers = itertools.count(1)
    return Policy(interval, lease, 4, chance=lambda: chance, new_claim_id=lambda: f"claim-{next(numbers)}")


class FakeTokenTable:
    """The token table in memory; it holds DynamoDB's items and takes and gives what `TokenTable` does."""

    def __init__(self, shards: int = 4) -> None:
        self.items: dict[str, dict[str, Attribute]] = {}
        self.writes: list[Write] = []
        self._shards = shards
        self._faults: deque[tuple[str, bool]] = deque()
        self._unreachable: CloudError | None = None

    def put(self, item: Item) -> None:
        """Insert an item as it is, or replace the one of the same job."""
        self.items[item["jobId"]["S"]] = dict(item)

    def fail_next_writes(self, count: int = 1, code: str = THROTTLED) -> None:
        """Refuse the next writes with this code, without applying them."""
        self._faults += [(code, False)] * count

    def lose_next_reply(self) -> None:
        """Apply the next write and lose its reply."""
        self._faults.append(("ReadTimeoutError", True))

    def go_down(self, message: str = "table poc-task-tokens could not be used") -> None:
        """Let every read raise CloudError from now on."""
        self._unreachable = CloudError(message)

    async def probe(self) -> None:
        """Ask whether the table is there."""
        self._reach()

    async def get(self, job_id: str) -> Item | None:
        """Read one row as it is now."""
        self._reach()
        item = self.items.get(job_id)
        return None if item is None else dict(item)

    async def find(self, now: Instant) -> AsyncIterator[Found]:
        """Give the due rows: those without a time first, then the longest due; ended ones are tidied away."""
        self._reach()
        for item in sorted(self.items.values(), key=_due_at):
            if _due_at(item) > now:
                continue
            status = item.get("status")
            if status == {"S": POLLING}:
                yield read_found(item)
            elif "dueShard" in item and status in [{"S": state.value} for state in EndState]:
                self.items[item["jobId"]["S"]] = _tidied(item)

    async def write(self, effect: Write) -> TokenRow | MalformedRowError | Lost | Failure | None:
        """Perform one write of the protocol."""
        self.writes.append(effect)
        code, applied = self._faults.popleft() if self._faults else ("", True)
        reply: dict[str, Any] | CallError = CallError(code, "as the test asked for")
        if applied:
            try:
                reply = {"Attributes": self._apply(effect)}
            except _Refused as refusal:
                reply = refusal.error
        if code and applied:
            reply = CallError(code, "no reply in time")
        return write_result(effect, reply)

    def _reach(self) -> None:
        if self._unreachable:
            raise self._unreachable

    def _apply(self, effect: Write) -> Item:
        job_id = effect.job_id if isinstance(effect, Quarantine) else effect.row.job_id
        old = self.items.get(job_id, {})
        if not (old.get("status") == {"S": POLLING} and _holds(effect, old)):
            message = "The conditional request failed"
            raise _Refused(CONDITION_FAILED, message, old or None)
        new = dict(old)
        match effect:
            case Claim():
                _claim(new, effect)
            case Keep(row, pending, until, error):
                _count(new, "version")
                _set(new, pendingAnswer=write_pending(pending), nextPollAt=until, lastError=row.token.scrub(error))
            case Release():
                _release(new, effect)
            case Mark(row, state, now, error, purge_at):
                _count(new, "version")
                _end(new, state, now, row.token.scrub(error) if error else None)
                if purge_at is not None:
                    _set(new, purgeAt=purge_at)
            case Quarantine(_, fault, now, counted, with_reason):
                if counted and fault.attribute != "version":
                    _count(new, "version")
                _end(new, EndState.QUARANTINED, now, str(fault) if with_reason else None)
        _fits(new)
        self.items[job_id] = new
        return dict(new)


def _claim(item: dict[str, Attribute], claim: Claim) -> None:
    _count(item, "version")
    if not claim.row.pending:
        _count(item, "attemptCount")
    now = format_iso(claim.now)
    _set(item, claimId=claim.claim_id, nextPollAt=claim.until, dueShard=claim.shard, lastPolledAt=now)
    item.pop("purgeAt", None)
    item.pop("completedAt", None)


def _release(item: dict[str, Attribute], release: Release) -> None:
    _count(item, "version")
    _set(item, nextPollAt=release.until)
    if release.error:
        _set(item, lastError=release.row.token.scrub(release.error))
    if release.unspent:
        _set(item, attemptCount=from_attribute(item["attemptCount"]) - 1)
    if release.unknown_checks != release.row.unknown_checks:
        _set(item, unknownChecks=release.unknown_checks)


def _due_at(item: Item) -> Decimal:
    held = item.get("nextPollAt", {})
    return Decimal(held["N"]) if "N" in held else Decimal("-Infinity")


def _holds(effect: Write, item: Item) -> bool:
    """Tell whether the effect's own condition holds, besides that the row is still waiting."""
    match effect:
        case Claim(row) if row.version is None:
            return "version" not in item and _same(item.get("attemptCount"), {"N": str(row.attempt_count)})
        case Claim(row):
            return _same(item.get("version"), {"N": str(row.version)})
        case Keep(row) | Release(row):
            return item.get("claimId") == {"S": str(row.claim_id)}
        case Mark(row) if row.entry is not None:
            return item.get("entry") == {"S": row.entry}
        case Quarantine(_, fault):
            return fault.attribute is None or _same(item.get(fault.attribute), fault.held)
    return True


def _same(one: Attribute | None, other: Attribute | None) -> bool:
    """Compare as DynamoDB does: 1 and 1.0 are the same number."""
    if one is None or other is None:
        return one is other
    return one.keys() == other.keys() and (one == other or ("N" in one and Decimal(one["N"]) == Decimal(other["N"])))


def _count(item: dict[str, Attribute], name: str) -> None:
    held = item.get(name, {"N": "0"})
    if "N" not in held:
        code, message = "ValidationException", "An operand in the update expression has an incorrect data type"
        raise _Refused(code, message)
    item[name] = to_attribute(from_attribute(held) + 1)


def _set(item: dict[str, Attribute], **values: object) -> None:
    item.update({name: to_attribute(value) for name, value in values.items()})


def _end(item: dict[str, Attribute], state: EndState, now: Instant, error: str | None) -> None:
    _set(item, status=state.value, completedAt=format_iso(now), **({"lastError": error[:1_000]} if error else {}))
    for name in ("dueShard", "nextPollAt", "pendingAnswer"):
        item.pop(name, None)


def _tidied(item: Item) -> dict[str, Attribute]:
    tidied = {name: held for name, held in item.items() if name not in {"dueShard", "nextPollAt"}}
    _count(tidied, "version")
    return tidied


def _fits(item: Item) -> None:
    """Refuse what DynamoDB does not store: over 400 KB, or a number of over 38 digits."""
    held = item["nextPollAt"]["N"] if "nextPollAt" in item else "0"
    if len(held.rstrip("0")) > MAX_NUMBER_DIGITS:
        code, message = "ValidationException", "Attempting to store more than 38 significant digits in a Number"
        raise _Refused(code, message)
    if item_size(item) > MAX_ITEM_BYTES:
        code, message = "ValidationException", "Item size to update has exceeded the maximum allowed size"
        raise _Refused(code, message)


def item_size(item: Item) -> int:
    """Give an item's bytes as DynamoDB counts them, near enough."""
    return sum(len(name.encode()) + _size(held) for name, held in item.items())


def _size(attribute: Attribute) -> int:
    ((kind, value),) = attribute.items()
    match kind:
        case "M":
            return 3 + sum(len(name.encode()) + _size(held) for name, held in value.items())
        case "L":
            return 3 + sum(map(_size, value))
        case "S":
            return len(value.encode("utf-8", "surrogatepass"))
    return len(str(value))


class FakeStepFunctions:
    """Step Functions in memory, as AWS documents it; `ledger` holds the answers that took effect, by token.

    `applied` is set once a call has taken effect; where a test sets `before_reply`, the reply waits for it.
    """

    def __init__(self) -> None:
        self.ledger: dict[str, list[Answer]] = {}
        self.heartbeats: Counter[str] = Counter()
        self.calls: list[Send | Heartbeat] = []
        self.applied = asyncio.Event()
        self.before_reply: asyncio.Event | None = None
        self._waiting: set[str] = set()
        self._over: set[str] = set()
        self._faults: deque[CallError | None] = deque()

    def wait(self, *tokens: str) -> None:
        """Let tasks wait for these tokens."""
        self._waiting.update(tokens)

    def stop(self, token: str) -> None:
        """End a task without an answer: its execution was stopped, or its time ran out."""
        self._waiting.discard(token)
        self._over.add(token)

    def fail_next(self, count: int = 1, code: str = THROTTLED) -> None:
        """Refuse the next calls with this code, without applying them."""
        self._faults += [CallError(code, "as the test asked for")] * count

    def lose_next_reply(self) -> None:
        """Apply the next call and lose its reply."""
        self._faults.append(None)

    async def send(self, effect: Send | Heartbeat) -> Delivery:
        """Perform one answer or heartbeat."""
        self.calls.append(effect)
        fault = self._faults.popleft() if self._faults else CallError("", "")
        if fault and fault.code:
            return send_result(effect, fault)
        reply = self._apply(effect)
        self.applied.set()
        if self.before_reply:
            await self.before_reply.wait()
        return send_result(effect, reply if fault else CallError("ReadTimeoutError", "no reply in time"))

    def _apply(self, effect: Send | Heartbeat) -> dict[str, Any] | CallError:
        token = effect.token.reveal()
        if not token.startswith(REAL_TOKEN_PREFIX):
            return CallError("InvalidToken", f"Invalid Token: '{token}'")
        if token in self._over:
            return CallError("TaskTimedOut", f"Task Timed Out: '{token}'")
        if token not in self._waiting:
            return CallError("TaskDoesNotExist", f"Task does not exist: '{token}'")
        if isinstance(effect, Heartbeat):
            self.heartbeats[token] += 1
            return {}
        if refusal := _output_error(effect.answer):
            return refusal
        self.ledger.setdefault(token, []).append(effect.answer)
        self.stop(token)
        return {}


def _output_error(answer: Answer) -> CallError | None:
    if not isinstance(answer, Succeed):
        return None
    if len(answer.output.encode()) > MAX_OUTPUT_BYTES:
        return CallError("ValidationException", "output is too long")
    try:
        json.loads(answer.output)
    except ValueError:
        return CallError("InvalidOutput", "Invalid Output: it is not JSON")
    return None


class FakeSource:
    """A source that follows a script: each check of a job takes its next line, and the last line stays.

    A line is a report, or an exception to raise. A job without a script is unknown. `hold` lets checks wait.
    """

    def __init__(self, scripts: Mapping[str, Sequence[Report | Exception]] | None = None) -> None:
        self.scripts = {job_id: list(lines) for job_id, lines in (scripts or {}).items()}
        self.checks: Counter[str] = Counter()
        self.in_flight = 0
        self.most_in_flight = 0
        self.on_check: Callable[[], None] = lambda: None
        self._gate = asyncio.Event()
        self._gate.set()

    def hold(self) -> None:
        """Let every check wait until `let_go`."""
        self._gate.clear()

    def let_go(self) -> None:
        """Let the waiting checks go on."""
        self._gate.set()

    async def probe(self) -> None:
        """Ask whether the source is there: it is."""

    async def check(self, row: TokenRow) -> Report:
        """Follow the script of a job."""
        self.checks[row.job_id] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.on_check()
        try:
            await asyncio.sleep(0)
            await self._gate.wait()
        finally:
            self.in_flight -= 1
        lines = self.scripts.get(row.job_id, [Unanswered("the source replied with an error: job not found")])
        line = lines[min(self.checks[row.job_id], len(lines)) - 1] if lines else InProgress()
        if isinstance(line, Exception):
            raise line
        return line


class FakeFunctions:
    """Lambda functions in memory: each invocation takes the next of `replies`, and the last one stays."""

    def __init__(self, *replies: Invocation | NoInvocation) -> None:
        self.replies = deque(replies)
        self.invocations: list[tuple[str, Any]] = []
        self.probed: list[str] = []

    async def invoke(self, name: str, payload: bytes) -> Invocation | NoInvocation:
        """Note an invocation and give its reply."""
        self.invocations.append((name, json.loads(payload)))
        return self.replies.popleft() if len(self.replies) > 1 else self.replies[0]

    async def probe(self, name: str) -> None:
        """Note which function was asked for: it is there."""
        self.probed.append(name)


def shard_of(job_id: str, shards: int = 4) -> dict[str, Attribute]:
    """Give the attribute dueShard as our own creator writes it."""
    return {"dueShard": to_attribute(due_shard(job_id, shards))}
