"""What ``--since`` and ``--until`` name: a message by its id, or a time. Loaded where one of them is given."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_DURATION = re.compile(r"(?:\d{1,6}[smhdw])+", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def moment(text: str, now: datetime) -> str | datetime:
    """The id or the time that ``text`` names.

    What begins with ``MSG-``, or follows ``id:``, is an id. ``90s``, ``1h30m`` and ``7d`` are times before ``now``,
    ``2026-11-21`` and ``2026-11-21T03:14:15Z`` are times too, without a zone those of this machine. Anything else is an
    id. Raises UsageError for a time that no message can have.
    """
    if text.startswith("id:"):
        return text[3:]
    if text.startswith("MSG-"):
        return text
    try:
        if _DURATION.fullmatch(text):
            return now - timedelta(seconds=_seconds(text))
        time = datetime.fromisoformat(text)
    except OverflowError:
        raise click.UsageError(f"{text!r} is before the year 1.") from None
    except ValueError:
        return text
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise click.UsageError(f"{text!r} is outside the years 1 to 9999 in UTC.") from None


def _seconds(duration: str) -> int:
    return sum(int(part[:-1]) * _SECONDS[part[-1]] for part in re.findall(r"\d+.", duration))
