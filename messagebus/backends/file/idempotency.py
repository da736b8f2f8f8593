"""Finding the message that was posted with an idempotency key.

A post with a key looks for the key before it has the lock, and under the lock only in what was added since: so of two
writers with one key only one stores a message, and no one waits for a long search.

The first search of a ``KeyIndex`` is most often its only one, that of a shell script: it looks for the bytes of its
key, from the end of the log back. A second key makes it an index of all keys of the last 24 hours; from then on
only what was added is read. (The file is read, not mapped: another program may cut it, and that would kill a process
which has it mapped.)
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing

from messagebus.backends.file.archive_list import ArchiveList
from messagebus.backends.file.search import first_since, parts_backwards
from messagebus.backends.file.segments import LogSnapshot, Segment
from messagebus.codec import MAX_HEADER, Decoder, header
from messagebus.idempotency import IDEMPOTENCY_WINDOW_MS, answer_repeated, holds_key
from messagebus.message import IDEMPOTENCY_KEY, Draft, Message

_CHUNK = 1024 * 1024  # bytes
_LEAST = 4 * 1024  # bytes read from the end back at least
_FIELD = f"{IDEMPOTENCY_KEY}:".encode()
_LINE = re.compile(rb"\n +%b([^\r\n]*)\r*(?=\n)" % _FIELD)
_OPENING = re.compile(rb"---\r*\nmsg_id:\Z")
_LONGEST_OPENING = 64  # bytes
_FINGERPRINT = 256  # bytes
_MAX_KEYS = 10_000  # remembered before old ones are dropped


class KeyIndex:
    """The keys of one log, and where they are. Only one thread at a time may use it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._archives = ArchiveList(path)
        self._only_key: str | None = None  # the one that was looked for, until there is another
        self.has_all_keys = False  # or is only the first key looked for?
        self._searched: dict[int, tuple[int, bytes]] = {}  # by inode: up to where, and the bytes in front of that
        self._positions: dict[str, set[tuple[int, int]]] = {}  # by key: inode and offset of each record with it
        self._added: set[str] = set()  # keys that the caller has stored since the last search
        self._drop_above = _MAX_KEYS

    def answer(self, key: str, draft: Draft, now_ms: int) -> Message | None:
        """The message that answers posting ``draft`` again. Raises IdempotencyConflictError."""
        first = self.find(key, now_ms)
        return first and answer_repeated(draft, first)

    def lacks(self, key: str) -> bool:
        """Is it certain, without a search, that no message holds ``key``, if only the caller has written to the live
        file since the last search under the lock?"""
        return (
            self.has_all_keys
            and key not in self._positions
            and key not in self._added
            and len(self._added) < _MAX_KEYS
            and self._archives.is_known()
        )

    def add(self, key: str) -> None:
        """The caller has stored a message with ``key``."""
        self._added.add(key)

    def find(self, key: str, now_ms: int) -> Message | None:
        """The message that holds ``key`` at ``now_ms`` (milliseconds since 1970)."""
        self._added.clear()
        if not self.has_all_keys and self._only_key not in (None, key):
            self.has_all_keys = True
            self._searched.clear()
        self._only_key = key
        oldest: dict[int, int] = {}  # by inode: the offset before which every record is too old
        # Strict: the key may be in an archive that cannot be seen.
        with closing(LogSnapshot(self._path, self._archives)) as log:
            try:
                return self._find_in_log(log, key, now_ms, oldest)
            finally:
                self._drop_old(oldest)

    def _find_in_log(self, log: LogSnapshot, key: str, now_ms: int, oldest: dict[int, int]) -> Message | None:
        for position in reversed(range(len(log))):
            with log.segment(position) as segment:
                if segment is None:
                    continue
                oldest[segment.inode] = first_since(segment, now_ms - IDEMPOTENCY_WINDOW_MS)
                found = self._find_in(segment, key, now_ms, oldest[segment.inode])
                if found or oldest[segment.inode] > segment.start:
                    return found
        return None

    def _find_in(self, segment: Segment, key: str, now_ms: int, oldest: int) -> Message | None:
        searched, last_bytes = self._searched.get(segment.inode, (0, b""))
        if _last_bytes(segment, searched) != last_bytes:  # edited: what was read there is no longer valid
            searched = 0
        words = [_FIELD] if self.has_all_keys else _spellings(key)
        for written, offset in _keys_in(segment, max(searched, oldest), words):
            self._positions.setdefault(_unquoted(written), set()).add((segment.inode, offset))
        last_bytes = _last_bytes(segment, segment.size)
        # Unwritten blocks identify nothing: a later text of the same size may end in such blocks too.
        self._searched[segment.inode] = (0, b"") if last_bytes.endswith(b"\0") else (segment.size, last_bytes)
        for inode, offset in sorted(self._positions.get(key, ()), reverse=True):  # newest first
            message = _message_at(segment, offset) if inode == segment.inode else None
            if message and holds_key(message, key, now_ms):
                return message
        return None

    def _drop_old(self, oldest: dict[int, int]) -> None:
        """Drop keys that are too old, or in segments that this search did not reach: those are searched again."""
        if len(self._positions) <= self._drop_above:
            return
        for key, positions in list(self._positions.items()):
            recent = {(inode, at) for inode, at in positions if at >= oldest.get(inode, at + 1)}
            if recent:
                self._positions[key] = recent
            else:
                del self._positions[key]
        self._searched = {inode: to for inode, to in self._searched.items() if inode in oldest}
        self._drop_above = max(_MAX_KEYS, 2 * len(self._positions))


def _spellings(key: str) -> list[bytes]:
    """The field with this key, plain and quoted."""
    values = {key, f'"{key}"', header.scalar(key)}
    if not key.isascii() or not key.isprintable() or not {'"', "\\"}.isdisjoint(key):
        import json  # most keys look the same however they are quoted

        values |= {json.dumps(key), json.dumps(key, ensure_ascii=False)}
    return [_FIELD + b" " + value.encode("utf-8", "surrogatepass") for value in values]


def _unquoted(written: bytes) -> str:
    text = written.decode("utf-8", "replace").strip(" ")
    try:
        return header.unquote(text)
    except ValueError:
        return text


def _last_bytes(segment: Segment, size: int) -> bytes:
    """The last of the first ``size`` bytes."""
    start = max(size - _FINGERPRINT, 0)
    return os.pread(segment.fd, size - start, start)


def _keys_in(segment: Segment, start: int, words: list[bytes]) -> Iterator[tuple[bytes, int]]:
    """Every key as it is written, where its field begins with one of ``words``, and the offset of its record: of
    all records that end after ``start``. A line of a body may look like one, so the caller reads the record."""
    for low, text in parts_backwards(segment, max(min(_CHUNK, segment.size - start), _LEAST)):
        if low + len(text) <= start:
            return
        for word in words:
            at = text.find(word)
            while at >= 0:
                line = _LINE.match(text, text.rfind(b"\n", 0, at))
                record = _record_before(text, at) if line else -1
                if line and record >= 0:
                    yield line[1], low + record
                at = text.find(word, at + 1)


def _record_before(text: bytes, at: int) -> int:
    """Where the record begins that the bytes at ``at`` belong to; -1 where that is not in ``text``."""
    while (at := text.rfind(b"msg_id:", 0, at)) >= 0:
        opening = _OPENING.search(text, max(at - _LONGEST_OPENING, 0), at + len(b"msg_id:"))
        if opening:
            return opening.start()
    return -1


def _message_at(segment: Segment, offset: int) -> Message | None:
    decoder = Decoder(offset)
    while data := os.pread(segment.fd, max(MAX_HEADER, decoder.buffered), offset):
        offset += len(data)
        if messages := decoder.feed(data):
            return messages[0]
    messages = decoder.finish(closed=True)
    return messages[0] if messages else None
