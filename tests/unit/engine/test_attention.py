"""Attention: every outcome is counted and logged, and its trouble shown where a person looks."""

from typing import Any

import pytest

from scheduler.core.answers import Succeed
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.service_calls import Refusal
from scheduler.core.states import EndState
from scheduler.core.trouble import Part, Trouble
from scheduler.engine.attention import Attention
from scheduler.engine.lanes import Lane, Work
from scheduler.engine.turns import Turn
from scheduler.errors import CloudError
from scheduler.web.health import Health
from tests.unit.conftest import Logs
from tests.unit.engine.lane_fakes import BUSY, GONE, ProbedSource

pytestmark = pytest.mark.usefixtures("logs")

DENIED = Trouble(Part.TABLE, "access is denied", "AccessDeniedException: no", Refusal.DENIED)


class Heard:
    """Attention with a health of its own, whose clock a test moves, and a lane to hear of."""

    def __init__(self) -> None:
        self.at = 0.0
        self.health = Health(lambda: self.at)
        self.health.ticked(1e6)
        self.attention = Attention(self.health)
        self.lane = Lane("jobs", ProbedSource(), 4, self.attention, lambda: self.at)

    def ended(self, *outcomes: Outcome, **more: Any) -> None:
        """Let a piece of work end."""
        self.heard(list(outcomes), **more)

    def heard(self, outcomes: list[Outcome] | Exception, job_ids: tuple[str, ...] = ("a",), seconds: float = 0) -> None:
        async def poll() -> list[Outcome]:
            raise NotImplementedError

        self.attention.ended(self.lane, Work(job_ids, poll, Turn()), outcomes, seconds)

    def troubled(self, *troubles: Trouble, worked: frozenset[Part] = frozenset()) -> None:
        """Let a poll end that met some trouble."""
        self.ended(Outcome(Kind.IN_PROGRESS, "a", claimed=True, troubles=troubles, worked=worked))

    def worked(self, *parts: Part) -> None:
        """Let a poll end in which some parts did as they were asked."""
        self.troubled(worked=frozenset(parts))

    @property
    def ready(self) -> bool:
        return self.health.readiness()[0]

    @property
    def shown(self) -> str:
        """What a person sees, on /readyz."""
        found = self.health.readiness()[1]
        return str(found.get("reason") or found.get("warnings") or "")


@pytest.fixture
def heard() -> Heard:
    return Heard()


# --- counted and logged


def test_what_has_ended_is_counted_until_it_is_taken(heard: Heard) -> None:
    heard.ended(Outcome(Kind.IN_PROGRESS, "a", claimed=True), Outcome(Kind.LOST, "b"))
    heard.ended(Outcome(Kind.ENDED, "c", claimed=True, end_state=EndState.COMPLETED))
    report = heard.attention.take()
    assert (report.polled, report.claimed, report.lost, report.completed) == (3, 2, 1, 1)
    assert heard.attention.take().polled == 0


def test_every_line_has_the_id_of_the_last_tick_and_how_long_it_took(heard: Heard, logs: Logs) -> None:
    heard.attention.tick_id = "tick-7"
    heard.ended(Outcome(Kind.IN_PROGRESS, "a", claimed=True), seconds=0.0125)
    (line,) = logs()
    assert (line["event"], line["tick_id"], line["duration_ms"]) == ("poll.in_progress", "tick-7", 12)


def test_a_poll_outside_any_tick_has_no_tick_s_id(heard: Heard, logs: Logs) -> None:
    heard.ended(Outcome(Kind.IN_PROGRESS, "a", claimed=True))
    assert "tick_id" not in logs()[0]


def test_a_fault_of_ours_is_an_error_for_each_of_its_jobs(heard: Heard, logs: Logs) -> None:
    heard.heard(RuntimeError("a fault of ours"), ("a", "b"))
    assert [(line["level"], line["event"], line["job_id"]) for line in logs()] == [
        ("error", "poll.crashed", "a"),
        ("error", "poll.crashed", "b"),
    ]
    assert all("RuntimeError: a fault of ours" in line["exception"] for line in logs())
    report = heard.attention.take()
    assert (report.polled, report.errors, heard.ready) == (2, 2, True)


# --- the token table


def test_a_table_in_trouble_halts_the_taking_of_rows_and_is_shown(heard: Heard) -> None:
    halted: list[str] = []
    heard.attention.on_table_trouble = lambda: halted.append("halted")
    heard.troubled(DENIED)
    assert (heard.attention.table_trouble, halted) == (DENIED, ["halted"])
    assert (heard.ready, heard.shown) == (False, "token table: access is denied")


def test_what_keeps_rows_from_being_found_is_the_table_s_trouble_too(heard: Heard) -> None:
    heard.attention.heed_error(CloudError("table tokens could not be used: no", Refusal.THROTTLED))
    trouble = heard.attention.table_trouble
    assert trouble == Trouble(Part.TABLE, "throttled", "table tokens could not be used: no", Refusal.THROTTLED)
    assert heard.shown == "token table: throttled"


def test_an_error_without_a_usual_reason_is_shown_by_its_own_short_one(heard: Heard) -> None:
    reason = "its index by-time has nextPollAt as S, and polls write it as N"
    heard.attention.heed_error(CloudError(f"table tokens cannot be used: {reason}", reason=reason))
    assert heard.shown == f"token table: {reason}"


# --- answers and heartbeats


def test_answers_that_are_refused_make_it_unready_for_two_minutes_after_the_last(heard: Heard) -> None:
    for _ in range(3):
        heard.troubled(Trouble(Part.ANSWERS, "throttled", "slow down", Refusal.THROTTLED))
        heard.at += 100
        heard.health.refresh()
        assert (heard.ready, heard.shown) == (False, "answers: throttled")
    heard.at += 21
    heard.health.refresh()
    assert heard.ready
    assert heard.attention.table_trouble is None


@pytest.mark.parametrize(("refusal", "ready"), [(None, True), (Refusal.THROTTLED, False), (Refusal.DENIED, False)])
def test_heartbeats_that_are_refused_are_shown_and_unready_only_where_all_would_be(
    heard: Heard, refusal: Refusal | None, *, ready: bool
) -> None:
    """LocalStack refuses a heartbeat wherever the waiting state has no HeartbeatSeconds."""
    heard.troubled(Trouble(Part.HEARTBEATS, "refused", "InvalidToken: no", refusal))
    assert heard.ready is ready
    assert "heartbeats: refused" in heard.shown


@pytest.mark.parametrize("part", [Part.TABLE, Part.ANSWERS, Part.HEARTBEATS])
def test_a_part_that_does_as_it_is_asked_is_in_trouble_no_more(heard: Heard, part: Part) -> None:
    heard.troubled(Trouble(part, "throttled", "slow down", Refusal.THROTTLED))
    heard.attention.table_trouble = None  # the table was asked again
    heard.worked(*(set(Part) - {part}))
    assert not heard.ready
    heard.worked(part)
    heard.at += 5
    heard.health.refresh()
    assert heard.ready


def test_a_part_that_failed_and_worked_in_one_poll_is_in_trouble(heard: Heard) -> None:
    trouble = Trouble(Part.ANSWERS, "throttled", "slow down", Refusal.THROTTLED)
    heard.troubled(trouble, worked=frozenset({Part.TABLE, Part.ANSWERS}))
    heard.at += 5
    heard.health.refresh()
    assert heard.shown == "answers: throttled"


@pytest.mark.parametrize("part", [Part.TABLE, Part.ANSWERS, Part.HEARTBEATS])
def test_a_service_that_refuses_every_other_call_is_one_spell(heard: Heard, part: Part, logs: Logs) -> None:
    trouble = Trouble(part, "throttled", "slow down", Refusal.THROTTLED)
    for _ in range(50):
        heard.troubled(trouble)
        heard.worked(part)
        heard.at += 0.1
        heard.health.refresh()
        assert not heard.ready
    assert [line["event"] for line in logs() if line["event"].startswith("trouble.")] == ["trouble.began"]


def test_while_nothing_is_taken_no_poll_that_still_ends_tells_the_table_to_be_well(heard: Heard) -> None:
    heard.troubled(DENIED)
    heard.worked(Part.TABLE)
    heard.at += 60
    heard.health.refresh()
    assert not heard.ready


# --- sources


def test_the_trouble_of_a_source_is_its_lane_s_to_tell(heard: Heard) -> None:
    heard.ended(BUSY)
    assert (heard.ready, heard.shown) == (True, "")
    heard.lane.trouble = BUSY.troubles[0]
    heard.attention.changed(heard.lane)
    assert (heard.ready, heard.shown) == (True, "['source jobs: throttled']")


def test_a_source_that_has_taken_nothing_for_long_makes_it_unready(heard: Heard) -> None:
    heard.lane._learn([BUSY], heard.at)
    assert heard.ready
    heard.at += 31
    heard.lane._learn([BUSY], heard.at)
    assert (heard.ready, heard.shown) == (False, "source jobs: throttled")


async def test_a_source_that_cannot_be_used_makes_it_unready_until_its_lane_is_well(heard: Heard) -> None:
    heard.lane.stop(Trouble(Part.SOURCE, GONE.reason, str(GONE), GONE.refusal))
    assert (heard.ready, heard.shown) == (False, "source jobs: does not exist")
    heard.worked(Part.SOURCE)
    assert not heard.ready
    heard.lane.trouble = None
    heard.attention.changed(heard.lane)
    assert heard.ready
    heard.lane.close()


def test_a_lane_with_room_again_wakes_whoever_waits(heard: Heard) -> None:
    assert not heard.attention.room.is_set()
    heard.attention.freed(heard.lane)
    assert heard.attention.room.is_set()


# --- credentials


@pytest.mark.parametrize("refusal", [*Refusal, None])
def test_refused_credentials_are_told_to_whoever_makes_clients_anew(heard: Heard, refusal: Refusal | None) -> None:
    better_ones_may_help = refusal in {Refusal.CREDENTIALS, Refusal.DENIED}
    heard.attention.note_refusal(refusal)
    assert heard.attention.credentials_refused.is_set() is better_ones_may_help


@pytest.mark.parametrize("part", Part)
def test_they_are_told_whatever_part_refuses_them(heard: Heard, part: Part) -> None:
    trouble = Trouble(part, "the credentials are refused", "ExpiredToken: no", Refusal.CREDENTIALS)
    heard.troubled(trouble)
    assert heard.attention.credentials_refused.is_set()


def test_they_are_told_where_finding_or_a_probe_meets_them(heard: Heard) -> None:
    heard.attention.heed_error(CloudError("no", Refusal.CREDENTIALS))
    assert heard.attention.credentials_refused.is_set()
    heard.attention.credentials_refused.clear()
    heard.lane.trouble = Trouble(Part.SOURCE, "no", "no", Refusal.CREDENTIALS)
    heard.attention.changed(heard.lane)
    assert heard.attention.credentials_refused.is_set()


def test_they_are_not_told_where_a_source_refuses_credentials_that_are_not_aws_s(heard: Heard) -> None:
    heard.lane.aws = False
    heard.lane.trouble = Trouble(Part.SOURCE, "no", "401", Refusal.CREDENTIALS)
    heard.attention.changed(heard.lane)
    assert not heard.attention.credentials_refused.is_set()
    heard.lane.aws = True
    heard.attention.changed(heard.lane)
    assert heard.attention.credentials_refused.is_set()


# --- rows that cannot be polled here


@pytest.mark.parametrize("kind", Kind)
def test_a_row_that_cannot_be_polled_here_whatever_is_tried_is_passed_on_as_such(heard: Heard, kind: Kind) -> None:
    left: list[str] = []
    heard.attention.on_left = left.append
    answer = Succeed("{}") if kind is Kind.ENDED else None
    heard.ended(Outcome(kind, "a", answer=answer, end_state=EndState.COMPLETED if answer else None))
    assert left == (["a"] if kind in {Kind.LEFT_ALONE, Kind.REFUSED} else [])
