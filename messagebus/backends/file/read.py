"""Reading a log without locks: whole, from a cursor, or its newest messages.

A cursor is an id. Where the last read ended is remembered, and checked before it is believed;
any other id is looked up (``search.py``). (SPEC.md, "Reading".)
"""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from typing import NamedTuple, TypeVar

from messagebus.backends.file.late_writes import End, Passed
from messagebus.backends.file.search import id_at, search, start_of_last
from messagebus.backends.file.segments import LogSnapshot, Segment, add_filename
from messagebus.codec import MAX_HEADER, Decoder
from messagebus.codec.one_line import is_preamble_id, record_of
from messagebus.errors import GapWarning, SinceIDNotFoundError
from messagebus.message import Message

_FIRST_CHUNK = 16 * 1024  # bytes read at first: most who give a cursor want little
_CHUNK = 256 * 1024  # bytes read at a time when streaming

_Item = TypeVar("_Item")


class _CachedPosition(NamedTuple):
    """Where a message lies: the inode of its segment, and the offset of its record."""

    msg_id: str
    inode: int
    offset: int


class _Match(NamedTuple):
    """The segment and the offset of the record that an id belongs to; ``inside`` where it is not
    that record's own id, but a one-line message's."""

    position: int
    offset: int
    inside: bool


_BEGINNING = _Match(0, 0, inside=False)


class Reader:
    """Reads the log at one path. Threads may share it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._cached: _CachedPosition | None = None
        self._passed = Passed()
        self.unfinished = False

    def read(self, since_id: str | None = None) -> Generator[Message, None, None]:
        """Every message after ``since_id``, oldest first. Raises SinceIDNotFoundError."""
        with self._log() as log:
            found = self._locate(log, since_id)
            messages = chain.from_iterable(batch for batch, _ in self._batches(log, found, since_id))
            yield from self._after(messages, since_id, found.inside, _own_id)

    def read_stored(self, since_id: str | None = None) -> Generator[tuple[Message, bytes], None, None]:
        """Like ``read``, each message with its bytes as they stand in the file."""
        with self._log() as log:
            found = self._locate(log, since_id)
            yield from self._after(self._pairs(log, found, since_id), since_id, found.inside, _id_of_pair)

    def get(self, msg_id: str) -> tuple[Message, bytes] | None:
        """The message with this id and its bytes; None where there is none."""
        with self._log() as log:
            try:
                found = self._locate(log, msg_id)
            except SinceIDNotFoundError:
                return None
            # A broken record may have its id as well, and be found first.
            pairs = chain(self._pairs(log, found), self._pairs(log, _BEGINNING))
            return next((pair for pair in pairs if pair[0].msg_id == msg_id), None)

    def tail(self, n: int) -> list[Message]:
        """The newest ``n`` messages, oldest first."""
        self.unfinished = False
        newest: list[Message] = []
        with self._log() as log:
            for position in reversed(range(len(log))):
                if len(newest) >= n:
                    break
                with log.segment(position) as segment:
                    if segment:
                        newest = self._segment_tail(segment, n - len(newest)) + newest
        return newest

    @contextmanager
    def _log(self) -> Iterator[LogSnapshot]:
        """The files as they are now; errors name them."""
        try:
            with closing(LogSnapshot(self._path)) as log:
                yield log
        except OSError as error:
            add_filename(error, self._path)
            raise

    def _pairs(self, log: LogSnapshot, found: _Match, since_id: str | None = None) -> Iterator[tuple[Message, bytes]]:
        stored: list[bytes] = []
        for batch, bytes_of in self._batches(log, found, since_id, stored):
            yield from zip(batch, bytes_of, strict=True)

    def _batches(
        self, log: LogSnapshot, found: _Match, since_id: str | None, stored: list[bytes] | None = None
    ) -> Iterator[tuple[list[Message], list[bytes]]]:
        """The messages from that record on, and with them, in ``stored`` if it is given, their bytes."""
        self.unfinished = False
        offset, last_id = found.offset, since_id
        passed = self._passed.look_back(log, found.position, since_id)
        for position in range(found.position, len(log)):
            with log.segment(position) as segment:
                if segment:
                    for batch in self._segment_batches(segment, offset, stored):
                        yield batch, stored or []
                        last_id = batch[-1].msg_id if batch else last_id
                    if segment.closed:
                        passed[segment.inode] = End(log.name(position), segment.size)
            offset = 0
        self._passed.keep(last_id, passed)

    def _segment_batches(
        self, segment: Segment, offset: int, stored: list[bytes] | None = None
    ) -> Iterator[list[Message]]:
        decoder = Decoder(offset, stored)
        for batch in _decoded(decoder, segment, offset):
            if batch:
                self._cached = _CachedPosition(batch[-1].msg_id, segment.inode, decoder.record_offset)
            yield batch
        if not segment.closed:
            self.unfinished = decoder.unfinished

    def _segment_tail(self, segment: Segment, n: int) -> list[Message]:
        """The newest ``n`` messages of a segment, from as far back as that takes."""
        records = n
        while True:
            offset = start_of_last(segment, records)
            newest: deque[Message] = deque(maxlen=n)
            for batch in self._segment_batches(segment, offset):
                newest.extend(batch)
            if len(newest) == n or offset == 0:
                return list(newest)
            records *= 2  # some records gave no message: broken, or kept back

    def _locate(self, log: LogSnapshot, msg_id: str | None) -> _Match:
        """The record that ``msg_id`` belongs to. Raises SinceIDNotFoundError."""
        if msg_id is None:
            return _BEGINNING
        place = self._cached
        if place and place.msg_id == msg_id and (recalled := _recall(log, place)):
            return recalled
        if found := search(log, msg_id):
            return _Match(*found, inside=False)
        record_id = record_of(msg_id)
        found = search(log, record_id) if record_id else None
        if found is None and is_preamble_id(msg_id):
            found = _search_preambles(log, msg_id)
        if found is None:
            raise SinceIDNotFoundError(self._path, msg_id)
        return _Match(*found, inside=True)

    def _after(
        self, items: Iterator[_Item], since_id: str | None, inside: bool, id_of: Callable[[_Item], str]
    ) -> Iterator[_Item]:
        """``items``, which start at the record that ``since_id`` belongs to, without those up to it."""
        if since_id is None:
            yield from items
            return
        for item in items:
            if id_of(item) == since_id:
                yield from items
                return
            if not inside:  # the record itself gave no message: it is unfinished, or broken
                yield from chain((item,), items)
                return
        if inside:
            raise SinceIDNotFoundError(self._path, since_id)


def _own_id(message: Message) -> str:
    return message.msg_id


def _id_of_pair(pair: tuple[Message, bytes]) -> str:
    return pair[0].msg_id


def _decoded(decoder: Decoder, segment: Segment, offset: int) -> Iterator[list[Message]]:
    """The messages of a segment from ``offset`` to the size it had when it was opened."""
    chunk = _FIRST_CHUNK
    while offset < segment.size:
        # A record longer than a chunk is fetched in growing strides, not copied again and again.
        data = os.pread(segment.fd, min(max(chunk, decoder.buffered), segment.size - offset), offset)
        if not data:
            if not _may_be_healed(segment):
                warnings.warn(f"the log was cut while it was read, at byte {offset:,}", GapWarning, stacklevel=2)
            break
        offset += len(data)
        chunk = min(2 * chunk, _CHUNK)
        yield decoder.feed(data)
    yield decoder.finish(closed=segment.closed)


def _may_be_healed(segment: Segment) -> bool:
    """Is no more gone than a writer cuts off that mends what a crash left (SPEC.md, "Recovery")?"""
    return segment.size - os.fstat(segment.fd).st_size < MAX_HEADER


def _recall(log: LogSnapshot, place: _CachedPosition) -> _Match | None:
    """The remembered place, if that record is still there."""
    for position in reversed(range(len(log))):
        with log.segment(position) as segment:
            if segment and segment.inode == place.inode:
                record_id = id_at(segment, place.offset)
                if record_id == place.msg_id:
                    return _Match(position, place.offset, inside=False)
                if is_preamble_id(place.msg_id) or (record_id and record_id == record_of(place.msg_id)):
                    return _Match(position, place.offset, inside=True)
                return None
    return None


def _search_preambles(log: LogSnapshot, msg_id: str) -> tuple[int, int] | None:
    """The oldest segment with that one-line message above its first record: each may have one, and
    a reader had better see some again than miss some."""
    for position in range(len(log)):
        with log.segment(position) as segment:
            for message in chain.from_iterable(_decoded(Decoder(), segment, 0)) if segment else ():
                if message.msg_id == msg_id:
                    return position, 0
                if not is_preamble_id(message.msg_id):
                    break
    return None
