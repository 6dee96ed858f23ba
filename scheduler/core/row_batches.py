"""Writes of many token rows in one call, a BatchExecuteStatement, and what each statement's reply means.

A statement has the same condition and the same meaning as the single write of its effect. The call as a whole may
succeed with any of its statements refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Any

from scheduler.core.effects import Claim, Failure, Quarantine, Release, Renew, Write
from scheduler.core.row_writes import Written, row_update, write_result
from scheduler.core.service_calls import CONDITION_FAILED, NOT_FROM_AWS, Call, CallError, Refusal, from_aws

BATCH = 25
"""Statements that one call takes."""
BATCHED = (Claim, Renew, Release)
"""The effects that can be written in batches."""
RIGHT = "dynamodb:PartiQLUpdate"
"""What AWS's IAM calls the right to write in batches; it is another one than that of the single write."""

_VALIDATION = "ValidationException"
_CODES = {
    # What a statement's error is called, and what the error of a single write.
    "AccessDenied": "AccessDeniedException",
    "ConditionalCheckFailed": CONDITION_FAILED,
    "DuplicateItem": "DuplicateItemException",
    "ItemCollectionSizeLimitExceeded": "ItemCollectionSizeLimitExceededException",
    "ProvisionedThroughputExceeded": "ProvisionedThroughputExceededException",
    "ResourceNotFound": "ResourceNotFoundException",
    "ThrottlingError": "ThrottlingException",
    "TransactionConflict": "TransactionConflictException",
    "ValidationError": _VALIDATION,
}
_NO_ROW = "MissingRow"  # of ours: a claim was written, or refused without a word, and its row did not come back
_SERVER_FAULTS = frozenset({"InternalServerError", "ServiceUnavailable"})
_BAD_REQUEST, _SERVER_FAULT, _NOT_IMPLEMENTED = 400, 500, 501
_UNKNOWN = frozenset(
    {
        "InvalidAction",
        "NotImplemented",
        "NotImplementedException",
        "UnknownOperation",
        "UnknownOperationException",
        "UnsupportedOperation",
        "UnsupportedOperationException",
        _NO_ROW,
    }
)
"""What a cloud says of an operation that it does not have, or of which it has a part."""
_NOT_SPOKEN = ("partiql", "returning", "well formed", "not supported", "not implemented", "unsupported")
"""What it says of a statement that it does not understand. The text of each is the same for every row."""
_ILL_FORMED = frozenset({_VALIDATION, "ParamValidationError", "SerializationException"})


class Alone(Enum):
    """Why an effect of a batch has to be written alone."""

    UNKNOWN = auto()
    """The cloud knows no such batches."""
    DENIED = auto()
    """The right to write in batches is missing, or every right is: the single write shows which."""
    REFUSED = auto()
    """The batch was refused for what is in it: the single writes show in which effect."""


def statement(effect: Write, table: str) -> dict[str, Any]:
    """Give an effect as a statement of a batch. Raises TypeError for one that is never written in batches."""
    if not isinstance(effect, BATCHED):
        message = f"a {type(effect).__name__} is not written in batches"
        raise TypeError(message)
    return row_update(effect).statement(table, returning=isinstance(effect, Claim))


def batch_call(effects: Sequence[Write], table: str) -> Call:
    """Give the one call that writes up to 25 effects, each of another job. Raises ValueError, TypeError."""
    if not 0 < len(effects) <= BATCH or len({job_of(effect) for effect in effects}) < len(effects):
        message = f"a batch takes 1 to {BATCH} effects, each of another job"
        raise ValueError(message)
    statements = [statement(effect, table) for effect in effects]
    return Call("dynamodb", "batch_execute_statement", {"Statements": statements})


def job_of(effect: Write) -> str:
    """Give the id of the job whose row an effect writes."""
    return effect.job_id if isinstance(effect, Quarantine) else effect.row.job_id


def batch_results(effects: Sequence[Write], reply: dict[str, Any] | CallError) -> list[Written]:
    """Give what the protocol is told of each effect of a batch, in their order."""
    if isinstance(reply, CallError):
        reply = _scrubbed(reply, effects)
        return [write_result(effect, reply) for effect in effects]
    responses = _responses(effects, reply)
    if responses is None:
        return [Failure(NOT_FROM_AWS)] * len(effects)
    return [
        write_result(effect, _single(effect, response)) for effect, response in zip(effects, responses, strict=True)
    ]


def to_write_alone(effects: Sequence[Write], reply: dict[str, Any] | CallError) -> dict[int, Alone]:
    """Give the positions of the effects about which the reply to their batch says nothing, each with the reason."""
    if isinstance(reply, CallError):
        why = _why_alone(reply)
        return dict.fromkeys(range(len(effects)), why) if why else {}
    singles = map(_single, effects, _responses(effects, reply) or ())
    errors = [(position, single) for position, single in enumerate(singles) if isinstance(single, CallError)]
    return {position: why for position, error in errors if (why := _why_alone(error))}


def again(result: Written) -> bool:
    """Tell whether a statement was refused for the moment, and may be sent again at once."""
    return isinstance(result, Failure) and result.refusal in {Refusal.THROTTLED, Refusal.UNAVAILABLE}


def _responses(effects: Sequence[Write], reply: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    responses = reply.get("Responses") if from_aws(dict(reply)) else None
    return responses if responses is not None and len(responses) == len(effects) else None


def _scrubbed(error: CallError, effects: Sequence[Write]) -> CallError:
    """Take the tokens of all rows out of an error that speaks of all of them."""
    message = error.message
    for effect in effects:
        if not isinstance(effect, Quarantine):
            message = effect.row.token.scrub(message)
    return replace(error, message=message)


def _single(effect: Write, response: Mapping[str, Any]) -> dict[str, Any] | CallError:
    """Give a statement's reply as if it were that of the single write."""
    error = response.get("Error")
    if error is None:
        if "Item" in response:
            return {"Attributes": response["Item"]}
        return CallError(_NO_ROW, "the claimed row did not come back") if isinstance(effect, Claim) else {}
    code = str(error.get("Code", "Unknown"))
    status = _SERVER_FAULT if code in _SERVER_FAULTS else _BAD_REQUEST
    return CallError(_CODES.get(code, code), error.get("Message") or "no reason given", error.get("Item"), status)


def _why_alone(error: CallError) -> Alone | None:
    if error.code in _UNKNOWN or error.status == _NOT_IMPLEMENTED:
        return Alone.UNKNOWN
    if error.refusal is Refusal.DENIED:
        return Alone.DENIED
    if error.code not in _ILL_FORMED:
        return None
    not_spoken = any(words in error.message.lower() for words in _NOT_SPOKEN)
    return Alone.UNKNOWN if not_spoken else Alone.REFUSED
