"""The schedule of ticks: a cron as cron reads it, or an interval, as an APScheduler trigger."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Any

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIVE, _SIX = 5, 6
_GAPS = 10


def interval_trigger(seconds: float) -> BaseTrigger:
    """Fire every so many seconds, fractions included."""
    return IntervalTrigger(seconds=seconds, timezone=UTC)


def cron_trigger(expression: str, timezone: tzinfo) -> BaseTrigger:
    """Fire as cron would: 5 fields, or 6 with seconds first. Raises ValueError where it is no cron or never fires.

    APScheduler differs from cron in two ways that are mended here: it counts weekdays from Monday, and it takes a
    restricted day of the month and a restricted weekday to mean both, where cron means either.
    """
    fields = expression.split()
    if len(fields) == _FIVE:
        fields.insert(0, "0")
    if len(fields) != _SIX:
        message = f"it has {len(fields)} fields"
        raise ValueError(message)
    second, minute, hour, day, month, weekday = fields
    times: dict[str, Any] = {"second": second, "minute": minute, "hour": hour, "month": month, "timezone": timezone}
    trigger: BaseTrigger
    kind = CronTrigger if hour.startswith("*") else _OnceADay
    if day.startswith("*") or weekday.startswith("*"):
        trigger = kind(**times, day=day, day_of_week=_weekdays(weekday))
    else:
        trigger = OrTrigger([kind(**times, day=day), kind(**times, day_of_week=_weekdays(weekday))])
    if trigger.get_next_fire_time(None, datetime.now(timezone)) is None:
        message = "it never fires"
        raise ValueError(message)
    return trigger


def next_fire(trigger: BaseTrigger, after: datetime) -> datetime | None:
    """Give the first instant later than `after` at which the trigger fires."""
    after = after.astimezone(UTC)  # local time of an hour that comes twice cannot be added to
    fire: datetime | None = trigger.get_next_fire_time(after, after + timedelta(microseconds=1))
    return fire


def shortest_gap(trigger: BaseTrigger, after: datetime) -> float:
    """Give the shortest time between two of the next fires, in seconds; a day where there is but one."""
    fires = list(_next_fires(trigger, after, _GAPS + 1))
    return min((late - early).total_seconds() for early, late in pairwise(fires)) if len(fires) > 1 else 86_400.0


def _next_fires(trigger: BaseTrigger, after: datetime, count: int) -> Iterator[datetime]:
    fire = next_fire(trigger, after)
    while fire is not None and count:
        yield fire
        fire, count = next_fire(trigger, fire), count - 1


class _OnceADay(CronTrigger):  # type: ignore[misc]  # APScheduler has no types
    """A cron of fixed hours: where clocks go back it fires in the first of the two equal hours alone."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        fire: datetime | None = super().get_next_fire_time(previous_fire_time, now)
        while fire is not None and fire.fold:
            fire = super().get_next_fire_time(fire, fire)
        return fire


def _weekdays(field: str) -> str:
    """Rewrite cron's weekdays (0 and 7 are Sunday, names allowed) as names, which count from no day."""
    if field == "*":
        return field
    days: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        if span == "*":
            first, last = 0, 6
        else:
            start, dash, end = span.partition("-")
            first = _weekday(start)
            last = _weekday(end) if dash else (6 if slash else first)
            if last == 0 and first > 0:
                last = 7  # "fri-sun" and "5-0"
        if last < first:
            message = f"the weekdays {part!r} run backwards"
            raise ValueError(message)
        if slash and (not step.isdecimal() or int(step) == 0):
            message = f"{part!r} has a bad step"
            raise ValueError(message)
        days.update(day % 7 for day in range(first, last + 1, int(step or 1)))
    return ",".join(_WEEKDAYS[day] for day in sorted(days))


def _weekday(text: str) -> int:
    if text.isdecimal() and int(text) <= 7:  # noqa: PLR2004  cron's second Sunday
        return int(text)
    if text.lower() in _WEEKDAYS:
        return _WEEKDAYS.index(text.lower())
    message = f"{text!r} is no weekday"
    raise ValueError(message)
