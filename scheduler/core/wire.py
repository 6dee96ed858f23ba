"""Effects as requests to DynamoDB and Step Functions, and what their replies mean to the protocol.

Pure translation: whoever drives a poll makes the calls, with boto3 or aioboto3, and brings back replies and errors.
Every condition and every error code that the protocol depends on stands in this file and nowhere else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

from scheduler.core.answers import Fail, Succeed, write_pending
from scheduler.core.attributes import Attribute, Item, to_attribute
from scheduler.core.effects import (
    Claim,
    Delivered,
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
from scheduler.core.model import MalformedRowError, TokenRow, read_row
from scheduler.core.states import POLLING, EndState

_NOT_FROM_AWS = "the reply is not the service's own: it is no JSON"
CLOSED_CODES = frozenset({"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"})
REFUSED_CODES = frozenset({"InvalidOutput", "ValidationException", "ParamValidationError"})
CONDITION_FAILED = "ConditionalCheckFailedException"
MISSING_CODES = frozenset({"ResourceNotFoundException", "StateMachineDoesNotExist", "TableNotFoundException"})
DENIED_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)
NO_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"})
_UNREACHABLE = frozenset({"EndpointConnectionError", "ConnectTimeoutError"})
_LAST_ERROR_LENGTH = 1_000  # of the attribute lastError, for people; a cause may have 32,768 characters


@dataclass(frozen=True, slots=True)
class Call:
    """One request: an operation of a low-level client, by its Python name, and its parameters."""

    service: Literal["dynamodb", "stepfunctions"]
    operation: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallError:
    """How a request failed; `item` is the one that a condition did not hold for."""

    code: str
    message: str
    item: Item | None = None

    @property
    def unusable(self) -> bool:
        """Whether any other request to the same resource would fail alike: it is missing, denied or out of reach."""
        return self.code in MISSING_CODES | DENIED_CODES | NO_CREDENTIALS | _UNREACHABLE


def call_error(error: BaseException) -> CallError:
    """Give what an SDK raised as the protocol understands it.

    boto3 and aioboto3 raise the same errors: a refusal carries the service's `response`, anything else is told apart by
    the name of its class, since the core knows no SDK.
    """
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        detail = response["Error"]
        message = detail.get("Message") or detail.get("message") or str(error)
        return CallError(str(detail.get("Code", "Unknown")), message, response.get("Item") or detail.get("Item"))
    return CallError(type(error).__name__, str(error) or "no reply in time")


def missing_line(kind: str, name: str) -> str:
    """Give the line that a person needs where a resource does not exist."""
    return f"{kind} {name} does not exist; `callback-scheduler deploy` makes it"


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
        attempts, one = update.name("attemptCount"), update.value("one", {"N": "1"})
        update.sets.append(f"{attempts} = {attempts} - {one}")
    if release.unknown_checks != release.row.unknown_checks:
        update.set(unknownChecks=release.unknown_checks)


def _mark(update: _Update, mark: Mark) -> None:
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
        if reply.code != CONDITION_FAILED:
            return Failure(f"{reply.code}: {reply.message}", refused=reply.code in REFUSED_CODES)
        # A claim that was applied while its reply was lost meets its own mark when it is sent again.
        item = reply.item or {}
        mine = isinstance(effect, Claim) and item.get("claimId") == {"S": effect.claim_id}
        if not (mine and item.get("status") == {"S": POLLING}):
            return Lost()
    elif not _from_aws(reply) or (isinstance(effect, Claim) and "Attributes" not in reply):
        return Failure(_NOT_FROM_AWS)
    elif isinstance(effect, Claim):
        item = reply["Attributes"]
    else:
        return None
    try:
        return read_row(item)
    except MalformedRowError as fault:
        return fault


def _from_aws(reply: dict[str, Any]) -> bool:
    """Tell whether a reply can be AWS's own.

    The SDKs take any 200 for a success, a proxy's page of HTML too, and an answer has an empty reply that shows no
    difference. What shows it is that AWS's services always say that they send JSON.
    """
    headers = reply.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return "json" in headers.get("content-type", "json")


def send_call(effect: Send | Heartbeat) -> Call:
    """Give the request that an answer or a heartbeat stands for."""
    token = effect.token.reveal()
    if isinstance(effect, Heartbeat):
        return Call("stepfunctions", "send_task_heartbeat", {"taskToken": token})
    match effect.answer:
        case Succeed(output):
            return Call("stepfunctions", "send_task_success", {"taskToken": token, "output": output})
        case Fail(error, cause):
            return Call("stepfunctions", "send_task_failure", {"taskToken": token, "error": error, "cause": cause})


def send_result(effect: Send | Heartbeat, reply: dict[str, Any] | CallError) -> Delivery:
    """Give what the protocol is told of an answer or a heartbeat."""
    if not isinstance(reply, CallError):
        return Delivery(Delivered.DELIVERED) if _from_aws(reply) else Delivery(Delivered.DEFERRED, _NOT_FROM_AWS)
    error = effect.token.scrub(f"{reply.code}: {reply.message}")
    # LocalStack says InvalidToken to a heartbeat wherever the state has no HeartbeatSeconds.
    if reply.code in CLOSED_CODES and not (isinstance(effect, Heartbeat) and reply.code == "InvalidToken"):
        return Delivery(Delivered.CLOSED, error)
    if reply.code in REFUSED_CODES:
        return Delivery(Delivered.REFUSED, error)
    return Delivery(Delivered.DEFERRED, error, unusable=reply.unusable)


def tidy_call(job_id: str, state: EndState, table: str) -> Call:
    """Give the write that takes an ended row out of the index `due`, where whoever ended it left it in."""
    update = _Update(job_id)
    update.require("status", {"S": state.value})
    update.count("version")
    update.remove("dueShard", "nextPollAt")
    return update.call(table)


def find_parameters(table: str, now: int, stray_shards: int | None = None) -> dict[str, Any]:
    """Give the Scan that finds due rows; with `stray_shards`, only those that no query of so many shards can find."""
    names = {"#status": "status", "#next": "nextPollAt"}
    values: dict[str, Attribute] = {":polling": {"S": POLLING}, ":now": {"N": str(now)}, ":number": {"S": "N"}}
    # A nextPollAt of another type would never compare, and its row never be found.
    conditions = [
        "#status = :polling",
        "(attribute_not_exists(#next) OR #next <= :now OR NOT attribute_type(#next, :number))",
    ]
    if stray_shards is not None:
        names["#shard"] = "dueShard"
        values |= {":first": {"N": "0"}, ":last": {"N": str(stray_shards - 1)}}
        conditions.append(
            "(attribute_not_exists(#next) OR attribute_not_exists(#shard) OR NOT (#shard BETWEEN :first AND :last))"
        )
    return {
        "TableName": table,
        "FilterExpression": " AND ".join(conditions),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


def shard_parameters(table: str, index: str, shard: int, now: int) -> dict[str, Any]:
    """Give the Query that finds the ids of one shard's due rows, the longest due first."""
    return {
        "TableName": table,
        "IndexName": index,
        "KeyConditionExpression": "#shard = :shard AND #next <= :now",
        "ExpressionAttributeNames": {"#shard": "dueShard", "#next": "nextPollAt"},
        "ExpressionAttributeValues": {":shard": {"N": str(shard)}, ":now": {"N": str(now)}},
    }


def keys(job_ids: Iterable[str]) -> list[dict[str, Attribute]]:
    """Give the keys of token rows."""
    return [{"jobId": {"S": job_id}} for job_id in job_ids]
