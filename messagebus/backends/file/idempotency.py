"""Idempotency keys: is there a message with this key already?

Looked up under the append lock, so that two writers with one key cannot both win. The log is
searched for the header line, from the first record young enough (found by bisecting) on, and
what a search saw is kept: the next one reads only what was added since.
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
# The start of a record, or a line that holds a key: one sweep over the text meets both.
_START_OR_KEY = re.compile(
    rb"(%b)%b|\n +%b:([^\r\n]*)\r*(?=\n)" % (SEPARATOR_PATTERN, OPENING_PATTERN, IDEMPOTENCY_KEY.encode())
)
_FINGERPRINT = 256  # bytes
_MANY = 10_000


class KeyIndex:
    """Remembers, for one log, which keys stand where. Used under the append lock only."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._searched: dict[int, tuple[int, bytes]] = {}  # of each inode: how far, and what stood there
        self._seen: dict[str, set[tuple[int, int]]] = {}  # of each key: inode and offset
        self._many = _MANY  # keys, from which on the old ones are forgotten

    def answer(self, key: str, draft: Draft, now_ms: int) -> Message | None:
        """The message that answers posting ``draft`` again. Raises IdempotencyConflictError."""
        first = self.find(key, now_ms)
        return first and answer_repeated(draft, first)

    def find(self, key: str, now_ms: int) -> Message | None:
        """The message that stands for ``key`` at ``now_ms`` since 1970."""
        log = LogSnapshot(self._path, list_archives)  # the key may be in any
        oldest: dict[int, int] = {}  # in each segment, where what is young enough begins
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
            self._forget(oldest)
        return None

    def _forget(self, oldest: dict[int, int]) -> None:
        """Drop keys that are too old, or in files that were not looked at: those are searched again."""
        if len(self._seen) <= self._many:
            return
        for key, places in list(self._seen.items()):
            young = {(inode, at) for inode, at in places if at >= oldest.get(inode, at + 1)}
            if young:
                self._seen[key] = young
            else:
                del self._seen[key]
        self._searched = {inode: to for inode, to in self._searched.items() if inode in oldest}
        self._many = max(_MANY, 2 * len(self._seen))

    def _find_in(self, segment: Segment, key: str, now_ms: int, oldest: int) -> Message | None:
        searched, ending = self._searched.get(segment.inode, (0, b""))
        if _ending(segment, searched) != ending:  # edited: nothing seen there holds any more
            searched = 0
        for written, offset in _keys_in(segment, max(searched, oldest)):
            self._seen.setdefault(_unquoted(written), set()).add((segment.inode, offset))
        ending = _ending(segment, segment.size)
        # Blocks that were never written tell nothing: what is written there instead may end in such blocks again.
        self._searched[segment.inode] = (0, b"") if ending.endswith(b"\0") else (segment.size, ending)
        for inode, offset in sorted(self._seen.get(key, ()), reverse=True):  # the newest, where clocks went back
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


def _ending(segment: Segment, size: int) -> bytes:
    """The last of the first ``size`` bytes."""
    start = max(size - _FINGERPRINT, 0)
    return os.pread(segment.fd, size - start, start)


def _keys_in(segment: Segment, start: int) -> Iterator[tuple[bytes, int]]:
    """Every key written from ``start`` on, and the offset of its record (a line of a body can
    look like one; whoever uses it looks again)."""
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
