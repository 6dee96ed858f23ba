"""Every write of a token row: its condition, what it changes, and what DynamoDB's reply means to the protocol.

Pure translation: whoever drives a poll makes the calls. Every condition that the protocol depends on stands here.
"""

from typing import Any, assert_never

from scheduler.core.answers import write_pending
from scheduler.core.attributes import Item
from scheduler.core.effects import (
    Claim,
    Failure,
    Keep,
    Lost,
    Mark,
    Quarantine,
    Release,
    Renew,
    Reread,
    Write,
)
from scheduler.core.instant import Instant, format_iso
from scheduler.core.row_reader import MalformedRowError, read_row
from scheduler.core.row_update import RowUpdate
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
    "38 significant digits",
    "38 digits",  # DynamoDB Local says the same in words of its own
    "Nesting Levels",
)
"""What a ValidationException says where the row's own content is in the way of a write. Any other, such as the type of
an index's key, is about the table, and every other row would fare alike."""
_LAST_ERROR_LENGTH = 1_000  # of the attribute lastError, for people; a cause may have 32,768 characters


Written = TokenRow | MalformedRowError | Lost | Failure | None
"""What the protocol is told of a write."""


def write_call(effect: Write, table: str) -> Call:
    """Give the one conditional write that an effect stands for."""
    update = row_update(effect)
    if isinstance(effect, Claim):
        return update.call(table, ReturnValues="ALL_NEW", ReturnValuesOnConditionCheckFailure="ALL_OLD")
    return update.call(table)


def row_update(effect: Write) -> RowUpdate:
    """Give what an effect requires of its row and changes in it."""
    update = RowUpdate(effect.job_id if isinstance(effect, Quarantine) else effect.row.job_id)
    update.require("status", {"S": POLLING})
    match effect:
        case Claim():
            _claim(update, effect)
        case Renew():
            _renew(update, effect)
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
    return update


def _claim(update: RowUpdate, claim: Claim) -> None:
    row = claim.row
    update.require("version", None if row.version is None else {"N": str(row.version)})
    if row.version is None:
        update.require("attemptCount", {"N": str(row.attempt_count)} if row.counted else None)
    # Numbers and not sums: the condition says what they were, and a statement of a batch counts only what is there.
    claimed = row.claimed(claim.claim_id)
    update.set(version=claimed.version, attemptCount=claimed.attempt_count)
    update.set(claimId=claim.claim_id, nextPollAt=claim.until, dueShard=claim.shard, lastPolledAt=format_iso(claim.now))
    _held(update, claim.held_by)
    # Left by an end that a person took back; DynamoDB must not delete the row under its waiting task.
    update.remove("purgeAt", "completedAt")


def _renew(update: RowUpdate, renew: Renew) -> None:
    row = renew.row
    update.require("claimId", {"S": str(row.claim_id)})
    update.count("version")
    update.set(attemptCount=row.attempt_count, unknownChecks=row.unknown_checks)
    update.set(nextPollAt=renew.until, lastPolledAt=format_iso(renew.polled_at))
    if row.last_error:
        update.set(lastError=_noted(row, row.last_error))
    _held(update, renew.held_by)
    if renew.held_by is None:
        update.remove("claimId")  # a renewal that arrives late must not hold what nobody knows to be held


def _held(update: RowUpdate, held_by: str | None) -> None:
    if held_by is None:
        update.remove("heldBy")
    else:
        update.set(heldBy=held_by)


def _keep(update: RowUpdate, keep: Keep) -> None:
    update.require("claimId", {"S": str(keep.row.claim_id)})
    update.count("version")
    update.set(pendingAnswer=write_pending(keep.pending), nextPollAt=keep.until, lastError=_noted(keep.row, keep.error))
    update.set(attemptCount=keep.row.attempt_count)
    _held(update, None)


def _release(update: RowUpdate, release: Release) -> None:
    update.require("claimId", {"S": str(release.row.claim_id)})
    update.count("version")
    update.set(nextPollAt=release.until)
    if release.error:
        update.set(lastError=_noted(release.row, release.error))
    # As a number and not as a subtraction: it may be sent again after a reply that was lost.
    update.set(attemptCount=release.row.attempt_count - release.unspent)
    if release.unknown_checks != release.row.unknown_checks:
        update.set(unknownChecks=release.unknown_checks)


def _mark(update: RowUpdate, mark: Mark) -> None:
    if mark.row.entry is not None:
        # A state that was tried again has a newer token in this row, and what the older one was told is not its end.
        update.require("entry", {"S": mark.row.entry})
    update.count("version")
    if mark.attempts is not None:
        update.set(attemptCount=mark.attempts)
    _end(update, mark.end_state, mark.now, mark.error and _noted(mark.row, mark.error))
    if mark.purge_at is not None:
        update.set(purgeAt=mark.purge_at)


def _quarantine(update: RowUpdate, quarantine: Quarantine) -> None:
    fault = quarantine.fault
    if quarantine.counted and fault.attribute != "version":
        update.count("version")
    if fault.attribute:
        update.require(fault.attribute, fault.held, "fault")
    _end(update, EndState.QUARANTINED, quarantine.now, str(fault) if quarantine.with_reason else None)


def _end(update: RowUpdate, end_state: EndState, now: Instant, error: str | None) -> None:
    update.set(status=end_state.value, completedAt=format_iso(now))
    if error:
        update.set(lastError=error[:_LAST_ERROR_LENGTH])
    update.remove("dueShard", "nextPollAt", "pendingAnswer", "heldBy")


def _noted(row: TokenRow, error: str) -> str:
    return row.token.scrub(error)[:_LAST_ERROR_LENGTH]


def write_result(effect: Write, reply: dict[str, Any] | CallError) -> Written:
    """Give what the protocol is told of a write; no text in it shows the row's token."""
    if isinstance(reply, CallError):
        if reply.code in _CONTENDED and isinstance(effect, Claim):
            return Lost()
        if reply.code != CONDITION_FAILED:
            return Failure(_said(effect, reply), _of_the_row(reply), reply.refusal)
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
    return _read(item)


def reread_result(effect: Reread, item: Item | None) -> TokenRow | MalformedRowError | Lost:
    """Give what the protocol is told of a held row that was read again."""
    if not item or item.get("status") != {"S": POLLING} or item.get("claimId") != {"S": effect.row.claim_id}:
        return Lost()
    return _read(item)


def _read(item: Item) -> TokenRow | MalformedRowError:
    try:
        return read_row(item)
    except MalformedRowError as fault:
        return fault


def _said(effect: Write, error: CallError) -> str:
    text = f"{error.code}: {error.message}"
    return text if isinstance(effect, Quarantine) else effect.row.token.scrub(text)


def _of_the_row(error: CallError) -> bool:
    if error.code == "ParamValidationError":
        return True
    return error.code in REFUSED_CODES and any(words in error.message for words in _OF_THE_ROW)


def tidy_call(job_id: str, state: EndState, table: str) -> Call:
    """Give the write that takes an ended row out of the index `due`, where whoever ended it left it in."""
    update = RowUpdate(job_id)
    update.require("status", {"S": state.value})
    update.count("version")
    update.remove("dueShard", "nextPollAt")
    return update.call(table)
