"""Every write of a token row: its condition, what it changes, and what DynamoDB's reply means to the protocol.

Pure translation: whoever drives a poll makes the calls. Every condition that the protocol depends on stands here.
"""

from dataclasses import dataclass, field
from typing import Any, assert_never

from scheduler.core.answers import write_pending
from scheduler.core.attributes import Attribute, to_attribute
from scheduler.core.effects import (
    Claim,
    Failure,
    Keep,
    Lost,
    Mark,
    Quarantine,
    Release,
    Write,
)
from scheduler.core.instant import Instant, format_iso
from scheduler.core.row_reader import MalformedRowError, read_row
from scheduler.core.service_calls import CONDITION_FAILED, NOT_FROM_AWS, REFUSED_CODES, Call, CallError, from_aws
from scheduler.core.states import POLLING, EndState
from scheduler.core.token_row import TokenRow

_CONTENDED = frozenset({"TransactionConflictException", "ReplicatedWriteConflictException"})
_OF_THE_ROW = (
    "Item size",
    "incorrect data type",
    "does not exist in the item",
    "magnitude larger than supported",
    "magnitude smaller than supported",
    "Nesting Levels",
)
"""What a ValidationException says where the row's own content is in the way of a write. Any other, such as the type of
an index's key, is about the table, and every other row would fare alike."""
_LAST_ERROR_LENGTH = 1_000  # of the attribute lastError, for people; a cause may have 32,768 characters


@dataclass(slots=True)
class _Update:
    """An UpdateItem of a token row under construction; attribute names double as their placeholders."""

    job_id: str
    sets: list[str] = field(default_factory=list)
    removes: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    values: dict[str, Attribute] = field(default_factory=dict)

    def name(self, name: str) -> str:
        self.names.add(name)
        return f"#{name}"

    def value(self, label: str, attribute: Attribute) -> str:
        self.values[f":{label}"] = attribute
        return f":{label}"

    def set(self, **attributes: object) -> None:
        for name, value in attributes.items():
            self.sets.append(f"{self.name(name)} = {self.value(name, to_attribute(value))}")

    def count(self, name: str) -> None:
        counted = self.name(name)
        zero, one = self.value("zero", {"N": "0"}), self.value("one", {"N": "1"})
        self.sets.append(f"{counted} = if_not_exists({counted}, {zero}) + {one}")

    def remove(self, *names: str) -> None:
        self.removes += map(self.name, names)

    def require(self, name: str, held: Attribute | None, label: str = "") -> None:
        if held is None:
            self.conditions.append(f"attribute_not_exists({self.name(name)})")
        else:
            self.conditions.append(f"{self.name(name)} = {self.value(label or f'{name}_as_read', held)}")

    def call(self, table: str, **more: Any) -> Call:
        expression = f"SET {', '.join(self.sets)}"
        if self.removes:
            expression += f" REMOVE {', '.join(self.removes)}"
        parameters = {
            "TableName": table,
            "Key": {"jobId": {"S": self.job_id}},
            "UpdateExpression": expression,
            "ConditionExpression": " AND ".join(self.conditions),
            "ExpressionAttributeNames": {f"#{name}": name for name in sorted(self.names)},
            "ExpressionAttributeValues": self.values,
            **more,
        }
        return Call("dynamodb", "update_item", parameters)


def write_call(effect: Write, table: str) -> Call:
    """Give the one conditional write that an effect stands for."""
    update = _Update(effect.job_id if isinstance(effect, Quarantine) else effect.row.job_id)
    update.require("status", {"S": POLLING})
    match effect:
        case Claim():
            _claim(update, effect)
            return update.call(table, ReturnValues="ALL_NEW", ReturnValuesOnConditionCheckFailure="ALL_OLD")
        case Keep():
            _keep(update, effect)
        case Release():
            _release(update, effect)
        case Mark():
            _mark(update, effect)
        case Quarantine():
            _quarantine(update, effect)
        case _:
            assert_never(effect)
    return update.call(table)


def _claim(update: _Update, claim: Claim) -> None:
    row = claim.row
    update.require("version", None if row.version is None else {"N": str(row.version)})
    if row.version is None:
        update.require("attemptCount", {"N": str(row.attempt_count)})
    update.count("version")
    if not row.pending:
        update.count("attemptCount")
    update.set(claimId=claim.claim_id, nextPollAt=claim.until, dueShard=claim.shard, lastPolledAt=format_iso(claim.now))
    # Left by an end that a person took back; DynamoDB must not delete the row under its waiting task.
    update.remove("purgeAt", "completedAt")


def _keep(update: _Update, keep: Keep) -> None:
    update.require("claimId", {"S": str(keep.row.claim_id)})
    update.count("version")
    update.set(pendingAnswer=write_pending(keep.pending), nextPollAt=keep.until, lastError=_noted(keep.row, keep.error))


def _release(update: _Update, release: Release) -> None:
    update.require("claimId", {"S": str(release.row.claim_id)})
    update.count("version")
    update.set(nextPollAt=release.until)
    if release.error:
        update.set(lastError=_noted(release.row, release.error))
    if release.unspent:
        # As a number and not as a subtraction: it may be sent again after a reply that was lost.
        update.set(attemptCount=release.row.attempt_count - 1)
    if release.unknown_checks != release.row.unknown_checks:
        update.set(unknownChecks=release.unknown_checks)


def _mark(update: _Update, mark: Mark) -> None:
    if mark.row.entry is not None:
        # A state that was tried again has a newer token in this row, and what the older one was told is not its end.
        update.require("entry", {"S": mark.row.entry})
    update.count("version")
    _end(update, mark.end_state, mark.now, mark.error and _noted(mark.row, mark.error))
    if mark.purge_at is not None:
        update.set(purgeAt=mark.purge_at)


def _quarantine(update: _Update, quarantine: Quarantine) -> None:
    fault = quarantine.fault
    if quarantine.counted and fault.attribute != "version":
        update.count("version")
    if fault.attribute:
        update.require(fault.attribute, fault.held, "fault")
    _end(update, EndState.QUARANTINED, quarantine.now, str(fault) if quarantine.with_reason else None)


def _end(update: _Update, end_state: EndState, now: Instant, error: str | None) -> None:
    update.set(status=end_state.value, completedAt=format_iso(now))
    if error:
        update.set(lastError=error[:_LAST_ERROR_LENGTH])
    update.remove("dueShard", "nextPollAt", "pendingAnswer")


def _noted(row: TokenRow, error: str) -> str:
    return row.token.scrub(error)[:_LAST_ERROR_LENGTH]


def write_result(
    effect: Write, reply: dict[str, Any] | CallError
) -> TokenRow | MalformedRowError | Lost | Failure | None:
    """Give what the protocol is told of a write."""
    if isinstance(reply, CallError):
        if reply.code in _CONTENDED and isinstance(effect, Claim):
            return Lost()
        if reply.code != CONDITION_FAILED:
            return Failure(f"{reply.code}: {reply.message}", _of_the_row(reply), reply.refusal)
        # A claim that was applied while its reply was lost meets its own mark when it is sent again.
        item = reply.item or {}
        mine = isinstance(effect, Claim) and item.get("claimId") == {"S": effect.claim_id}
        if not (mine and item.get("status") == {"S": POLLING}):
            return Lost()
    elif not from_aws(reply) or (isinstance(effect, Claim) and "Attributes" not in reply):
        return Failure(NOT_FROM_AWS)
    elif isinstance(effect, Claim):
        item = reply["Attributes"]
    else:
        return None
    try:
        return read_row(item)
    except MalformedRowError as fault:
        return fault


def _of_the_row(error: CallError) -> bool:
    if error.code == "ParamValidationError":
        return True
    return error.code in REFUSED_CODES and any(words in error.message for words in _OF_THE_ROW)


def tidy_call(job_id: str, state: EndState, table: str) -> Call:
    """Give the write that takes an ended row out of the index `due`, where whoever ended it left it in."""
    update = _Update(job_id)
    update.require("status", {"S": state.value})
    update.count("version")
    update.remove("dueShard", "nextPollAt")
    return update.call(table)
