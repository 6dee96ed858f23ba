"""Instants as the protocol reckons them: whole milliseconds since the epoch, as in the attribute nextPollAt."""

from datetime import UTC, datetime

Instant = int


def parse_iso(text: str) -> Instant:
    """Read an ISO 8601 timestamp; one without an offset is taken as UTC.

    Raises ValueError or OverflowError where it is none, or none that can be written again.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.astimezone(UTC).timestamp() * 1000)


def format_iso(at: Instant) -> str:
    """Write an instant as RFC 3339 in UTC with milliseconds, such as 2026-01-02T03:04:05.678Z."""
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
