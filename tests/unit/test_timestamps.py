"""Times as text: the text of a second is remembered, and must never show in another one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagebus.timestamps import format_time, parse_time

TIMES = st.datetimes(timezones=st.just(UTC))
STEPS = st.timedeltas(timedelta(seconds=-2), timedelta(seconds=2))


@given(TIMES, st.lists(STEPS | st.timedeltas()))
def test_each_time_of_a_series_is_written_as_it_is(first: datetime, steps: list[timedelta]) -> None:
    time = first
    for step in [timedelta(0), *steps]:
        try:
            time += step
        except OverflowError:
            continue
        assert format_time(time) == time.strftime("%m-%dT%H:%M:%S.%fZ").join([f"{time.year:04d}-", ""])
        assert parse_time(format_time(time)) == time


@pytest.mark.parametrize("time", [datetime.min, datetime.max])
def test_the_first_and_the_last_second_there_are(time: datetime) -> None:
    time = time.replace(tzinfo=UTC)
    assert [format_time(time), format_time(time)] == [time.isoformat(timespec="microseconds")[:-6] + "Z"] * 2


def test_equal_times_of_different_zones_are_not_confused() -> None:
    here = datetime(2026, 11, 26, 12, 0, 0, 5, tzinfo=UTC)
    assert format_time(here) == "2026-11-26T12:00:00.000005Z"
    there = here.astimezone(timezone(timedelta(hours=5))).astimezone(UTC)
    assert format_time(there) == "2026-11-26T12:00:00.000005Z"
