"""Instants are whole milliseconds."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from scheduler.core.instant import format_iso, parse_iso

AT = int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()) * 1_000


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("2026-01-02T03:04:05Z", 0),
        ("2026-01-02T03:04:05", 0),
        ("2026-01-02 03:04:05+00:00", 0),
        ("2026-01-02T04:04:05+01:00", 0),
        ("2026-01-01T22:04:05-0500", 0),
        ("20260102T030405Z", 0),
        ("2026-01-02T03:04:05.678Z", 678),
        ("2026-01-02T03:04:05.678999Z", 678),
        ("2026-01-02T03:04:05.5", 500),
    ],
)
def test_a_timestamp_may_be_written_in_any_iso_form(text: str, after: int) -> None:
    assert parse_iso(text) == AT + after


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("tokyo")
def test_a_timestamp_without_an_offset_is_utc_wherever_this_runs() -> None:
    assert parse_iso("2026-01-02T03:04:05") == AT
    assert format_iso(AT) == "2026-01-02T03:04:05.000Z"


@pytest.mark.parametrize(
    "text", ["", "now", "1767323045", "2026-01-02T25:00:00Z", "2026-02-30", "2026-01-02T03:04:05 CET"]
)
def test_what_is_no_timestamp_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_iso(text)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (AT, "2026-01-02T03:04:05.000Z"),
        (AT + 7, "2026-01-02T03:04:05.007Z"),
    ],
)
def test_an_instant_is_written_in_utc_with_milliseconds(at: int, text: str) -> None:
    assert format_iso(at) == text


def test_no_millisecond_is_lost_on_the_way_there_and_back() -> None:
    every = range(AT, AT + 1_000)
    assert [parse_iso(format_iso(at)) for at in every] == list(every)
