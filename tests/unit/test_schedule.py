"""A cron fires as cron does, over a change of the clocks too."""

import itertools
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.base import BaseTrigger

from scheduler.schedule import cron_trigger, interval_trigger, next_fire, shortest_gap

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def fires(trigger: BaseTrigger, start: datetime, end: datetime) -> list[datetime]:
    """Give what fires from `start` on and before `end`, in UTC, asked for as APScheduler asks."""
    found: list[datetime] = []
    fire = trigger.get_next_fire_time(None, start)
    while fire is not None and fire < end:
        assert len(found) < 3_000
        found.append(fire.astimezone(UTC))
        fire = trigger.get_next_fire_time(fire, fire)
    return found


def steps(found: list[datetime]) -> set[timedelta]:
    """Give the times that pass between one fire and the next."""
    moments = [fire.astimezone(UTC) for fire in found]
    return {later - earlier for earlier, later in itertools.pairwise(moments)}


def times(expression: str, start: datetime, end: datetime) -> list[str]:
    """Give the UTC times at which a cron in Berlin fires."""
    return [f"{fire:%d %H:%M}" for fire in fires(cron_trigger(expression, BERLIN), start.astimezone(BERLIN), end)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", ["00:00:00", "00:01:00", "00:02:00"]),
        ("*/20 * * * *", ["00:00:00", "00:20:00", "00:40:00"]),
        ("5,10 * * * *", ["00:05:00", "00:10:00", "01:05:00"]),
        ("0 9-11 * * *", ["09:00:00", "10:00:00", "11:00:00"]),
        ("0 9-17/4 * * *", ["09:00:00", "13:00:00", "17:00:00"]),
        ("*/30 * * * * *", ["00:00:00", "00:00:30", "00:01:00"]),
        ("15 30 6 * * *", ["06:30:15"]),
        ("  0   12  * * *  ", ["12:00:00"]),
    ],
)
def test_five_fields_are_minutes_first_and_six_are_seconds_first(expression: str, expected: list[str]) -> None:
    found = fires(cron_trigger(expression, UTC), NEW_YEAR, NEW_YEAR + timedelta(hours=18))
    assert [f"{fire:%H:%M:%S}" for fire in found[:3]] == expected


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("*", WEEK),
        ("0", ["sun"]),
        ("7", ["sun"]),
        ("1", ["mon"]),
        ("6", ["sat"]),
        ("sun", ["sun"]),
        ("MON", ["mon"]),
        ("Wed,fri", ["wed", "fri"]),
        ("1-5", ["mon", "tue", "wed", "thu", "fri"]),
        ("mon-fri", ["mon", "tue", "wed", "thu", "fri"]),
        ("5-7", ["fri", "sat", "sun"]),
        ("fri-sun", ["fri", "sat", "sun"]),
        ("sun-tue", ["mon", "tue", "sun"]),
        ("0-6", WEEK),
        ("0-7", WEEK),
        ("1-7", WEEK),
        ("6-7", ["sat", "sun"]),
        ("*/2", ["tue", "thu", "sat", "sun"]),
        ("1-5/2", ["mon", "wed", "fri"]),
        ("4/2", ["thu", "sat"]),
        ("0,7", ["sun"]),
        ("1,3-4,7", ["mon", "wed", "thu", "sun"]),
    ],
)
def test_weekdays_are_cron_s(field: str, days: list[str]) -> None:
    monday = datetime(2026, 1, 5, tzinfo=UTC)
    found = fires(cron_trigger(f"0 0 * * {field}", UTC), monday, monday + timedelta(days=7))
    assert [WEEK[fire.weekday()] for fire in found] == list(days)


@pytest.mark.parametrize(
    ("expression", "days"),
    [
        ("0 0 13 * *", [13]),
        ("0 0 * * fri", [2, 9, 16, 23, 30]),
        ("0 0 13 * fri", [2, 9, 13, 16, 23, 30]),
        ("0 0 9 * fri", [2, 9, 16, 23, 30]),
        ("0 0 1,15 * 1-2", [1, 5, 6, 12, 13, 15, 19, 20, 26, 27]),
        ("0 0 */10 * fri", []),
        ("0 0 */8 * fri", [9]),
    ],
)
def test_a_day_of_the_month_and_a_weekday_mean_either(expression: str, days: list[int]) -> None:
    found = fires(cron_trigger(expression, UTC), NEW_YEAR, datetime(2026, 2, 1, tzinfo=UTC))
    assert [fire.day for fire in found] == days


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "it has 0 fields"),
        ("* * * *", "it has 4 fields"),
        ("* * * * * * *", "it has 7 fields"),
        ("0 0 31 2 *", "it never fires"),
        ("0 0 31 4,6,9,11 *", "it never fires"),
        ("60 * * * *", "higher than the maximum value"),
        ("* 24 * * *", "higher than the maximum value"),
        ("* * 0 * *", "lower than the minimum value"),
        ("* * * 13 *", "higher than the maximum value"),
        ("* * * * 8", "'8' is no weekday"),
        ("* * * * -1", "'' is no weekday"),
        ("* * * * 1,", "'' is no weekday"),
        ("* * * * day", "'day' is no weekday"),
        ("* * * * fri-mon", "the weekdays 'fri-mon' run backwards"),
        ("* * * * 1/0", "'1/0' has a bad step"),
        ("* * * * */x", "'*/x' has a bad step"),
        ("* * * * */", "'*/' has a bad step"),
    ],
)
def test_what_is_no_cron_is_refused(expression: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        cron_trigger(expression, UTC)


def test_a_cron_that_fires_only_in_leap_years_is_one() -> None:
    assert next_fire(cron_trigger("0 0 29 2 *", UTC), NEW_YEAR) == datetime(2028, 2, 29, tzinfo=UTC)


def test_the_next_fire_is_later_than_now_and_not_now() -> None:
    trigger = cron_trigger("* * * * *", UTC)
    assert next_fire(trigger, NEW_YEAR) == NEW_YEAR + timedelta(minutes=1)
    assert next_fire(trigger, NEW_YEAR - timedelta(microseconds=1)) == NEW_YEAR


@pytest.mark.parametrize("seconds", [0.1, 0.5, 1, 60, 86_400])
def test_an_interval_fires_every_so_many_seconds(seconds: float) -> None:
    trigger, start = interval_trigger(seconds), datetime.now(UTC)
    first, second, third = fires(trigger, start, start + timedelta(seconds=seconds * 3.5))[:3]
    assert second - first == third - second == timedelta(seconds=seconds)


# --- the clocks change: in Berlin on 29 March 2026 at 01:00 UTC, and back on 25 October 2026 at 01:00 UTC

SPRING = datetime(2026, 3, 29, 0, 10, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 24, 23, 50, tzinfo=UTC)
CHANGES = [pytest.param(SPRING, id="spring"), pytest.param(AUTUMN, id="autumn")]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("expression", "minutes"), [("* * * * *", 1), ("*/20 * * * *", 20), ("0 * * * *", 60)])
def test_a_steady_cron_has_no_gap_and_no_double_where_the_clocks_change(
    change: datetime, expression: str, minutes: int
) -> None:
    found = fires(cron_trigger(expression, BERLIN), change.astimezone(BERLIN), change + timedelta(hours=4))
    assert steps(found) == {timedelta(minutes=minutes)}


@pytest.mark.parametrize("expression", ["30 2 * * *", "30 2 29 * *", "30 2 29 * sun", "15,45 2 * * *"])
def test_a_daily_cron_is_not_left_out_where_its_hour_is(expression: str) -> None:
    found = times(expression, SPRING, SPRING + timedelta(hours=6))
    assert found
    assert all("29 01:00" <= time < "29 02:00" for time in found)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("expression", ["30 1 * * *", "0 3 * * *", "30 3 * * sun"])
def test_a_daily_cron_beside_the_change_fires_once(change: datetime, expression: str) -> None:
    assert len(times(expression, change - timedelta(hours=1), change + timedelta(hours=6))) == 1


@pytest.mark.parametrize("change", CHANGES)
def test_an_interval_knows_no_change_of_the_clocks(change: datetime) -> None:
    trigger, found = interval_trigger(600), [change.astimezone(BERLIN)]
    for _ in range(12):
        found.append(trigger.get_next_fire_time(found[-1], found[-1]))
    assert steps(found) == {timedelta(minutes=10)}


def test_the_next_fire_goes_on_through_the_hour_that_comes_twice() -> None:
    trigger, at, found = cron_trigger("*/20 * * * *", BERLIN), AUTUMN, []
    for _ in range(8):
        fire = next_fire(trigger, at)
        assert fire is not None
        at = fire.astimezone(UTC)
        found.append(f"{at:%H:%M}")
    assert found == ["00:00", "00:20", "00:40", "01:00", "01:20", "01:40", "02:00", "02:20"]


@pytest.mark.parametrize("expression", ["30 2 * * *", "30 2 25 * *", "0 30 2 * * sun"])
def test_a_daily_cron_fires_once_in_the_hour_that_comes_twice(expression: str) -> None:
    assert len(times(expression, AUTUMN, AUTUMN + timedelta(hours=6))) == 1


def test_the_next_fire_is_later_than_a_local_time_of_the_second_hour_too() -> None:
    after = datetime(2026, 10, 25, 1, 0, tzinfo=UTC).astimezone(BERLIN)
    fire = next_fire(cron_trigger("*/20 * * * *", BERLIN), after)
    assert fire is not None
    assert fire.astimezone(UTC) == datetime(2026, 10, 25, 1, 20, tzinfo=UTC)


@pytest.mark.parametrize("field", ["0-0", "sun-sun"])
def test_a_range_from_sunday_to_sunday_is_one_day(field: str) -> None:
    monday = datetime(2026, 1, 5, tzinfo=UTC)
    assert len(fires(cron_trigger(f"0 0 * * {field}", UTC), monday, monday + timedelta(days=7))) == 1


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("*/10 * * * * *", 10),
        ("* * * * *", 60),
        ("0 9 * * *", 86_400),
        ("0,20 * * * *", 1_200),
        ("0 0 29 2 *", 126_230_400),
    ],
)
def test_the_shortest_gap_between_two_fires_of_a_cron(expression: str, seconds: float) -> None:
    assert shortest_gap(cron_trigger(expression, UTC), datetime(2026, 1, 1, tzinfo=UTC)) == seconds
