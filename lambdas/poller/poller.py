"""The poller Lambda: polls jobs by their ids, with the protocol that the daemon runs too.

Takes `{"jobId"}` or `{"jobIds": [...]}`. Due or not, a job is polled at once: the claim guards it against everybody
else. With `dueBy` (epoch milliseconds) a job is polled only where it was due by then: of an event that Lambda delivers
twice or late, the second finds its jobs polled. The token never appears in a reply or in an error.
"""

import functools
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from making_sources import made_sources, policies
from named_sources import EventChecks, Sources
from scheduler.core.answer_delivery import send_call, send_result
from scheduler.core.attributes import Item
from scheduler.core.check_replies import Report
from scheduler.core.effects import Check, Effect, Heartbeat, Pause, Reread, Send
from scheduler.core.failpoints import with_failpoint
from scheduler.core.home import Home
from scheduler.core.instant import Instant
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.poll_turn import Poll
from scheduler.core.protocol import poll, quarantine
from scheduler.core.row_reader import Malformed, read_found
from scheduler.core.row_writes import write_call, write_result
from scheduler.core.service_calls import Call, CallError, call_error
from scheduler.core.states import POLLING
from scheduler.core.timing import POLLER_THREADS, SEND_TIMEOUT_SECONDS, Policy, lease_seconds
from scheduler.core.token import TaskToken
from scheduler.core.token_row import TokenRow
from scheduler.core.verdicts import due
from sdk_errors import SDK_ERRORS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_stepfunctions import SFNClient

_LONGEST_KEY_BYTES = 2_048  # DynamoDB's quota for a partition key


@dataclass(frozen=True, slots=True)
class _Asked:
    """How the jobs of one event are asked for, and by when those to be polled were due; None polls them all."""

    check: Callable[[TokenRow], Report]
    due_by: Instant | None


class PollError(Exception):
    """A poll that could not be made; its message is free of the token."""


@dataclass(frozen=True, slots=True)
class Poller:
    """Drives the protocol with plain boto3."""

    dynamodb: "DynamoDBClient"
    stepfunctions: "SFNClient"
    table: str
    policy: Policy
    sources: Sources
    clock: Callable[[], Instant]
    sleep: Callable[[float], None] = time.sleep

    def answer(self, event: Any) -> dict[str, Any]:
        """Answer one event. Raises PollError where a single job could not be polled at all."""
        match event:
            case {"jobIds": list(job_ids)}:
                return {"results": self._poll_many(job_ids, _due_by(event))}
            case {"jobId": job_id} if "jobIds" not in event:
                return self._poll(job_id, _Asked(EventChecks(self.sources, 1).check, _due_by(event)))
        return {"error": 'the event must be {"jobId": "..."} or {"jobIds": ["...", ...]}'}

    def _poll_many(self, job_ids: list[Any], due_by: Instant | None) -> list[dict[str, Any]]:
        asked = _Asked(EventChecks(self.sources, len(job_ids)).check, due_by)
        with ThreadPoolExecutor(POLLER_THREADS) as pool:
            return list(pool.map(lambda job_id: self._poll_safely(job_id, asked), job_ids))

    def _poll_safely(self, job_id: Any, asked: _Asked) -> dict[str, Any]:
        """Poll one job of many: its crash is a reply of its own, and none of the others'."""
        try:
            return self._poll(job_id, asked)
        except PollError as error:
            return {"error": str(error)}

    def _poll(self, job_id: Any, asked: _Asked) -> dict[str, Any]:
        if not _is_key(job_id):
            return {"error": f"a job id must be a non-empty string of at most {_LONGEST_KEY_BYTES} bytes"}
        with _without_token(job_id, None):
            key = {"jobId": {"S": job_id}}
            row = self.dynamodb.get_item(TableName=self.table, Key=key, ConsistentRead=True).get("Item")
        if row is None:
            return {"error": "Token not found"}
        status = row.get("status", {}).get("S")
        if status is None:
            return {"error": "the row has no status"}
        if status != POLLING:
            return {"status": status}
        with _without_token(job_id, row):
            return self._poll_row(row, asked).reply()

    def _poll_row(self, row: Item, asked: _Asked) -> Outcome:
        now = self.clock()
        found = read_found(row)
        if isinstance(found, Malformed):
            return self._drive(quarantine(found.job_id, found.fault, now), asked)
        if asked.due_by is not None and not due(found, asked.due_by):
            return Outcome(Kind.LOST, found.job_id, error="it was polled since it was found due")
        return self._drive(with_failpoint(poll(found, self.policy, now, tick=now)), asked)

    def _drive(self, polling: Poll, asked: _Asked) -> Outcome:
        told: Any = None
        try:
            while True:
                told = self._perform(polling.send(told), asked)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome

    def _perform(self, effect: Effect, asked: _Asked) -> object:
        match effect:
            case Check(row):
                return asked.check(row)
            case Send() | Heartbeat():
                return send_result(effect, self._call(send_call(effect)))
            case Pause(seconds):
                self.sleep(seconds)
                return None
            case Reread():
                message = "nothing is held here"
                raise AssertionError(message)
        return write_result(effect, self._call(write_call(effect, self.table)))

    def _call(self, call: Call) -> dict[str, Any] | CallError:
        client = self.dynamodb if call.service == "dynamodb" else self.stepfunctions
        try:
            reply: dict[str, Any] = getattr(client, call.operation)(**call.parameters)
        except SDK_ERRORS as error:
            return call_error(error)
        return reply


@contextmanager
def _without_token(job_id: str, row: Item | None) -> Iterator[None]:
    """Raise whatever goes wrong within as a PollError that cannot show the token.

    The original is left out on purpose: Lambda logs what a function raises, with its causes.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, it may hold the token
        message = f"job {job_id!r:.100} could not be polled: {type(error).__name__}: {error}"
        token = (row or {}).get("taskToken", {}).get("S")
        if token:
            message = TaskToken(token).scrub(message)
        raise PollError(message).with_traceback(error.__traceback__) from None


def _due_by(event: dict[str, Any]) -> Instant | None:
    due_by = event.get("dueBy")
    return due_by if isinstance(due_by, int) else None


def _is_key(job_id: Any) -> bool:
    try:
        return isinstance(job_id, str) and 0 < len(job_id.encode()) <= _LONGEST_KEY_BYTES
    except UnicodeEncodeError:  # JSON can escape a lone surrogate, which DynamoDB cannot store
        return False


def _made() -> Poller:
    def config(read_seconds: float, tries: int) -> Config:
        retries: Any = {"mode": "standard", "total_max_attempts": tries}
        return Config(
            connect_timeout=1, read_timeout=read_seconds, retries=retries, max_pool_connections=POLLER_THREADS + 2
        )

    # The protocol counts and repeats these calls itself.
    stepfunctions = boto3.client("stepfunctions", config=config(SEND_TIMEOUT_SECONDS - 1, 1))
    check_timeout = float(os.environ.get("SCHEDULER_CHECK_TIMEOUT_SECONDS", "10"))
    sources = made_sources(check_timeout)
    default = Policy(
        interval_seconds=float(os.environ.get("SCHEDULER_INTERVAL_SECONDS", "60")),
        lease_seconds=lease_seconds(check_timeout),
        shards=int(os.environ.get("SCHEDULER_SHARDS", "4")),
        retention_seconds=float(os.environ.get("SCHEDULER_RETENTION_DAYS", "7")) * 86_400,
        home=Home(stepfunctions.meta.region_name),
    )
    return Poller(
        # Two tries within what the lease allows for a call.
        dynamodb=boto3.client("dynamodb", config=config(1, 2)),
        stepfunctions=stepfunctions,
        table=os.environ.get("SCHEDULER_TOKEN_TABLE", "poc-task-tokens"),
        policy=policies(default, sources.specs, check_timeout),
        sources=sources,
        clock=lambda: time.time_ns() // 1_000_000,
    )


_poller = functools.cache(_made)  # once for each of Lambda's environments: clients take a second to make


def handler(event: Any, context: object) -> dict[str, Any]:
    """Poll one job or many; see the module's docstring for the event and `Outcome.reply` for the reply."""
    del context
    return _poller().answer(event)
