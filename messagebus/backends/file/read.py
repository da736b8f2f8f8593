"""Reading a log without locks: whole, from a cursor, or its newest messages.

A cursor is an id. The position at which the last read ended is cached, and checked before it is used;
any other id is looked up (``search.py``). (SPEC.md, "Reading".)
"""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from messagebus.backends.file.archive_list import ArchiveList
from messagebus.backends.file.late_writes import End, PassedArchives
from messagebus.backends.file.search import id_at, parts_backwards, search, start_of_last
from messagebus.backends.file.segments import LogSnapshot, Segment, add_filename, archives_in_sight
from messagebus.codec import MAX_HEADER, Decoder
from messagebus.codec.framing import OPENING
from messagebus.codec.one_line import is_preamble_id, record_of
from messagebus.errors import GapWarning, SinceIDNotFoundError
from messagebus.message import Message

if TYPE_CHECKING:
    from messagebus.filters import Filter

_FIRST_CHUNK = 16 * 1024  # bytes read at first: after a cursor there is usually little to read
_CHUNK = 64 * 1024  # bytes read at a time when streaming: what is made of them stays in the processor's cache

_Item = TypeVar("_Item")


class _CachedPosition(NamedTuple):
    """Where the last message of a read was: the inode of its segment, and the offset of its record."""

    msg_id: str
    inode: int
    offset: int


class _Start(NamedTuple):
    """Where to start reading: at a record, by the number of its segment and its offset. ``is_record_id``
    says whether the cursor is the id of that record; otherwise it is that of a one-line message in it."""

    segment: int
    offset: int
    is_record_id: bool


_BEGINNING = _Start(0, 0, is_record_id=True)


class Reader:
    """Reads the log at one path. Threads may share it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._archives = partial(archives_in_sight, listed=ArchiveList(path))
        self._cached: _CachedPosition | None = None
        self._passed_archives = PassedArchives()
        self.unfinished = False

    def read(self, since_id: str | None = None, wanted: Filter | None = None) -> Generator[Message, None, None]:
        """Every message after ``since_id`` that is wanted, oldest first. Raises SinceIDNotFoundError."""
        with self._log() as log:
            start = self._locate(log, since_id)
            # A one-line message may be the cursor: in which record it is, is not known for certain.
            batches = self._batches(log, start, since_id, wanted=wanted if start.is_record_id else None)
            messages = chain.from_iterable(batch for batch, _ in batches)
            after = self._after_cursor(messages, since_id, start, _id_of)
            yield from filter(wanted.matches, after) if wanted else after

    def read_stored(self, since_id: str | None = None) -> Generator[tuple[Message, bytes], None, None]:
        """Like ``read``, each message with its bytes as they are in the file."""
        with self._log() as log:
            start = self._locate(log, since_id)
            yield from self._after_cursor(self._pairs(log, start, since_id), since_id, start, _id_of_pair)

    def get(self, msg_id: str) -> tuple[Message, bytes] | None:
        """The message with this id and its bytes; None where there is none."""
        with self._log() as log:
            try:
                start = self._locate(log, msg_id)
            except SinceIDNotFoundError:
                return None
            # A broken record may have the same id and be found first: then search from the beginning.
            pairs = chain(self._pairs(log, start), self._pairs(log, _BEGINNING))
            return next((pair for pair in pairs if pair[0].msg_id == msg_id), None)

    def tail(self, n: int, wanted: Filter | None = None) -> list[Message]:
        """The newest ``n`` messages that are wanted, oldest first."""
        self.unfinished = False
        newest: list[Message] = []
        with self._log() as log:
            for position in reversed(range(len(log))):
                if len(newest) >= n:
                    break
                with log.segment(position) as segment:
                    if segment and wanted:
                        newest = self._newest_wanted(segment, n - len(newest), wanted) + newest
                    elif segment:
                        newest = self._segment_tail(segment, n - len(newest)) + newest
        return newest

    @contextmanager
    def _log(self) -> Iterator[LogSnapshot]:
        """The files as they are now; errors raised while reading them name the bus."""
        try:
            with closing(LogSnapshot(self._path, self._archives)) as log:
                yield log
        except OSError as error:
            add_filename(error, self._path)
            raise

    def _pairs(self, log: LogSnapshot, start: _Start, since_id: str | None = None) -> Iterator[tuple[Message, bytes]]:
        for batch, stored in self._batches(log, start, since_id, []):
            yield from zip(batch, stored, strict=True)

    def _batches(
        self,
        log: LogSnapshot,
        start: _Start,
        since_id: str | None,
        stored: list[bytes] | None = None,
        wanted: Filter | None = None,
    ) -> Iterator[tuple[list[Message], list[bytes]]]:
        """The messages from the record at ``start`` on; if ``stored`` is given, their bytes too, in that list."""
        self.unfinished = False
        offset, last_id = start.offset, since_id
        may_pass_over = since_id is None  # not before the cursor was given: where it is, is seen by its message
        passed = self._passed_archives.check(log, start.segment, since_id)
        for position in range(start.segment, len(log)):
            with log.segment(position) as segment:
                if segment:
                    decoder = Decoder(offset, stored, wanted if may_pass_over else None)
                    for batch in self._segment_batches(segment, decoder, offset):
                        yield batch, stored or []
                        if batch:
                            last_id, may_pass_over = batch[-1].msg_id, True
                            decoder.wanted = wanted
                    if segment.closed:
                        passed[segment.inode] = End(log.name(position), segment.size)
            offset = 0
        self._passed_archives.remember(last_id, passed)

    def _segment_batches(self, segment: Segment, decoder: Decoder, offset: int) -> Iterator[list[Message]]:
        for batch in _decoded(decoder, segment, offset):
            if batch:
                self._cached = _CachedPosition(batch[-1].msg_id, segment.inode, decoder.record_offset)
            yield batch
        if not segment.closed:
            self.unfinished = decoder.unfinished

    def _segment_tail(self, segment: Segment, n: int) -> list[Message]:
        """The newest ``n`` messages of a segment, read from only as far back as needed."""
        records = n
        while True:
            offset = start_of_last(segment, records)
            newest: deque[Message] = deque(maxlen=n)
            for batch in self._segment_batches(segment, Decoder(offset), offset):
                newest.extend(batch)
            if len(newest) == n or offset == 0:
                return list(newest)
            records *= 2  # some records gave no message: broken, or unfinished

    def _newest_wanted(self, segment: Segment, n: int, wanted: Filter) -> list[Message]:
        """The newest ``n`` messages of a segment that are wanted, read backwards."""
        newest: list[Message] = []
        is_last = True  # part of the segment
        for offset, data in parts_backwards(segment, _CHUNK):
            decoder = Decoder(offset, wanted=wanted)
            messages = decoder.feed(data)
            if is_last:
                messages += decoder.finish(closed=segment.closed)
                self.unfinished = decoder.unfinished and not segment.closed
            else:
                messages += decoder.feed(OPENING)  # of the part that was read before
            is_last = False
            newest = [message for message in messages if wanted.matches(message)] + newest
            if len(newest) >= n:
                return newest[len(newest) - n :]
        _warn_if_cut(segment, os.fstat(segment.fd).st_size)
        return self._wanted_in_preamble(segment, n - len(newest), wanted) + newest

    def _wanted_in_preamble(self, segment: Segment, n: int, wanted: Filter) -> list[Message]:
        """The newest ``n`` one-line messages above the first record that are wanted."""
        is_followed = segment.start < segment.size
        preamble = segment._replace(size=segment.start, closed=segment.closed or is_followed)
        batches = self._segment_batches(preamble, Decoder(), 0) if segment.start else ()
        return list(deque(filter(wanted.matches, chain.from_iterable(batches)), n))

    def _locate(self, log: LogSnapshot, msg_id: str | None) -> _Start:
        """The record that ``msg_id`` belongs to. Raises SinceIDNotFoundError."""
        if msg_id is None:
            return _BEGINNING
        cached = self._cached
        if cached and cached.msg_id == msg_id and (start := _verified(log, cached)):
            return start
        if offset := search(log, msg_id):
            return _Start(*offset, is_record_id=True)
        record_id = record_of(msg_id)
        offset = search(log, record_id) if record_id else None
        if offset is None and is_preamble_id(msg_id):
            offset = _search_preambles(log, msg_id)
        if offset is None:
            raise SinceIDNotFoundError(self._path, msg_id)
        return _Start(*offset, is_record_id=False)

    def _after_cursor(
        self, items: Iterator[_Item], since_id: str | None, start: _Start, id_of: Callable[[_Item], str]
    ) -> Iterator[_Item]:
        """``items``, read from ``start`` on, without those up to and including ``since_id``."""
        if since_id is None:
            yield from items
            return
        for item in items:
            if id_of(item) == since_id:
                yield from items
                return
            if start.is_record_id:  # and that record gave no message: it is unfinished, or broken
                yield from chain((item,), items)
                return
        if not start.is_record_id:
            raise SinceIDNotFoundError(self._path, since_id)


def _id_of(message: Message) -> str:
    return message.msg_id


def _id_of_pair(pair: tuple[Message, bytes]) -> str:
    return pair[0].msg_id


def _decoded(decoder: Decoder, segment: Segment, offset: int) -> Iterator[list[Message]]:
    """The messages of a segment from ``offset`` to the size it had when it was opened."""
    chunk = _FIRST_CHUNK
    while offset < segment.size:
        # A record longer than a chunk is read in growing steps: so it is not copied again and again.
        data = os.pread(segment.fd, min(max(chunk, decoder.buffered), segment.size - offset), offset)
        if not data:
            _warn_if_cut(segment, offset)
            break
        offset += len(data)
        chunk = min(2 * chunk, _CHUNK)
        yield decoder.feed(data)
    yield decoder.finish(closed=segment.closed)


def _warn_if_cut(segment: Segment, offset: int) -> None:
    """A GapWarning if more is gone than a writer truncates that recovers what a crash left (SPEC.md, "Recovery")."""
    if segment.size - os.fstat(segment.fd).st_size >= MAX_HEADER:
        warnings.warn(f"the log was cut at byte {offset:,} while it was read", GapWarning, stacklevel=2)


def _verified(log: LogSnapshot, cached: _CachedPosition) -> _Start | None:
    """The cached position, if its record is still there."""
    for position in reversed(range(len(log))):
        with log.segment(position) as segment:
            if segment and segment.inode == cached.inode:
                record_id = id_at(segment, cached.offset)
                if record_id == cached.msg_id:
                    return _Start(position, cached.offset, is_record_id=True)
                if is_preamble_id(cached.msg_id) or (record_id and record_id == record_of(cached.msg_id)):
                    return _Start(position, cached.offset, is_record_id=False)
                return None
    return None


def _search_preambles(log: LogSnapshot, msg_id: str) -> tuple[int, int] | None:
    """The oldest segment with that one-line message above its first record. Several may have one: it is
    better to read some messages again than to miss some."""
    for position in range(len(log)):
        with log.segment(position) as segment:
            for message in chain.from_iterable(_decoded(Decoder(), segment, 0)) if segment else ():
                if message.msg_id == msg_id:
                    return position, 0
                if not is_preamble_id(message.msg_id):
                    break
    return None
