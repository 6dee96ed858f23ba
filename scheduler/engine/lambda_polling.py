"""Lambda mode: the poller Lambda polls what is due; the daemon only invokes it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scheduler.core.check_replies import Unanswered, read_function_error
from scheduler.core.instant import Instant
from scheduler.core.invocation import Invocation, NoInvocation
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.row_reader import Found, Malformed
from scheduler.core.states import EndState
from scheduler.sources.lambda_function import Invoker

_KINDS = frozenset(Kind)
_CLAIMED = frozenset({Kind.IN_PROGRESS, Kind.CHECK_FAILED, Kind.DEFERRED})
_END_STATES = frozenset(EndState)


class LambdaPoller:
    """Lets the poller Lambda poll, one's own or somebody else's that knows only `{"jobId"}`."""

    def __init__(self, functions: Invoker, name: str, batch: int) -> None:
        self._functions = functions
        self._name = name
        self.batch = batch

    async def poll(self, rows: Sequence[Found], tick: Instant) -> list[Outcome]:
        """Invoke the poller for some rows; the claim is the poller's own."""
        del tick
        job_ids = [row.job_id for row in rows]
        payload = {"jobId": job_ids[0]} if self.batch == 1 else {"jobIds": job_ids}
        reply = await self._functions.invoke(self._name, json.dumps(payload).encode())
        results = _results(reply, None if self.batch == 1 else len(rows))
        if isinstance(results, Unanswered):
            failed = Outcome(Kind.CHECK_FAILED, "", error=results.error, halt=results.unusable)
            outcomes = [replace(failed, job_id=job_id) for job_id in job_ids]
        else:
            outcomes = [_read_result(job_id, result) for job_id, result in zip(job_ids, results, strict=True)]
        return [_about(row, outcome) for row, outcome in zip(rows, outcomes, strict=True)]

    async def probe(self) -> None:
        """Ask whether the poller is there. Raises MissingError or CloudError where it is not."""
        await self._functions.probe(self._name)


def _about(row: Found, outcome: Outcome) -> Outcome:
    """Add what the row says to an outcome, and take its token out of what somebody's poller said."""
    if isinstance(row, Malformed):
        return outcome
    return replace(outcome, execution_id=row.execution_id, error=outcome.error and row.token.scrub(outcome.error))


def _results(reply: Invocation | NoInvocation, count: int | None) -> list[Any] | Unanswered:
    """Give the poller's reply for each row: `count` of them under "results", or the whole reply where it is None."""
    match reply:
        case NoInvocation(error, unusable):
            return Unanswered(error, unusable=unusable)
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
            return Outcome(
                known,
                job_id,
                attempt=result.get("attempt"),
                max_attempts=result.get("maxAttempts"),
                claimed=known in _CLAIMED,
                error=result.get("reason"),
            )
        case {"status": str(status)} if status in _END_STATES:
            return Outcome(Kind.ENDED, job_id, claimed=True, end_state=EndState(status))
        case {"error": error}:
            return Outcome(Kind.CHECK_FAILED, job_id, error=f"the poller replied: {error!s:.200}")
    return Outcome(Kind.CHECK_FAILED, job_id, error=f"the poller's reply has no known status: {result!r:.200}")
