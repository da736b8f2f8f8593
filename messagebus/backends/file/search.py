"""Finding a record in a segment without reading all of it.

Ids increase in file order, so a record is found by bisecting the bytes, in some microseconds
whatever the size of the file. Only an exact match counts: without one (foreign or merged files,
edits by hand) all segments are scanned. (SPEC.md, "Reading".)
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice

from messagebus.backends.file.segments import LogSnapshot, Segment
from messagebus.codec.framing import START_PATTERN, id_of
from messagebus.msgid import order, time_of

_CHUNK = 256 * 1024  # bytes read at a time when scanning
WINDOW = 16 * 1024  # bytes: a range of this size is scanned rather than bisected
_PROBE = 2 * 1024  # bytes read to find the first record after a point
_LONGEST_START = 512  # bytes that a record's start and id line may take (a foreign id may be longer)

_START = re.compile(START_PATTERN + rb"([^\n]*)")
_START_BEFORE_ID = re.compile(START_PATTERN + rb"[ \t]*\Z")
_AFTER_ID = re.compile(rb"[ \t\r]*(\n|\Z)")


def search(log: LogSnapshot, msg_id: str) -> tuple[int, int] | None:
    """The number of the segment with the record ``msg_id``, and its offset there; None where there is none."""
    position = _newest_that_can_hold(log, msg_id)
    if position >= 0:
        with log.segment(position) as segment:
            if segment and (offset := _bisect(segment, msg_id)) is not None:
                return position, offset
    for position in range(len(log)):
        with log.segment(position) as segment:
            if segment and (offset := _scan(segment, msg_id, segment.start, segment.size)) is not None:
                return position, offset
    return None


def _newest_that_can_hold(log: LogSnapshot, msg_id: str) -> int:
    """The newest segment whose first id is not after ``msg_id``; -1 where there is none. Most cursors
    are in the last segment: so search back from it in steps that double, then bisect."""
    low, high, stride = len(log) - 1, len(log), 1
    while low >= 0 and not _starts_before(log, low, msg_id):
        low, high, stride = max(low - stride, -1), low, 2 * stride
    while high - low > 1:
        middle = (low + high) // 2
        if _starts_before(log, middle, msg_id):
            low = middle
        else:
            high = middle
    return low


def _starts_before(log: LogSnapshot, position: int, msg_id: str) -> bool:
    with log.segment(position) as segment:
        first = _first_record(segment, segment.start, segment.size) if segment else None
    here, wanted = order(first[1]) if first else None, order(msg_id)
    return here is not None and wanted is not None and here <= wanted


def id_at(segment: Segment, offset: int) -> str | None:
    """The id of the record that starts at ``offset``."""
    match = _START.match(b"\n\n" + os.pread(segment.fd, _LONGEST_START, offset))
    return id_of(match[1]) if match else None


def _bisect(segment: Segment, msg_id: str) -> int | None:
    """The offset of the record ``msg_id``, if ids increase and hold a time."""
    wanted = order(msg_id)
    low, high = segment.start, segment.size
    probe = max(high - 4 * WINDOW, low)  # most cursors are near the end
    while wanted and high - low > WINDOW:
        found = _first_record(segment, probe, high)
        if found is None:
            high = probe
        else:
            here = order(found[1])
            if here is None:
                return None
            low, high = (found[0], high) if here <= wanted else (low, probe)
        probe = (low + high) // 2
    return _scan(segment, msg_id, low, high)


def first_since(segment: Segment, ms: int) -> int:
    """An offset before which every record is older than ``ms`` since 1970 (0: there may be none)."""
    low, high = segment.start, segment.size
    while high - low > WINDOW:
        probe = (low + high) // 2
        found = _first_record(segment, probe, high)
        if found is None:
            high = probe
        elif (time_of(found[1]) or ms) < ms:
            low = found[0]
        else:
            high = probe
    return low


def _first_record(segment: Segment, start: int, end: int) -> tuple[int, str] | None:
    """The offset and the id of the first record that starts in these bytes. (A start includes the line
    end above its blank line.)"""
    text = _line_ends_before(segment, start)
    offset = start - len(text)
    size = _PROBE
    while True:
        match = _START.search(text)
        reached = offset + len(text) >= segment.size
        if match and (match.end() < len(text) or reached):
            at = max(offset + match.start(), segment.start)
            return (at, id_of(match[1])) if at < end else None
        if reached or (not match and offset + len(text) >= end + _LONGEST_START):
            return None
        if not match:
            offset += max(len(text) - _LONGEST_START, 0)
            text = text[-_LONGEST_START:]
        text += os.pread(segment.fd, size, offset + len(text))
        size = min(2 * size, max(_CHUNK, len(text)))


def _scan(segment: Segment, msg_id: str, low: int, high: int) -> int | None:
    """The offset of the record ``msg_id`` that starts in these bytes, by reading all of them."""
    needle = msg_id.encode("utf-8", "surrogatepass")  # no file holds a lone surrogate
    if not needle or needle != needle.strip(b" \t\r\n"):  # nor such an id
        return None
    overlap = _LONGEST_START + len(needle)
    text = _line_ends_before(segment, low)
    offset = low - len(text)
    end = min(high + overlap, segment.size)
    while offset + len(text) < end:
        data = os.pread(segment.fd, min(_CHUNK, end - offset - len(text)), offset + len(text))
        if not data:
            break
        text += data
        for start, at_the_end in _starts_with_id(text, needle):
            if not at_the_end or offset + len(text) >= segment.size:  # otherwise the id may continue
                return offset + start
        offset += max(len(text) - overlap, 0)
        text = text[-overlap:]
    return None


def _starts_with_id(text: bytes, needle: bytes) -> Iterator[tuple[int, bool]]:
    """The offsets of records with this id, and whether the text ends after it. (Compiling a pattern for the
    id would take longer than the search, and evict other patterns from the cache of ``re``.)"""
    at = text.find(needle)
    while at >= 0:
        start = _START_BEFORE_ID.search(text, max(at - _LONGEST_START, 0), at)
        line_end = _AFTER_ID.match(text, at + len(needle))
        if start and line_end:
            yield text.index(b"---", start.start()), not line_end[1]
        at = text.find(needle, at + 1)


def _line_ends_before(segment: Segment, offset: int) -> bytes:
    """What to put before the bytes at ``offset``, so that the first record, which needs no blank
    line, looks like any other."""
    return b"\n\n" if offset == segment.start else b""


def start_of_last(segment: Segment, n: int) -> int:
    """The offset of the ``n``-th last record, or 0 where there are fewer."""
    return next(islice(starts_backwards(segment.fd, segment.start, segment.size), n - 1, None), 0)


def starts_backwards(fd: int, first: int, size: int) -> Iterator[int]:
    """The offsets of the records that start in the first ``size`` bytes, newest first; the oldest one
    starts at ``first``."""
    stride = WINDOW
    while size > first:
        low = max(size - stride, first)
        text = os.pread(fd, size - low + _LONGEST_START, low)
        shift = low
        if low == first:
            shift -= 2
            text = b"\n\n" + text  # the first record needs no blank line
        starts = [match.start() for match in _START.finditer(text)]
        yield from (shift + text.index(b"---", at) for at in reversed(starts) if shift + at < size)
        size = low
        stride = min(2 * stride, _CHUNK)


def parts_backwards(segment: Segment, size: int) -> Iterator[tuple[int, bytes]]:
    """All records of a segment in parts of ``size`` bytes or more, newest first: the offset of a record's ``---``, and
    the bytes from there to the next part. Each byte is read once."""
    high, carry = segment.size, b""  # the end of a record that begins before ``high``
    while high > segment.start:
        low = max(high - max(size, len(carry)), segment.start)  # doubled: a long record is searched again
        data = os.pread(segment.fd, high - low, low)
        if len(data) == high - low:  # else the file was cut, and that record with it
            data += carry
        high = low
        opening = 0 if low == segment.start else _first_opening(data)
        carry = data if opening < 0 else data[:opening]
        if opening >= 0:
            yield low + opening, data[opening:]


def _first_opening(data: bytes) -> int:
    """Where the ``---`` of the first record that starts in ``data`` is; -1 where none does."""
    match = _START.search(data)
    return data.index(b"---", match.start()) if match else -1
