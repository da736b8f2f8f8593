"""The times of messages: aware datetimes in UTC, in ISO 8601 with microseconds (SPEC.md, "Fields"). Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from messagebus.errors import InvalidMessageError

_last_second = (datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC), "")  # its start, end and text


def format_time(ts: datetime) -> str:
    """``2026-11-21T03:14:15.926535Z`` for an aware UTC datetime."""
    start, end, text = _last_second
    if start <= ts <= end:
        return f"{text}{ts.microsecond:06d}Z"
    return _format_in_new_second(ts)


def _format_in_new_second(ts: datetime) -> str:
    """Format ``ts`` whole, and remember the text of its second: times come in order, many to a second."""
    global _last_second  # noqa: PLW0603 - threads may share it: a tuple is replaced as a whole
    text = ts.isoformat(timespec="microseconds")[:-6]  # without the zone
    _last_second = (ts.replace(microsecond=0), ts.replace(microsecond=999_999), text[:-6])
    return text + "Z"


def parse_time(text: str) -> datetime:
    """A time in ISO 8601. Raises ValueError.

    ``datetime`` has no leap seconds: one is read as the second before it.
    """
    return datetime.fromisoformat(text[:16] + ":59" + text[19:] if text[16:19] == ":60" else text)


def in_utc(ts: datetime) -> datetime:
    """``ts`` in UTC. Raises InvalidMessageError where it has no zone or is out of range."""
    if not isinstance(ts, datetime) or ts.utcoffset() is None:
        raise InvalidMessageError(f"ts: {ts!r} has no time zone; use an aware datetime, e.g. datetime.now(UTC)")
    try:
        return ts.astimezone(UTC)
    except OverflowError:
        raise InvalidMessageError(f"ts: {ts!r} is outside the years 1 to 9999 in UTC") from None
