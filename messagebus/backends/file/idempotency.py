"""Finding the message that was posted with an idempotency key.

The search runs under the append lock, so that of two writers with one key only one can store a
message. It looks for the header line of the key, from the first record that is recent enough
(found by bisecting), and remembers what it has read: the next search reads only what was added.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from messagebus.backends.file.search import first_since
from messagebus.backends.file.segments import LogSnapshot, Segment, list_archives
from messagebus.codec import MAX_HEADER, Decoder, header
from messagebus.codec.framing import OPENING_PATTERN, SEPARATOR_PATTERN
from messagebus.idempotency import IDEMPOTENCY_WINDOW_MS, answer_repeated, holds_key
from messagebus.message import IDEMPOTENCY_KEY, Draft, Message

_CHUNK = 1024 * 1024  # bytes
# The start of a record, or a line that holds a key: one pass over the text finds both.
_START_OR_KEY = re.compile(
    rb"(%b)%b|\n +%b:([^\r\n]*)\r*(?=\n)" % (SEPARATOR_PATTERN, OPENING_PATTERN, IDEMPOTENCY_KEY.encode())
)
_FINGERPRINT = 256  # bytes
_MAX_KEYS = 10_000  # remembered before old ones are dropped


class KeyIndex:
    """The keys of one log, and where they are. Used only under the append lock."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._searched: dict[int, tuple[int, bytes]] = {}  # by inode: up to where, and the bytes in front of that
        self._positions: dict[str, set[tuple[int, int]]] = {}  # by key: inode and offset of each record with it
        self._drop_above = _MAX_KEYS

    def answer(self, key: str, draft: Draft, now_ms: int) -> Message | None:
        """The message that answers posting ``draft`` again. Raises IdempotencyConflictError."""
        first = self.find(key, now_ms)
        return first and answer_repeated(draft, first)

    def find(self, key: str, now_ms: int) -> Message | None:
        """The message that holds ``key`` at ``now_ms`` (milliseconds since 1970)."""
        log = LogSnapshot(self._path, list_archives)  # strict: the key may be in an archive that cannot be seen
        oldest: dict[int, int] = {}  # by inode: the offset before which every record is too old
        try:
            for position in reversed(range(len(log))):
                with log.segment(position) as segment:
                    if segment is None:
                        continue
                    oldest[segment.inode] = first_since(segment, now_ms - IDEMPOTENCY_WINDOW_MS)
                    found = self._find_in(segment, key, now_ms, oldest[segment.inode])
                    reached_back = oldest[segment.inode] > segment.start
                if found or reached_back:
                    return found
        finally:
            log.close()
            self._drop_old(oldest)
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

    def _find_in(self, segment: Segment, key: str, now_ms: int, oldest: int) -> Message | None:
        searched, last_bytes = self._searched.get(segment.inode, (0, b""))
        if _last_bytes(segment, searched) != last_bytes:  # edited: what was read there is no longer valid
            searched = 0
        for written, offset in _keys_in(segment, max(searched, oldest)):
            self._positions.setdefault(_unquoted(written), set()).add((segment.inode, offset))
        last_bytes = _last_bytes(segment, segment.size)
        # Unwritten blocks identify nothing: a later text of the same size may end in such blocks too.
        self._searched[segment.inode] = (0, b"") if last_bytes.endswith(b"\0") else (segment.size, last_bytes)
        for inode, offset in sorted(self._positions.get(key, ()), reverse=True):  # newest first
            message = _message_at(segment, offset) if inode == segment.inode else None
            if message and holds_key(message, key, now_ms):
                return message
        return None


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


def _keys_in(segment: Segment, start: int) -> Iterator[tuple[bytes, int]]:
    """Every key from ``start`` on as it is written, with the offset of its record. A line of a body
    may look like one, so the caller reads the record."""
    offset = max(start - MAX_HEADER, segment.start)  # the record of the first key may start before it
    swept = offset
    record = offset if offset == segment.start else -1
    text = b""
    while data := os.pread(segment.fd, min(_CHUNK, segment.size - offset - len(text)), offset + len(text)):
        text += data
        for match in _START_OR_KEY.finditer(text, max(swept - offset, 0)):
            swept = offset + match.end()
            if match[1]:
                record = offset + match.end(1)
            elif record >= 0 and swept > start:
                yield match[2], record
        kept = text[-MAX_HEADER:]
        offset += len(text) - len(kept)
        text = kept


def _message_at(segment: Segment, offset: int) -> Message | None:
    decoder = Decoder(offset)
    while data := os.pread(segment.fd, max(MAX_HEADER, decoder.buffered), offset):
        offset += len(data)
        if messages := decoder.feed(data):
            return messages[0]
    messages = decoder.finish(closed=True)
    return messages[0] if messages else None
