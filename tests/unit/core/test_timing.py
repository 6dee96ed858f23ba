"""When a row is polled next, when a job is given up, what its task is told."""

import json
import random
import zlib

import pytest

from scheduler.core.answers import MAX_CAUSE_LENGTH, Fail, Succeed
from scheduler.core.check_replies import Completed, Failed, InProgress, Report, Unanswered
from scheduler.core.instant import parse_iso
from scheduler.core.states import EndState
from scheduler.core.timing import Policy, lease_seconds
from scheduler.core.verdicts import answer_for, give_up
from tests.fakes import fixed_policy, token_row

NOW = parse_iso("2026-01-01T00:30:00Z")


def test_the_lease_covers_a_claim_the_check_three_tries_with_their_pauses_and_the_mark() -> None:
    assert lease_seconds(10) == pytest.approx(10 + 5 * 4 + 1)


def test_the_lease_ends_after_its_seconds() -> None:
    assert fixed_policy(lease=1.5).lease_end(NOW) == NOW + 1_500


@pytest.mark.parametrize(
    ("own", "chance", "seconds"), [(None, 0, 60), (None, 1, 54), (5, 0, 5), (5, 0.5, 4.75), (0.25, 0, 0.25)]
)
def test_the_next_poll_comes_an_interval_after_the_tick_or_a_tenth_early(
    own: float | None, chance: float, seconds: float
) -> None:
    row = token_row(interval_seconds=own)
    assert fixed_policy(chance=chance).next_poll(row, NOW, NOW) == NOW + round(seconds * 1_000)


def test_rows_of_one_tick_are_spread_out_but_never_late() -> None:
    policy = Policy(60, 31, 4, chance=random.Random(1).random)
    polls = [policy.next_poll(token_row(), NOW, NOW) - NOW for _ in range(1_000)]
    assert min(polls) >= 54_000
    assert max(polls) <= 60_000
    assert len(set(polls)) > 500


@pytest.mark.parametrize(("late", "seconds"), [(0, 60), (29, 60), (30, 90), (600, 660)])
def test_a_poll_late_in_its_tick_counts_the_next_interval_from_itself(late: int, seconds: int) -> None:
    found = fixed_policy().next_poll(token_row(), NOW + late * 1_000, NOW)
    assert found == NOW + seconds * 1_000


@pytest.mark.parametrize(("tries", "seconds"), [(0, 1), (1, 2), (5, 32), (6, 60), (16, 60), (5_000, 60)])
def test_a_kept_answer_waits_twice_as_long_each_time_up_to_a_minute(tries: int, seconds: int) -> None:
    assert fixed_policy(chance=1).retry_deferred(tries, NOW) == NOW + seconds * 1_000
    assert fixed_policy(chance=0.5).retry_deferred(tries, NOW) == NOW + seconds * 500


def test_the_pauses_of_one_poll_have_full_jitter() -> None:
    assert list(fixed_policy(chance=1).pauses()) == [0.2, 0.8]
    assert list(fixed_policy(chance=0).pauses()) == [0, 0]


def test_a_row_s_shard_is_its_job_s_crc_32() -> None:
    assert fixed_policy().shard(token_row("job-9")) == zlib.crc32(b"job-9") % 4


def test_each_claim_has_an_id_of_its_own() -> None:
    policy = Policy(60, 31, 4)
    assert policy.new_claim_id() != policy.new_claim_id()


# --- giving up


@pytest.mark.parametrize(("late", "given_up"), [(-1, False), (0, False), (1, True)])
def test_a_job_is_given_up_only_after_its_last_instant(late: int, *, given_up: bool) -> None:
    row = token_row(expires_at=NOW)
    assert (give_up(row, NOW + late) is not None) is given_up


@pytest.mark.parametrize(("attempts", "given_up"), [(9, False), (10, False), (11, True)])
def test_a_job_is_given_up_only_after_its_last_attempt(attempts: int, *, given_up: bool) -> None:
    row = token_row(attempt_count=attempts, max_attempts=10)
    assert (give_up(row, NOW) is not None) is given_up


def test_a_job_without_any_attempt_allowed_is_given_up_at_its_first() -> None:
    assert give_up(token_row(attempt_count=1, max_attempts=0), NOW) is not None


def test_a_cause_tells_of_the_last_check_that_failed() -> None:
    row = token_row(attempt_count=11, last_error="job not found")
    cause = "job job-1 had not ended after 10 status checks; the last check that failed: job not found"
    assert give_up(row, NOW) == Fail("MaxAttemptsExceeded", cause, EndState.MAX_ATTEMPTS)


# --- answers


def test_a_completed_job_is_answered_with_the_source_s_whole_reply() -> None:
    found = answer_for(token_row(attempt_count=3), Completed({"status": "COMPLETED", "pages": 2}), NOW)
    assert isinstance(found, Succeed)
    assert json.loads(found.output) == {
        "jobId": "job-1",
        "status": "COMPLETED",
        "completedAt": "2026-01-01T00:30:00.000Z",
        "attempts": 3,
        "result": {"status": "COMPLETED", "pages": 2},
    }


def test_a_failed_job_is_answered_with_its_own_reason() -> None:
    assert answer_for(token_row(), Failed("no paper"), NOW) == Fail("JobFailed", "no paper", EndState.FAILED)


def test_a_long_reason_is_cut_to_what_a_cause_may_hold() -> None:
    found = answer_for(token_row(), Failed("x" * 40_000), NOW)
    assert isinstance(found, Fail)
    assert len(found.cause) == MAX_CAUSE_LENGTH


@pytest.mark.parametrize("report", [InProgress(), Unanswered("it sleeps"), Unanswered("gone", unusable=True)], ids=str)
def test_nothing_is_answered_unless_the_job_has_ended(report: Report) -> None:
    assert answer_for(token_row(), report, NOW) is None
