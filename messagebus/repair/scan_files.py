"""The files of a log, taken apart (codec/survey.py): for who checks and mends them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from messagebus.backends.file import lock
from messagebus.backends.file.segments import LogSnapshot, Segment
from messagebus.codec.scan import Span, examine, scan
from messagebus.errors import InvalidBusPathError

_CHUNK = 1024 * 1024  # bytes
_LOCK_TIMEOUT = 2.0  # seconds


def spans_of(segment: Segment) -> Iterator[Span]:
    """The pieces of one file, as long as it was when it was opened."""
    return scan(_chunks(segment.fd, 0, segment.size))


def ids_of(log: LogSnapshot) -> Iterator[str]:
    """The ids of all records."""
    for position in range(len(log)):
        with suppress(InvalidBusPathError), log.segment(position) as segment:
            if segment:
                yield from (piece.msg_id for piece in spans_of(segment) if piece.start)


def _chunks(fd: int, offset: int, end: int) -> Iterator[bytes]:
    while data := os.pread(fd, min(_CHUNK, end - offset), offset):
        offset += len(data)
        yield data


def settled(segment: Segment, piece: Span) -> Span:
    """The last record of the live file, if it has a flaw, as it is while nobody writes: it may have been
    half written when it was read."""
    record = examine(piece)
    if not (record.damage or record.stray) or not _locked(segment):
        return piece
    try:
        end = os.fstat(segment.fd).st_size
        again = next(scan(_chunks(segment.fd, piece.offset, end)), piece)
    finally:
        lock.release(segment.fd)
    return again._replace(offset=piece.offset, line=piece.line)


def _locked(segment: Segment) -> bool:
    """Hold the lock; not where there are none, and so no writer of ours."""
    try:
        return lock.acquire(segment.fd, "the file", _LOCK_TIMEOUT)
    except InvalidBusPathError:
        return False
