"""Where the next record goes: the append point, found by reading back from the end of a file only as
far as needed.

``codec/tail.py`` decides which bytes at the end a crash left (SPEC.md, "Recovery").
"""

from __future__ import annotations

import os
from itertools import takewhile

from messagebus import codec
from messagebus.backends.file.preamble import first_record
from messagebus.backends.file.search import starts_backwards
from messagebus.backends.file.segments import archives_in_sight, open_archive
from messagebus.codec import AppendPoint, find_append_point
from messagebus.msgid import is_own, later

WINDOW = 64 * 1024  # bytes read from the end of a file at first
_LONGEST_SEPARATOR = 64  # bytes that the blank line before a record may take


def end_of_log(path: str, fd: int, size: int, known: int, last_made: str | None) -> AppendPoint:
    """The append point of the log at ``path``, whose live file is open as ``fd`` and has ``size`` bytes.

    Reads only what other writers have added after the first ``known`` bytes, if that is enough. ``last_made`` is
    the last id that the caller made: the next one must not go below it, whatever the log holds. A foreign record may
    carry an earlier time, and an id that was deleted must not be made again, since a reader may have it as its cursor.
    """
    point = append_point(fd, known - 1, size) if known else None  # from the line end of a known record
    if point is None or not point.last_id:
        point = append_point(fd, 0, size)
        point = point._replace(last_id=point.last_id or last_archived_id(path))
    last_id = point.last_id
    if last_id and is_own(last_id):
        if last_id > (last_made or ""):
            return point
    elif last_id:
        last_id = later(last_id, last_own_id(fd, point.truncate_to))
    return point._replace(last_id=later(last_id, last_made))


def append_point(fd: int, start: int, size: int) -> AppendPoint:
    """The append point after the bytes from ``start`` to ``size``."""
    low = max(start, size - WINDOW)
    data = os.pread(fd, size - low, low)
    if not data.endswith(b"\0"):
        point = find_append_point(data, whole_file=low == 0)
        if point.last_id or low == start:  # nearly always
            return point._replace(truncate_to=low + point.truncate_to)
    return _append_point_far_back(fd, start, size)


def _append_point_far_back(fd: int, start: int, size: int) -> AppendPoint:
    """``append_point`` where blocks at the end were never written, or the last record is long."""
    end = _end_of_text(fd, start, size)
    first = start or first_record(fd, end)
    starts = takewhile(lambda at: at >= start, starts_backwards(fd, first, end))
    low: int | None = max(start, end - WINDOW)
    while low is not None:
        known = first - low if not start and first < end else -1
        point = find_append_point(os.pread(fd, end - low, low), whole_file=low == 0, first=known)
        point = point._replace(truncate_to=low + point.truncate_to)
        if point.last_id:
            break
        low = next((max(start, at - _LONGEST_SEPARATOR) for at in starts if at < low), None)
    return point


def _end_of_text(fd: int, start: int, size: int) -> int:
    """Where the NULs at the end start: blocks that a crash left unwritten (SPEC.md, "Recovery")."""
    while size > start:
        low = max(start, size - WINDOW)
        kept = len(os.pread(fd, size - low, low).rstrip(b"\0"))
        if kept:
            return low + kept
        size = low
    return size


def last_archived_id(path: str) -> str | None:
    """The last id of the newest archive that has one."""
    for archive in reversed(archives_in_sight(path)):
        fd = open_archive(archive)
        if fd is None:
            continue
        try:
            last_id = append_point(fd, 0, os.fstat(fd).st_size).last_id
        finally:
            os.close(fd)
        if last_id:
            return last_id
    return None


def last_own_id(fd: int, size: int) -> str | None:
    """The last own id among the last records of the first ``size`` bytes."""
    low = max(size - WINDOW, 0)
    return codec.last_own_id(os.pread(fd, size - low, low), whole_file=low == 0)
