"""Attention: what is made of every outcome. It is counted, logged, and its trouble shown where a person looks."""

import asyncio
from collections.abc import Callable

from scheduler.core.outcome import Kind, Outcome
from scheduler.core.service_calls import Refusal
from scheduler.core.trouble import Part, Trouble
from scheduler.engine.lanes import Lane, Listener, Work
from scheduler.engine.poll_log import PollLog
from scheduler.engine.report import TickReport
from scheduler.errors import CloudError
from scheduler.log import logger
from scheduler.web.health import Health

_LASTS_SECONDS = 120.0
"""For how long refused answers and heartbeats are trouble after the last of them: both are tried again before."""


class Attention(Listener):
    """Hears of every poll."""

    def __init__(self, health: Health) -> None:
        self.report = TickReport()
        """What has ended since it was taken last."""
        self.table_trouble: Trouble | None = None
        """Why no more rows are to be taken, until the table was asked again."""
        self.room = asyncio.Event()
        """Set where a lane has room again for what it had refused, or where nothing more is to be taken."""
        self.on_table_trouble: Callable[[], None] = lambda: None
        self.on_freed: Callable[[], None] = lambda: None
        self.on_left: Callable[[str], None] = lambda _: None
        """Told of a job that cannot be polled here or now, whatever is tried."""
        self.on_again: Callable[[float, Kind | None], None] = lambda _, __: None
        """Told in how many seconds something is due again by reason of trouble: a poll of what kind, None for any."""
        self.credentials_refused = asyncio.Event()
        self.tick_id: str | None = None
        self._health = health
        self._log = logger()
        self._polls = PollLog()

    def take(self) -> TickReport:
        """Give the report and begin another."""
        report, self.report = self.report, TickReport()
        return report

    def ended(self, lane: Lane, work: Work, outcomes: list[Outcome] | Exception, seconds: float) -> None:
        """Hear how a piece of work ended."""
        del lane
        if isinstance(outcomes, Exception):
            log = self._log.bind(tick_id=self.tick_id) if self.tick_id else self._log
            self.report.crashed(len(work.job_ids))
            for job_id in work.job_ids:
                log.error("poll.crashed", job_id=job_id, exc_info=outcomes)
            return
        for outcome in outcomes:
            self.note(outcome, seconds)

    def note(self, outcome: Outcome, seconds: float = 0.0) -> None:
        """Note how one poll, or a claim, ended."""
        self.report.count(outcome)
        for trouble in outcome.troubles:
            self._heed(trouble)
        if outcome.kind in {Kind.LEFT_ALONE, Kind.REFUSED}:
            self.on_left(outcome.job_id)
        if outcome.again_seconds is not None:
            self.on_again(outcome.again_seconds, outcome.kind)
        self._well(outcome.worked - {trouble.part for trouble in outcome.troubles})
        self._polls.note(outcome, round(seconds * 1000), self.tick_id)

    def _well(self, parts: frozenset[Part]) -> None:
        for part in parts - {Part.SOURCE}:
            # Polls that were under way when the table refused still end; it is for the next probe to say that it works.
            if part is not Part.TABLE or self.table_trouble is None:
                self._health.worked(part)

    def freed(self, lane: Lane) -> None:
        """Hear that a lane has room again."""
        del lane
        self.on_freed()
        self.room.set()

    def changed(self, lane: Lane) -> None:
        """Hear that a lane has stopped, slowed down or recovered."""
        part = f"{Part.SOURCE} {lane.name}"
        trouble = lane.trouble
        if trouble is None:
            self._health.over(part)
            return
        if lane.aws:
            self.note_refusal(trouble.refusal)
        self._health.troubled(part, trouble.reason, trouble.error, unready=lane.stopped or lane.starved)

    def heed_error(self, error: CloudError) -> None:
        """Heed what kept due rows from being found."""
        self._heed(Trouble(Part.TABLE, error.reason, str(error), error.refusal))

    def _heed(self, trouble: Trouble) -> None:
        self.note_refusal(trouble.refusal)
        match trouble.part:
            case Part.TABLE:
                self.table_trouble = trouble
                self._health.troubled(trouble.part, trouble.reason, trouble.error)
                self.on_table_trouble()
                self.on_again(0.0, None)
            case Part.ANSWERS | Part.HEARTBEATS:
                # LocalStack refuses a heartbeat wherever the waiting state has no HeartbeatSeconds.
                unready = trouble.part is Part.ANSWERS or trouble.refusal is not None
                self._health.troubled(
                    trouble.part, trouble.reason, trouble.error, unready=unready, lasts=_LASTS_SECONDS
                )
            case Part.SOURCE:
                pass  # the lane's own affair: it tells of itself by `changed`

    def note_refusal(self, refusal: Refusal | None) -> None:
        """Note why something was refused: new clients may have better credentials."""
        if refusal in {Refusal.CREDENTIALS, Refusal.DENIED}:
            self.credentials_refused.set()
