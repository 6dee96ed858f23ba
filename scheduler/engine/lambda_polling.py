"""Lambda mode: the poller Lambda polls what is due; the daemon only invokes it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from scheduler.core.check_replies import Unanswered, Unasked, read_function_error
from scheduler.core.instant import Instant
from scheduler.core.invocation import Invocation, NoInvocation
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import Found, Malformed
from scheduler.core.service_calls import Refusal
from scheduler.core.states import EndState
from scheduler.core.timing import DEFERRED_SECONDS
from scheduler.core.trouble import Part, Trouble
from scheduler.engine.crashes import without_tokens
from scheduler.engine.poller import Claimed
from scheduler.sources.lambda_function import Invoker

_KINDS = frozenset(Kind)
_CLAIMED = frozenset({Kind.IN_PROGRESS, Kind.CHECK_FAILED, Kind.DEFERRED, Kind.UNASKED})
_WORKED = frozenset({Part.SOURCE})
_IN_TROUBLE = {Kind.UNASKED: Part.SOURCE, Kind.UNREACHED: Part.SOURCE, Kind.DEFERRED: Part.ANSWERS}
_AGAIN_SECONDS = {Kind.UNASKED: 0.0, Kind.UNREACHED: 0.0, Kind.DEFERRED: DEFERRED_SECONDS[1]}
_END_STATES = frozenset(EndState)


class LambdaPoller:
    """Lets the poller Lambda poll, one's own or somebody else's that knows only `{"jobId"}`."""

    claims: ClassVar[bool] = False

    def __init__(self, functions: Invoker, name: str, batch: int) -> None:
        self._functions = functions
        self._name = name
        self.batch = batch

    async def poll(self, rows: Sequence[Found], tick: Instant, claimed: Claimed | None = None) -> list[Outcome]:
        """Invoke the poller for some rows; the claim is the poller's own."""
        del tick, claimed
        with without_tokens(rows):
            return await self._poll(rows)

    async def probe(self) -> None:
        """Ask whether the poller is there. Raises MissingError or CloudError where it is not."""
        await self._functions.probe(self._name)

    async def _poll(self, rows: Sequence[Found]) -> list[Outcome]:
        job_ids = [row.job_id for row in rows]
        payload = {"jobId": job_ids[0]} if self.batch == 1 else {"jobIds": job_ids}
        reply = await self._functions.invoke(self._name, json.dumps(payload).encode())
        results = _results(reply, None if self.batch == 1 else len(rows))
        match results:
            case Unasked(error, refusal):
                trouble = Trouble.refused(Part.SOURCE, error, refusal)
                outcomes = [
                    Outcome(Kind.UNASKED, job_id, error=error, troubles=(trouble,), again_seconds=0.0)
                    for job_id in job_ids
                ]
            case Unanswered(error):
                outcomes = [Outcome(Kind.CHECK_FAILED, job_id, error=error, worked=_WORKED) for job_id in job_ids]
            case list():
                outcomes = [_read_result(job_id, result) for job_id, result in zip(job_ids, results, strict=True)]
        return [about(row, outcome) for row, outcome in zip(rows, outcomes, strict=True)]


def about(row: Found, outcome: Outcome) -> Outcome:
    """Add what the row says to an outcome, and take its token out of what somebody's poller said."""
    if isinstance(row, Malformed):
        return outcome
    troubles = tuple(replace(trouble, error=row.token.scrub(trouble.error)) for trouble in outcome.troubles)
    error = outcome.error and row.token.scrub(outcome.error)
    return replace(outcome, execution_id=row.execution_id, error=error, troubles=troubles)


def _results(reply: Invocation | NoInvocation, count: int | None) -> list[Any] | Unanswered | Unasked:
    """Give the poller's reply for each row: `count` of them under "results", or the whole reply where it is None."""
    match reply:
        case NoInvocation(error, refusal):
            return Unasked(error, refusal) if refusal else Unanswered(error)
        case Invocation(payload, failed=True):
            return read_function_error(payload, "the poller")
        case Invocation(payload):
            try:
                parsed = json.loads(payload)
            except (ValueError, RecursionError):
                return Unanswered("the poller's reply is not JSON")
    if count is None:
        return [parsed]
    results = parsed.get("results") if isinstance(parsed, dict) else None
    if not isinstance(results, list) or len(results) != count:
        return Unanswered(f'the poller\'s reply has no "results" for its {count} job ids')
    return results


def _read_result(job_id: str, result: Any) -> Outcome:
    match result:
        case {"status": "IN_PROGRESS"}:
            kind = str(result.get("outcome"))
            known = Kind(kind) if kind in _KINDS else Kind.IN_PROGRESS
            error = None if (reason := result.get("reason")) is None else str(reason)
            return Outcome(
                known,
                job_id,
                worked=frozenset() if known in _IN_TROUBLE else _WORKED,
                attempt=result.get("attempt"),
                max_attempts=result.get("maxAttempts"),
                claimed=known in _CLAIMED,
                error=error,
                troubles=_troubles(known, error or known.value),
                again_seconds=_AGAIN_SECONDS.get(known),
            )
        case {"status": str(status)} if status in _END_STATES:
            return Outcome(Kind.ENDED, job_id, claimed=True, end_state=EndState(status), worked=_WORKED)
        case {"error": error}:
            return Outcome(Kind.CHECK_FAILED, job_id, worked=_WORKED, error=f"the poller replied: {error!s:.200}")
    return Outcome(
        Kind.CHECK_FAILED, job_id, worked=_WORKED, error=f"the poller's reply has no known status: {result!r:.200}"
    )


def _troubles(kind: Kind, error: str) -> tuple[Trouble, ...]:
    """Give the trouble behind a poll that the Lambda could not make: its source, the table or the answers refuse it.

    Whatever it is, invoking the poller less often is all that can be done about it here.
    """
    part = _IN_TROUBLE.get(kind)
    return (Trouble(part, "refused to the poller", error, Refusal.UNAVAILABLE),) if part else ()
