"""The clouds in memory: a token table, Step Functions and a source that do what they are told, faults included.

The contract suite holds `FakeTokenTable` to what DynamoDB does. Nothing here reads a clock or waits by itself.
"""

import asyncio
import itertools
import json
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from scheduler.aws.due_finder import DueFinder
from scheduler.aws.token_table import Due, TokenTable
from scheduler.core.answer_delivery import send_result
from scheduler.core.answers import MAX_OUTPUT_BYTES, Answer, Succeed
from scheduler.core.attributes import Attribute, Item, to_attribute
from scheduler.core.check_replies import InProgress, Report, Unanswered
from scheduler.core.effects import Delivery, Failure, Heartbeat, Lost, Reread, Send, Write
from scheduler.core.invocation import Invocation, NoInvocation
from scheduler.core.row_reader import MalformedRowError, read_row
from scheduler.core.row_writes import reread_result, write_call, write_result
from scheduler.core.service_calls import CallError, call_error
from scheduler.core.states import POLLING
from scheduler.core.timing import Policy
from scheduler.core.token_row import TokenRow, due_shard
from tests.fake_dynamodb import HTTP_STATUS, FakeDynamoDB

THROTTLED = "ThrottlingException"
REAL_TOKEN_PREFIX = "AQ"  # what Step Functions' own tokens begin with; anything else it calls garbage


def refusal(code: str) -> CallError:
    """Give an error that a service itself replied with."""
    return CallError(code, "as the test asked for", status=HTTP_STATUS.get(code, 400))


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


def fixed_policy(interval: float = 60, lease: float = 31, chance: float = 0, hold: float = 0) -> Policy:
    """Give a policy without luck, whose holds last `hold` seconds at most; its claims are numbered."""
    numbers = itertools.count(1)
    new_claim_id = lambda: f"claim-{next(numbers)}"  # noqa: E731
    return Policy(interval, lease, 4, chance=lambda: chance, new_claim_id=new_claim_id, longest_hold_seconds=hold)


class FakeTokenTable:
    """The token table in memory: the product's own writes and finding, over DynamoDB's client in memory.

    It performs writes as `TokenTable` does, without a loop and without a time-out.
    """

    name = "tokens"

    def __init__(self, shards: int = 4, *, indexed: bool = True) -> None:
        self.client = FakeDynamoDB(indexed=indexed)
        self.items = self.client.items
        self.writes: list[Write] = []
        self.unread = 0
        """So many of the next rows that are read again cannot be read."""
        self._shards = shards
        self._faults: deque[tuple[str, bool]] = deque()

    @property
    def dynamodb(self) -> Any:
        """The client to call, for whatever wants one."""
        return self.client

    def real(self, due: Due = "scan") -> TokenTable:
        """Give the product's own token table over the same rows."""
        return TokenTable(self, self.name, due)

    def finder(self, due: Due = "scan", clock: Callable[[], float] = lambda: 0.0) -> DueFinder:
        """Give the product's own finder of due rows over the same rows."""
        return DueFinder(self.real(due), self, self._shards, due, clock)

    def put(self, item: Item) -> None:
        """Insert an item as it is, or replace the one of the same job."""
        self.items[item["jobId"]["S"]] = dict(item)

    def fail_next_writes(self, count: int = 1, code: str = THROTTLED) -> None:
        """Refuse the next writes with this code, without applying them."""
        self._faults += [(code, False)] * count

    def lose_next_reply(self) -> None:
        """Apply the next write and lose its reply."""
        self._faults.append(("ReadTimeoutError", True))

    async def get(self, job_id: str) -> Item | None:
        """Read one row as it is now."""
        item = self.items.get(job_id)
        return None if item is None else dict(item)

    async def write(self, effect: Write) -> TokenRow | MalformedRowError | Lost | Failure | None:
        """Perform one write of the protocol."""
        self.writes.append(effect)
        code, applied = self._faults.popleft() if self._faults else ("", True)
        reply: dict[str, Any] | CallError = refusal(code)
        if applied:
            try:
                reply = {"Attributes": self._apply(effect)}
            except ClientError as error:
                reply = call_error(error)
        if code and applied:
            reply = CallError(code, "no reply in time")
        return write_result(effect, reply)

    async def write_many(self, effects: Sequence[Write]) -> list[TokenRow | MalformedRowError | Lost | Failure | None]:
        """Perform writes, one after another."""
        return [await self.write(effect) for effect in effects]

    async def reread(self, effect: Reread) -> TokenRow | MalformedRowError | Lost | Failure:
        """Read a held row as it is now."""
        if self.unread:
            self.unread -= 1
            return Failure("ReadTimeoutError: no reply in time")
        return reread_result(effect, await self.get(effect.row.job_id))

    def _apply(self, effect: Write) -> Item:
        """Give the row as a write leaves it. Raises ClientError."""
        call = write_call(effect, self.name)
        self.client.update(**call.parameters)
        return dict(self.items[call.parameters["Key"]["jobId"]["S"]])


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
        self._faults += [refusal(code)] * count

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
        self.instead: Callable[[str], Report | None] = lambda _: None
        """What a check gives instead of its line, where it gives anything."""
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
        if (report := self.instead(row.job_id)) is not None:
            return report
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
