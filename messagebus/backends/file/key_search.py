"""Idempotency keys in the bytes of a segment.

Most blocks hold no key that counts, so each is first passed over by a plain search for the name of the field. What
looks like the key (it may be spelled in several ways: plain, quoted, with escapes) is then looked at by the
framing of records, and at last the record itself is read: a line of a body may look like a key.

Files are read, not mapped: a file that is cut by another program would kill a process that has it mapped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from messagebus import codec
from messagebus.backends.file.segments import Segment
from messagebus.codec import MAX_HEADER, header
from messagebus.codec.framing import OPENING_PATTERN, SEPARATOR_PATTERN, START
from messagebus.idempotency import holds_key
from messagebus.message import IDEMPOTENCY_KEY, Message

_BLOCK = 64 * 1024  # bytes: what is searched stays in the processor's cache
_FIRST_READ = 4 * 1024  # bytes of a record, which then doubles
_LONGEST_SEPARATOR = 512  # bytes: two, unless an editor has added CRs
_FIELD = f"{IDEMPOTENCY_KEY}:".encode()
# The start of a record, or a line that holds a key: one pass over the text finds both.
_ESCAPED = re.compile(rb' "[^"\\\r\n]*\\')
_START_OR_KEY = re.compile(rb"(%b)%b|\n +%b([^\r\n]*)\r*(?=\n)" % (SEPARATOR_PATTERN, OPENING_PATTERN, _FIELD))


def keys_in(text: bytes) -> Iterator[str]:
    """All that may be a key in whole lines of ``text``."""
    at = text.find(_FIELD)
    while at >= 0:
        end = text.find(b"\n", at)
        if end < 0:
            return
        yield _unquoted(text[at + len(_FIELD) : end].rstrip(b"\r"))
        at = text.find(_FIELD, end)


def lines_from(fd: int, start: int, size: int) -> Iterator[tuple[bytes, int]]:
    """The first ``size`` bytes of a file from the line at ``start`` on, in pieces of whole lines, and the offset after
    each. Nothing of a last line without a line end, nor of one that is longer than a header."""
    block = _BLOCK
    while text := os.pread(fd, max(min(block, size - start), 0), start):
        end = text.rfind(b"\n") + 1
        if end:
            yield text[:end], start + end
            start, block = start + end, _BLOCK
        elif len(text) >= MAX_HEADER:
            start += len(text)
        elif start + len(text) < size:
            block *= 2
        else:
            return


def newest_holder(segment: Segment, key: str, now_ms: int, start: int) -> tuple[int, Message] | None:
    """The newest message that holds ``key`` at ``now_ms`` since 1970, and the offset of its record, of those that give
    the key in the line at ``start`` or after it."""
    for first, end in _candidates_backwards(segment, key, start):
        for offset in _records_with(segment, key, first, end):
            if message := holder_at(segment.fd, offset, key, now_ms):
                return offset, message
    return None


def holder_at(fd: int, offset: int, key: str, now_ms: int) -> Message | None:
    """The message of the record at ``offset``, if it holds ``key`` at ``now_ms`` since 1970."""
    message = _message_at(fd, offset)
    return message if message and holds_key(message, key, now_ms) else None


def _message_at(fd: int, offset: int) -> Message | None:
    decoder = codec.Decoder(offset)
    while data := os.pread(fd, max(_FIRST_READ, decoder.buffered), offset):
        next_start = START.search(data, 1)  # the decoder would read all records that are in the data
        messages = decoder.feed(data[: next_start.end()] if next_start else data)
        if messages or next_start:
            return messages[0] if messages else None
        offset += len(data)
    messages = decoder.finish(closed=True)
    return messages[0] if messages else None


def _candidates_backwards(segment: Segment, key: str, start: int) -> Iterator[tuple[int, int]]:
    """Where lines that may give ``key`` are, newest first: for each block with such lines, an offset in the first one
    and that of the end of the last one."""
    for low, text in _blocks_backwards(segment, start):
        found = _candidates(text, key)
        if found:
            end = text.find(b"\n", found[-1]) + 1 or text.rfind(b"\n") + 1  # the last line may be unfinished
            yield low + found[0], low + end


def _blocks_backwards(segment: Segment, start: int) -> Iterator[tuple[int, bytes]]:
    """The segment from the line at ``start`` on, newest first, in blocks with their offsets: each line is whole in one
    of them, unless it is longer than a header."""
    high, block = segment.size, _BLOCK
    while high > start:
        low = max(high - block, start)
        text = os.pread(segment.fd, high - low, low)
        begun = text.find(b"\n") + 1 if low > start else 0  # the line that begins before is whole in the next block
        if low == start or 0 < begun < len(text):
            yield low, text
            high, block = low + begun, _BLOCK
        elif high - low < MAX_HEADER:
            block *= 2
        else:
            high = low


def _candidates(text: bytes, key: str) -> list[int]:
    """Where in ``text`` a line gives ``key``, or a key that is spelled with escapes: at the values."""
    plain = key.encode("utf-8", "surrogatepass")
    # Plain, quoted, after several blanks. What is no UTF-8 is read as U+FFFD.
    is_odd = "\ufffd" in key or _FIELD in plain
    beginnings = (b"",) if is_odd else (b" " + plain, b' "' + plain, b"  ")
    values = text.split(_FIELD)[1:]
    if not [value for value in values if value.startswith(beginnings)] and not [
        value for value in values if value.startswith(b' "') and _ESCAPED.match(value)
    ]:
        return []  # nearly always
    found = []
    at = text.find(_FIELD)
    while at >= 0:
        at += len(_FIELD)
        if text.startswith(beginnings, at) or _ESCAPED.match(text, at):
            found.append(at)
        at = text.find(_FIELD, at)
    return found


def _records_with(segment: Segment, key: str, first: int, end: int) -> list[int]:
    """The offsets of the records in which one of the lines from ``first`` to ``end`` gives ``key``, newest first."""
    low = max(first - MAX_HEADER - _LONGEST_SEPARATOR, segment.start)
    text = os.pread(segment.fd, max(end - low, 0), low)
    record = low if low == segment.start else -1  # the first record needs no blank line
    found: list[int] = []
    for match in _START_OR_KEY.finditer(text):
        if match[1]:
            record = low + match.end(1)
        elif record >= 0 and record not in found[-1:] and _unquoted(match[2]) == key:
            found.append(record)
    return found[::-1]


def _unquoted(written: bytes) -> str:
    text = written.decode("utf-8", "replace").strip(" ")
    try:
        return header.unquote(text)
    except ValueError:
        return text
