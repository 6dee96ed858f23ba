"""When a row is polled next, how long its lease lasts, and the backoff of a kept answer."""

import random
import zlib
from dataclasses import replace

import pytest

from scheduler.core.instant import parse_iso
from scheduler.core.timing import Policy, lease_seconds
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


@pytest.mark.parametrize("chance", [0, 1])
def test_the_next_poll_is_never_later_than_the_job_s_expiry(chance: float) -> None:
    row = token_row(expires_at=NOW + 7_000)
    assert fixed_policy(chance=chance).next_poll(row, NOW, NOW) == NOW + 7_000


@pytest.mark.parametrize("left", [60_000, 60_001, 3_600_000])
def test_an_expiry_beyond_the_interval_changes_nothing(left: int) -> None:
    assert fixed_policy().next_poll(token_row(expires_at=NOW + left), NOW, NOW) == NOW + 60_000


@pytest.mark.parametrize("late", [0, 1, 900_000])
def test_a_job_past_its_expiry_that_goes_on_waiting_is_polled_at_its_interval(late: int) -> None:
    """Its source cannot be asked; without this it would be polled without a pause."""
    assert fixed_policy().next_poll(token_row(expires_at=NOW - late), NOW, NOW) == NOW + 60_000


def test_an_ended_row_may_be_deleted_a_week_on_unless_the_settings_say_otherwise() -> None:
    assert fixed_policy().purge_at(NOW) == NOW // 1_000 + 7 * 86_400
    assert Policy(60, 31, 4, retention_seconds=0).purge_at(NOW) == NOW // 1_000


def test_rows_that_were_taken_up_together_are_renewed_at_different_times() -> None:
    row = token_row(interval_seconds=3)
    first, last = (fixed_policy(chance=chance, hold=3_600).renew_at(row, ends=90 + 31) for chance in (0.999, 0.0))
    assert (first, last) == pytest.approx((77, 86), abs=0.1)


def test_polls_go_on_though_a_renewal_takes_its_time() -> None:
    short, long = token_row(interval_seconds=1), token_row(interval_seconds=600)
    policy = fixed_policy(hold=3_600)
    assert policy.renew_at(short, ends=30 + 31) == 27
    assert policy.renew_at(long, ends=3_600) == 3_600 - 31 - 300


def test_a_row_that_never_expires_is_polled_at_its_interval() -> None:
    assert fixed_policy().next_poll(token_row(expires_at=None), NOW, NOW) == NOW + 60_000


def test_intervals_grow_by_their_factor_with_each_check_up_to_the_longest() -> None:
    policy = replace(fixed_policy(interval=10), backoff=2, longest_interval_seconds=60)
    assert [policy.interval(token_row(attempt_count=checks)) for checks in range(5)] == [10, 20, 40, 60, 60]
    assert policy.interval(token_row(attempt_count=10**6)) == 60
    assert policy.next_poll(token_row(attempt_count=1), NOW, NOW) == NOW + 20_000


def test_an_interval_of_the_row_s_own_does_not_grow() -> None:
    policy = replace(fixed_policy(interval=10), backoff=2)
    assert policy.interval(token_row(attempt_count=5, interval_seconds=7)) == 7


def test_without_a_longest_interval_it_grows_to_a_year_at_most() -> None:
    policy = replace(fixed_policy(interval=10), backoff=10)
    assert policy.interval(token_row(attempt_count=400)) == policy.interval(token_row(attempt_count=9)) == 31_536_000


@pytest.mark.parametrize(("own", "of_source", "most"), [(3, 9, 3), (None, 9, 9), (None, None, None), (0, 9, 0)])
def test_a_row_s_own_most_attempts_win(own: int | None, of_source: int | None, most: int | None) -> None:
    assert replace(fixed_policy(), max_attempts=of_source).most_attempts(token_row(max_attempts=own)) == most


def test_each_source_has_a_policy_of_its_own() -> None:
    reports = fixed_policy(interval=5)
    policy = replace(fixed_policy(), sources={"reports": reports})
    assert policy.of(token_row()) is policy
    assert policy.of(token_row(source="reports")) is reports
    assert [policy.knows(token_row(source=name)) for name in (None, "reports", "other")] == [True, True, False]
