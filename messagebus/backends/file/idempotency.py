"""Finding the message that was posted with an idempotency key.

Of two writers with one key only one may store a message, so the answer is given under the append lock. But a day's
log is long, and no one should wait for a search through it. So a writer searches before it takes the lock; under the
lock ``is_ready`` says whether little was added since, and ``answer`` looks at that alone.

The first search of a ``KeyIndex`` is most often its only one, that of a shell script: it looks for its key alone. A
second key makes it an index, a set of all keys in the log. A key that is not in it needs no search; one that is
is searched for. So an edit never makes the index wrong: it does not say where a key is.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing
from typing import NamedTuple

from messagebus.backends.file.archive_list import ArchiveList
from messagebus.backends.file.key_search import holder_at, keys_in, lines_from, newest_holder
from messagebus.backends.file.search import first_since, id_at
from messagebus.backends.file.segments import LogSnapshot, Segment, open_to_read, whole
from messagebus.idempotency import IDEMPOTENCY_WINDOW_MS, answer_repeated
from messagebus.message import Draft, Message
from messagebus.msgid import is_own, time_of

_LITTLE = 1024 * 1024  # bytes that may be read under the lock: that takes a millisecond
_MARK = 256  # bytes
_MANY_KEYS = 200_000  # before the index is made anew, without those of earlier days
_MOST_KEYS = 500_000  # of a day, some 40 MB; with more there is no index, and each key is searched for
_HOUR_MS = 3_600_000  # until it is tried again
_VALID_MS = 60_000  # for so long, a search is valid: where clocks are wrong, a record may come to count later
_NEWEST = 8  # archives that are compared: a writer waits for the lock through fewer rotations than that


class _Reached(NamedTuple):
    """How far a file was read, to the end of a line, and the bytes in front of that. They show whether it was only
    added to since. (Blocks that a crash left unwritten end no line: they would show nothing.)"""

    offset: int
    mark: bytes


class _Record(NamedTuple):
    """Where a record is."""

    path: str
    offset: int


class _Found(NamedTuple):
    """The newest record that held a key at that time, if there was one, in a log whose live file has that inode, read
    so far."""

    key: str
    now_ms: int
    record: _Record | None
    inode: int
    reached: _Reached


_Status = tuple[int, int, int]  # inode, size, time of change


class KeyIndex:
    """The keys of one log. Only one thread at a time may use it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._list = ArchiveList(path)
        self._archives: list[str] = []  # all of them, at the last search
        self._newest: dict[str, _Status] = {}  # the newest of those that it read
        self._found: _Found | None = None  # by the last search
        self._keys: set[int] | None = None  # hashes of those of the last 24 hours at least; None: there is no index
        self._reached: dict[int, _Reached] = {}  # by inode: what is in the index
        self._left: _Status | None = None  # the live file after the last ``wrote``, all of it in the index
        self._began_ms = 0  # when the index was made
        self._no_index_until_ms = 0  # since it would be too large
        self._drop_above = _MANY_KEYS

    def search(self, key: str, now_ms: int) -> None:
        """Read what ``is_ready`` needs, at ``now_ms`` since 1970. Raises OSError; PermissionError where archives cannot
        be seen: one may hold the key."""
        keys, is_second = self._keys, self._found is not None and self._found.key != key
        self._keys = self._found = None  # in case of an error
        with closing(LogSnapshot(self._path, self._list)) as log:
            self._archives, self._newest = log.archives, {}
            live = log.live()
            if keys is not None or is_second:
                keys = self._indexed(log, keys, now_ms)
            record = None
            if keys is None or hash(key) in keys:
                record = self._newest_record(log, key, now_ms)
            reached = _reached(live.fd, live.size) if live else _Reached(0, b"")
        self._keys = keys
        self._found = _Found(key, now_ms, record, live.inode if live else 0, reached)

    def lacks(self, key: str, now_ms: int, fd: int, status: os.stat_result) -> bool:
        """Is it certain, without a search, that no message holds ``key``? For the holder of the lock: the live file is
        open as ``fd`` and has this ``status``."""
        keys = self._keys
        if keys is None or self._is_outdated(keys, now_ms) or not self._has_same_archives():
            return False
        return (self._left == _status(status) or self._take_in(keys, fd, status)) and hash(key) not in keys

    def wrote(self, key: str, status: os.stat_result) -> None:
        """The caller found that the log ``lacks`` the key, wrote a message with it, and left the live file with this
        ``status``."""
        if self._keys is not None:
            self._keys.add(hash(key))
            self._left = _status(status)

    def is_ready(self, key: str, now_ms: int, fd: int, status: os.stat_result) -> bool:
        """Can the holder of the lock ``answer`` without a search? Else it should unlock and ``search``."""
        return self.lacks(key, now_ms, fd, status) or self._has_found(key, now_ms, fd, status)

    def answer(self, key: str, draft: Draft, now_ms: int, fd: int) -> Message | None:
        """The message that answers posting ``draft`` again, for the holder of the lock, who has just learnt that this
        ``is_ready``, or has searched. Raises IdempotencyConflictError."""
        first = self._first(key, now_ms, fd)
        return first and answer_repeated(draft, first)

    def _has_found(self, key: str, now_ms: int, fd: int, status: os.stat_result) -> bool:
        """Was this key searched for, in what the log still is, but for what was added?"""
        found = self._found
        return (
            found is not None
            and found.key == key
            and 0 <= now_ms - found.now_ms <= _VALID_MS
            and found.inode == status.st_ino
            and self._has_same_archives()
            and _added(fd, status, found.reached) is not None
            and (found.record is None or _holder(found.record, key, now_ms) is not None)
        )

    def _first(self, key: str, now_ms: int, fd: int) -> Message | None:
        """The message that holds ``key``: one that was added since the search for it, or what that found. None where
        the index knows, without a search for it, that there is none."""
        if self._found is None or self._found.key != key:
            return None
        added = newest_holder(whole(fd, closed=False), key, now_ms, self._found.reached.offset)
        if added:
            return added[1]
        return self._found.record and _holder(self._found.record, key, now_ms)

    def _has_same_archives(self) -> bool:
        archives = self._list()
        if archives is not self._archives and archives != self._archives:
            return False
        return not self._newest or all(_status_at(path) == status for path, status in self._newest.items())

    def _newest_record(self, log: LogSnapshot, key: str, now_ms: int) -> _Record | None:
        with closing(self._recent(log, now_ms)) as recent:
            for path, segment, oldest in recent:
                if held := newest_holder(segment, key, now_ms, oldest):
                    return _Record(path, held[0])
        return None

    def _indexed(self, log: LogSnapshot, keys: set[int] | None, now_ms: int) -> set[int] | None:
        """``keys`` with those that were added to the log; a new index where it is outdated, None where it is too
        large."""
        before = self._reached
        if keys is None or self._is_outdated(keys, now_ms):
            if now_ms < self._no_index_until_ms:
                return None
            keys, before = set(), {}
            self._began_ms = now_ms
        self._reached = {}
        with closing(self._recent(log, now_ms)) as recent:
            for _, segment, oldest in recent:
                known = before.get(segment.inode)
                read_to = known.offset if known and _before(segment.fd, known.offset) == known.mark else oldest
                for lines, end in lines_from(segment.fd, read_to, segment.size):
                    keys.update(map(hash, keys_in(lines)))
                    read_to = end
                    if len(keys) > _MOST_KEYS:
                        self._no_index_until_ms = now_ms + _HOUR_MS
                        return None
                self._reached[segment.inode] = _Reached(read_to, _before(segment.fd, read_to))
        if not before:
            self._drop_above = max(_MANY_KEYS, 2 * len(keys))
        return keys

    def _take_in(self, keys: set[int], fd: int, status: os.stat_result) -> bool:
        """Add the keys that were added to the live file; False where that is not possible without a search."""
        reached = self._reached.get(status.st_ino)
        added = _added(fd, status, reached)
        if added is None or reached is None:
            return False
        if end := added.rfind(b"\n") + 1:
            keys.update(map(hash, keys_in(added[:end])))
            self._reached[status.st_ino] = _Reached(reached.offset + end, (reached.mark + added[:end])[-_MARK:])
        return True

    def _is_outdated(self, keys: set[int], now_ms: int) -> bool:
        """Does it hold too many keys? Or too few: a clock that went back makes keys count that were too old."""
        return len(keys) > self._drop_above or now_ms < self._began_ms

    def _recent(self, log: LogSnapshot, now_ms: int) -> Generator[tuple[str, Segment, int], None, None]:
        """The files that can hold a key, newest first, with an offset before which their records are too old."""
        since_ms = now_ms - IDEMPOTENCY_WINDOW_MS
        for position in reversed(range(len(log))):
            path = log.name(position)
            with log.segment(position) as segment:
                if segment is None:
                    continue
                if segment.closed and len(self._newest) < _NEWEST:
                    self._newest[path] = _status(os.fstat(segment.fd))
                oldest = first_since(segment, since_ms)
                yield path, segment, oldest
                if oldest > segment.start or _begins_before(segment, since_ms):
                    return


def _begins_before(segment: Segment, ms: int) -> bool:
    """Is its first record older than ``ms`` since 1970, and so are all records of the segments before it?"""
    first_id = id_at(segment, segment.start)
    return first_id is not None and is_own(first_id) and (time_of(first_id) or 0) < ms


def _holder(record: _Record, key: str, now_ms: int) -> Message | None:
    """The message of the record, if it holds ``key``; an editor may have saved the file since."""
    fd = open_to_read(record.path)
    if fd is None:
        return None
    try:
        return holder_at(fd, record.offset, key, now_ms)
    finally:
        os.close(fd)


def _status(status: os.stat_result) -> _Status:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _status_at(path: str) -> _Status | None:
    try:
        return _status(os.lstat(path))
    except FileNotFoundError:
        return None


def _added(fd: int, status: os.stat_result, reached: _Reached | None) -> bytes | None:
    """What was added to the file with this ``status`` since it was read; None where that is not little, or more than
    that was done to it."""
    if reached is None or not 0 <= status.st_size - reached.offset <= _LITTLE:
        return None
    start = reached.offset - len(reached.mark)
    text = os.pread(fd, status.st_size - start, start)
    return text[len(reached.mark) :] if text.startswith(reached.mark) else None


def _before(fd: int, offset: int) -> bytes:
    start = max(offset - _MARK, 0)
    return os.pread(fd, offset - start, start)


def _reached(fd: int, size: int) -> _Reached:
    """How far a file is read that was read to the end of the last line in its first ``size`` bytes."""
    length = _MARK
    while True:
        start = max(size - length, 0)
        end = os.pread(fd, size - start, start).rfind(b"\n") + 1
        if end or start == 0:
            return _Reached(start + end, _before(fd, start + end))
        length *= 4
