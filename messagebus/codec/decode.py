"""Bytes to messages.

Read it in this order:

1. ``Decoder`` splits the bytes of a segment at the record starts. A record is settled once the next start has been
   seen; what follows the last start is buffered until ``finish``. Above the first start is the preamble, of which
   only one-line messages are read.
2. ``read_canonical`` (canonical.py) decodes a whole record that is written exactly as ``encode`` writes it. Nearly
   all are.
3. ``read_record`` (lenient.py) decodes any other: foreign, edited, torn, or unfinished.

Both give the same message where both can read a record. ``framing`` has the names of the parts of a record;
SPEC.md, "The file".
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from messagebus.codec.canonical import read_canonical
from messagebus.codec.framing import (
    BOM,
    OPENING,
    PLAIN_START,
    find_first_opening,
    header_end,
    separator_length,
    split,
)
from messagebus.codec.lenient import RecordEnd, read_record
from messagebus.codec.one_line import StoredMessage, one_line_messages, preamble_id
from messagebus.message import Message

if TYPE_CHECKING:
    from messagebus.filters import Filter

_LONG_PREAMBLE = 1024 * 1024  # bytes
_LINES_OF_A_START = 3


class Decoder:
    """Feed it the bytes of one segment; it gives the messages, in order.

    ``offset`` is where the first byte is in the file: 0, or the opening of a record.
    ``record_offset`` is the offset of the record that the last message given belongs to, and
    ``unfinished`` is whether ``finish`` kept something back. A list given as ``stored`` is
    filled anew by every call, with the bytes of each message given as they are in the file.
    Records that ``wanted`` excludes (filters.py) are passed over from then on: not all others match.
    """

    def __init__(self, offset: int = 0, stored: list[bytes] | None = None, wanted: Filter | None = None) -> None:
        self.record_offset = offset
        self.unfinished = False
        self._stored = stored
        self.wanted = wanted
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
        if self.wanted and self._pass_over():
            return messages
        (_, *texts), starts = split(self._buffer)
        last_start, last_text = starts.pop(), texts.pop()
        if self.wanted:
            messages += self._settled_and_wanted(self.wanted, starts, texts)
        else:
            messages += self._settled(self._buffer_offset, starts, texts)
        self._buffer_offset += len(self._buffer) - len(last_start) - len(last_text)
        self._buffer = last_start + last_text
        return messages

    def _settled(self, offset: int, starts: list[bytes], texts: list[bytes]) -> list[Message]:
        """The messages of the records at ``offset``, each of which another one follows."""
        read = [
            read_canonical(text) if start is PLAIN_START else None for start, text in zip(starts, texts, strict=True)
        ]
        messages = [message for message in read if message]
        if len(messages) == len(read) > 0 and self._stored is None:  # nearly always: only the last opening matters
            self.record_offset = offset + sum(map(len, starts)) + sum(map(len, texts[:-1])) - len(OPENING)
            return messages
        messages.clear()
        for start, text, message in zip(starts, texts, read, strict=True):
            if message:
                pairs = [(message, start[2:] + text + b"\n")]
            else:
                pairs = read_record(start, text, RecordEnd.NEXT_RECORD)[0]
            if pairs:
                messages += self._give(pairs)
                self.record_offset = offset + separator_length(start)
            offset += len(start) + len(text)
        return messages

    def _settled_and_wanted(self, wanted: Filter, starts: list[bytes], texts: list[bytes]) -> list[Message]:
        messages = []
        offset = self._buffer_offset
        for start, text in zip(starts, texts, strict=True):
            if not wanted.excludes(text, partial(_header_of, text)):
                messages += self._settled(offset, [start], [text])
            offset += len(start) + len(text)
        return messages

    def _pass_over(self) -> bool:
        """Drop all but the last record, unsettled yet, if it is certain that none is wanted."""
        if b"\r" in self._buffer or not self.wanted or not self.wanted.excludes(self._buffer, self._headers):
            return False
        at = self._buffer.rfind(PLAIN_START)
        self._buffer = self._buffer[at:]
        self._buffer_offset += at
        return True

    def _headers(self) -> bytes:
        """The headers of all records that are buffered and hold a backslash."""
        data, headers = self._buffer, []
        at = data.find(b"\\")
        while at >= 0:
            start = data.rfind(PLAIN_START, 0, at) + len(PLAIN_START)
            headers.append(data[start : data.find(b"\n---\n", start)])
            following = data.find(PLAIN_START, at)
            at = data.find(b"\\", following) if following >= 0 else -1
        return b"".join(headers)

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
