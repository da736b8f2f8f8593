"""Bytes to messages.

Read it in this order:

1. ``Decoder`` splits the bytes of a segment at the record starts. A record is settled once the next start has been
   seen; what follows the last start is buffered until ``finish``. Above the first start is the preamble, of which
   only one-line messages are read.
2. ``read_canonical`` (canonical.py) decodes a whole record that is written exactly as ``encode`` writes it. Nearly
   all are.
3. ``read_record`` decodes any other: foreign, edited, torn, or unfinished. It parses the header, takes off what a
   crash left of the next record, and verifies the body against ``content_length``.

Both give the same message where both can read a record. ``framing`` has the names of the parts of a record;
SPEC.md, "The file", "Torn records" and "Other forms that are read".
"""

from __future__ import annotations

import re
from dataclasses import replace
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING

from messagebus.codec.canonical import read_canonical
from messagebus.codec.fields import from_fields, parse_header
from messagebus.codec.framing import (
    BOM,
    PLAIN_START,
    START,
    escape,
    find_first_opening,
    find_partial_start,
    header_end,
    id_line,
    is_crlf,
    separator_length,
    split,
    unescape,
)
from messagebus.codec.header import HeaderError
from messagebus.codec.one_line import StoredMessage, one_line_messages, preamble_id
from messagebus.message import Message

if TYPE_CHECKING:
    from messagebus.filters import Filter

_LONG_PREAMBLE = 1024 * 1024  # bytes
_LINES_OF_A_START = 3
LENGTH = re.compile(r"[0-9]{1,12}")


class RecordEnd(Enum):
    """What follows the bytes given as a record."""

    NEXT_RECORD = auto()
    END_OF_FILE = auto()  # of a segment that will never grow
    MAY_GROW = auto()  # the end of the live file


class Decoder:
    """Feed it the bytes of one segment; it gives the messages, in order.

    ``offset`` is where the first byte is in the file: 0, or the opening of a record.
    ``record_offset`` is the offset of the record that the last message given belongs to, and
    ``unfinished`` is whether ``finish`` kept something back. A list given as ``stored`` is
    filled anew by every call, with the bytes of each message given as they are in the file.
    Records that ``wanted`` excludes (filters.py) are passed over: not all others match.
    """

    def __init__(self, offset: int = 0, stored: list[bytes] | None = None, wanted: Filter | None = None) -> None:
        self.record_offset = offset
        self.unfinished = False
        self._stored = stored
        self._wanted = wanted
        # Two line ends in front make the first record's start look like every other.
        self._buffer = b"\n\n"
        self._buffer_offset = offset - 2
        self._in_preamble = True
        self._preamble_lines = 0  # read already
        self._unwritten = False  # a block of NUL was in the preamble: nothing after it is read
        self._bom_expected = offset == 0

    @property
    def buffered(self) -> int:
        """Bytes kept of the last record, which more bytes may still extend."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Message]:
        """The messages of every record that another record follows."""
        self._buffer += data
        if self._bom_expected and not self._drop_bom():
            return []
        if self._stored is not None:
            self._stored.clear()
        messages = self._preamble() if self._in_preamble else []
        if self._in_preamble:
            return messages
        if self._wanted and self._pass_over():
            return messages
        (_, *texts), starts = split(self._buffer)
        offset, last_text = self._buffer_offset, texts.pop()
        for start, text in zip(starts, texts, strict=False):  # there is a start more
            if self._wanted and self._wanted.excludes(text, partial(_header_of, text)):
                pass
            elif start is PLAIN_START and (message := read_canonical(text)):
                messages.append(message)
                self.record_offset = offset + 2
                if self._stored is not None:
                    self._stored.append(start[2:] + text + b"\n")
            elif pairs := read_record(start, text, RecordEnd.NEXT_RECORD)[0]:
                messages += self._give(pairs)
                self.record_offset = offset + separator_length(start)
            offset += len(start) + len(text)
        self._buffer = starts[-1] + last_text
        self._buffer_offset = offset
        return messages

    def _pass_over(self) -> bool:
        """Drop all but the last record, unsettled yet, if it is certain that none is wanted."""
        if b"\r" in self._buffer or not self._wanted or not self._wanted.excludes(self._buffer, self._headers):
            return False
        at = self._buffer.rfind(PLAIN_START)
        self._buffer = self._buffer[at:]
        self._buffer_offset += at
        return True

    def _headers(self) -> bytes:
        return b"".join([text[: text.find(b"\n---\n")] for text in self._buffer.split(PLAIN_START)])

    def finish(self, *, closed: bool) -> list[Message]:
        """The messages of the last record.

        ``closed`` says that these bytes will never grow, so that what looks unfinished is
        torn; otherwise it is kept back.
        """
        if self._stored is not None:
            self._stored.clear()
        if self._in_preamble:
            return self._one_line_messages(self._buffer, closed=closed)
        (_, text), (start,) = split(self._buffer)
        is_canonical = start == PLAIN_START and text.endswith(b"\n")
        if is_canonical and (message := read_canonical(text[:-1])):
            self.unfinished = False
            pairs = [(message, start[2:] + text)]
        else:
            end = RecordEnd.END_OF_FILE if closed else RecordEnd.MAY_GROW
            pairs, self.unfinished = read_record(start, text, end)
        if pairs:
            self.record_offset = self._buffer_offset + separator_length(start)
        return self._give(pairs)

    def _give(self, pairs: list[StoredMessage]) -> list[Message]:
        if self._stored is not None:
            self._stored += [stored for _, stored in pairs]
        return [message for message, _ in pairs]

    def _preamble(self) -> list[Message]:
        """The one-line messages above the first record, once it has started; those of a long preamble, sooner."""
        opening = find_first_opening(self._buffer, unwritten=self._unwritten)
        if opening < 0:
            return self._settled_preamble()
        self._in_preamble = False
        text = self._buffer[: opening - 1]
        self._buffer = b"\n\n" + self._buffer[opening:]
        self._buffer_offset += opening - 2
        return self._one_line_messages(text, closed=True)

    def _settled_preamble(self) -> list[Message]:
        """The one-line messages of a long preamble, except in the last lines, which may begin a record."""
        if len(self._buffer) < _LONG_PREAMBLE:
            return []
        end = len(self._buffer)
        for _ in range(_LINES_OF_A_START):
            end = max(self._buffer.rfind(b"\n", 0, end), 0)
        text, self._buffer = self._buffer[:end], self._buffer[end:]
        self._buffer_offset += end
        self._shorten_last_line()
        return self._one_line_messages(text, closed=True)

    def _shorten_last_line(self) -> None:
        """Of a very long last line that can begin neither a record nor a message, keep one byte: enough to know
        whether it is blank, or unwritten."""
        begin = self._buffer.rfind(b"\n") + 1
        line = self._buffer[begin:]
        if len(line) > _LONG_PREAMBLE and not line.startswith(b"---") and line.lstrip(b" \t")[:1] not in (b"", b"["):
            kept = b"\0" if b"\0" in line else b"?" if line.strip(b"\r") else b"\r"
            self._buffer = self._buffer[:begin] + kept
            self._buffer_offset += len(line) - len(kept)

    def _one_line_messages(self, text: bytes, *, closed: bool) -> list[Message]:
        before = self._preamble_lines
        self._preamble_lines += text.count(b"\n")
        if self._unwritten:
            return []
        if (unwritten := text.find(b"\0")) >= 0:
            # What follows may be the body of a record whose header the crash left unwritten.
            self._unwritten = True
            text, closed = text[: text.rfind(b"\n", 0, unwritten) + 1], True
        pairs, _, self.unfinished = one_line_messages(text, lambda line, _: preamble_id(before + line), closed=closed)
        return self._give(pairs)

    def _drop_bom(self) -> bool:
        """Remove a byte order mark at the start of the file; False where there are too few bytes to tell."""
        text = self._buffer[2:]
        if len(text) < len(BOM) and BOM.startswith(text):
            return False
        self._bom_expected = False
        if text.startswith(BOM):
            self._buffer = b"\n\n" + text[len(BOM) :]
            self._buffer_offset += len(BOM)
        return True


def _header_of(text: bytes) -> bytes:
    closing = header_end(text)
    return text[: closing.start()] if closing else text


def read_record(start: bytes, text: bytes, end: RecordEnd) -> tuple[list[StoredMessage], bool]:
    """The messages of any record: its own, then the one-line messages below its body. With True where
    something is kept back, as it may still grow.

    A record that cannot be read gives none, and affects no other.
    """
    lf_text = text.replace(b"\r\n", b"\n") if is_crlf(start) else text
    closing = header_end(lf_text)
    if not closing:
        return [], end is RecordEnd.MAY_GROW
    try:
        fields = parse_header(lf_text[: closing.start()])
        message = from_fields(fields)
    except HeaderError:
        return [], False
    if message.msg_id.encode() != id_line(text):
        return [], False  # quoted, or not UTF-8: a search for a cursor looks for these bytes
    head, region = lf_text[: closing.end()], lf_text[closing.end() :]
    opening = start.lstrip(b"\r\n")
    line_end = b"" if text.endswith(b"\n") and end is not RecordEnd.NEXT_RECORD else b"\n"
    stored = opening + text + line_end
    length = fields.get("content_length")
    if length is None:
        unfinished = end is RecordEnd.MAY_GROW and not region.endswith(b"\n")
        return ([], True) if unfinished else ([(_with_body(message, region, None), stored)], False)
    if not LENGTH.fullmatch(str(length)):
        return [(_with_body(message, unescape(region), False), stored)], False
    length = int(length)
    kept = without_crash_residue(region, length, end)
    pairs, unfinished = _verified(message, opening + head, kept, length, closed=end is not RecordEnd.MAY_GROW)
    if len(pairs) == 1 and kept == region and not unfinished:
        pairs = [(pairs[0][0], stored)]
    return pairs, unfinished or (end is RecordEnd.MAY_GROW and kept != region)


def without_crash_residue(region: bytes, length: int, end: RecordEnd) -> bytes:
    """The region of a record without what a crash left of the next record, below a body of ``length`` bytes: blocks
    of NUL and all that follows them, and a partial record start."""
    unwritten = region.find(b"\0")
    if unwritten >= 0:  # even in the body: text after it may belong to a record that lost its header
        residue = max(unwritten, length)
        region = region[:residue] if region[residue:].strip(b"\r\n") else region
    elif end is RecordEnd.NEXT_RECORD:
        return region
    return region[: find_partial_start(region, length)]


def _verified(
    message: Message, head: bytes, region: bytes, length: int, *, closed: bool
) -> tuple[list[StoredMessage], bool]:
    """Verify the body against its length, and read what is below it."""
    body = region.rstrip(b"\r\n")
    if len(body) < length:
        return ([(_with_body(message, unescape(body), False), head + region)], False) if closed else ([], True)
    if len(body) == length:
        return [(_with_body(message, unescape(body), True), head + body + b"\n")], False
    below = region[length:] if length else b"\n" + region  # a one-line message can follow the closing line directly
    one_liners, text, unfinished = one_line_messages(below, lambda _, count: f"{message.msg_id}+{count}", closed=closed)
    text = text if length else text.removeprefix(b"\n")
    own = head + body[:length] + text.rstrip(b"\r\n") + b"\n"
    if START.search(own, len(head)):  # the lines around a one-line message, put together, would start a record
        own = head + body[:length] + escape(text).rstrip(b"\r\n") + b"\n"
    joined = unescape(body[:length]) + text
    return [(_with_body(message, joined, not text.strip(b"\r\n")), own), *one_liners], unfinished


def _with_body(message: Message, body: bytes, intact: bool | None) -> Message:
    if b"\0" in body:
        intact = False
    return replace(message, body=body.rstrip(b"\r\n").decode("utf-8", "replace"), intact=intact)
