"""The files of a log as spans (codec/scan.py), for checking and repairing them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from messagebus.backends.file import lock
from messagebus.backends.file.segments import LogSnapshot, Segment
from messagebus.codec.scan import Span, examine, scan, scan_ids
from messagebus.errors import InvalidBusPathError

_CHUNK = 64 * 1024  # bytes: what is made of them stays in the processor's cache
_LOCK_TIMEOUT = 2.0  # seconds


def spans_of(segment: Segment) -> Iterator[Span]:
    """The spans of one file, up to the size that it had when it was opened."""
    return scan(_chunks(segment.fd, 0, segment.size))


def ids_of(log: LogSnapshot) -> Iterator[str]:
    """The ids of all records."""
    for position in range(len(log)):
        with suppress(InvalidBusPathError), log.segment(position) as segment:
            if segment:
                yield from scan_ids(_chunks(segment.fd, 0, segment.size))


def _chunks(fd: int, offset: int, end: int) -> Iterator[bytes]:
    while data := os.pread(fd, min(_CHUNK, end - offset), offset):
        offset += len(data)
        yield data


def settled(segment: Segment, span: Span) -> Span:
    """The last record of the live file; read again under the lock if it looks damaged, because a writer may have
    written half of it when it was read."""
    record = examine(span)
    if not (record.damage or record.stray) or not _locked(segment):
        return span
    try:
        end = os.fstat(segment.fd).st_size
        again = next(scan(_chunks(segment.fd, span.offset, end)), span)
    finally:
        lock.release(segment.fd)
    return again._replace(offset=span.offset, line=span.line)


def _locked(segment: Segment) -> bool:
    """Take the lock; False after a timeout, or where the file system has no locks, and so no writer of ours."""
    try:
        return lock.acquire(segment.fd, "the file", _LOCK_TIMEOUT)
    except InvalidBusPathError:
        return False
