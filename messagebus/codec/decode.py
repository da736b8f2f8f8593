"""Bytes to messages."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum, auto
from functools import lru_cache

from messagebus.codec import header
from messagebus.codec.fields import from_fields
from messagebus.codec.framing import (
    BOM,
    MAX_HEADER,
    OTHER_FIELDS,
    PLAIN_START,
    START,
    escape,
    first_start,
    header_end,
    id_line,
    is_crlf,
    kept_before_start,
    lead,
    split,
    unescape,
)
from messagebus.codec.header import HeaderError
from messagebus.codec.one_line import Stored, one_line_messages, preamble_id
from messagebus.message import SCALAR_FIELDS, Message, new_message

_SCOPE = frozenset(SCALAR_FIELDS)
_LONGEST_PLAIN = MAX_HEADER - OTHER_FIELDS
_LONG_PREAMBLE = 1024 * 1024  # bytes
_LINES_OF_A_START = 3
LENGTH = re.compile(r"[0-9]{1,12}")


class RecordEnd(Enum):
    """What comes behind the bytes of a record."""

    NEXT_RECORD = auto()
    END_OF_FILE = auto()
    MAY_GROW = auto()


class Decoder:
    """Feed it the bytes of one segment; it gives the messages, in order.

    ``offset`` is where the first byte lies in the file: 0, or the start of a record.
    ``place`` is the offset of the record that the last message given belongs to, and
    ``unfinished`` tells whether ``finish`` kept something back. A list given as ``stored`` is
    filled anew by every call, with the bytes of each message given as they stand in the file.
    """

    def __init__(self, offset: int = 0, stored: list[bytes] | None = None) -> None:
        self.place = offset
        self.unfinished = False
        self._stored = stored
        # Two line ends in front make the start of a file look like every other record's.
        self._rest = b"\n\n"
        self._rest_at = offset - 2
        self._in_preamble = True
        self._lines_before = 0  # of the preamble, read already
        self._unwritten = False  # a block of it; what follows belongs to nobody
        self._bom_may_come = offset == 0

    @property
    def waiting(self) -> int:
        """Bytes kept of the last record, which more bytes may still extend."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[Message]:
        """The messages of every record that another record follows."""
        self._rest += data
        if self._bom_may_come and not self._drop_bom():
            return []
        if self._stored is not None:
            self._stored.clear()
        messages = self._preamble() if self._in_preamble else []
        if self._in_preamble:
            return messages
        (_, *pieces), marks = split(self._rest)
        at = self._rest_at
        last, last_piece = marks.pop(), pieces.pop()
        for mark, piece in zip(marks, pieces, strict=True):
            message = read_plain(piece) if mark == PLAIN_START else None
            if message is not None:
                messages.append(message)
                self.place = at + 2
                if self._stored is not None:
                    self._stored.append(mark[2:] + piece + b"\n")
            elif found := read_record(mark, piece, RecordEnd.NEXT_RECORD)[0]:
                messages += self._give(found)
                self.place = at + lead(mark)
            at += len(mark) + len(piece)
        self._rest = last + last_piece
        self._rest_at = at
        return messages

    def finish(self, *, closed: bool) -> list[Message]:
        """The messages of the last record.

        ``closed`` says that these bytes will never grow, so that what looks unfinished is
        torn; otherwise it is kept back.
        """
        if self._stored is not None:
            self._stored.clear()
        if self._in_preamble:
            return self._one_liners(self._rest, closed=closed)
        (_, record), (mark,) = split(self._rest)
        then = RecordEnd.END_OF_FILE if closed else RecordEnd.MAY_GROW
        found, self.unfinished = read_record(mark, record, then)
        if found:
            self.place = self._rest_at + lead(mark)
        return self._give(found)

    def _give(self, found: list[Stored]) -> list[Message]:
        if self._stored is not None:
            self._stored += [stored for _, stored in found]
        return [message for message, _ in found]

    def _preamble(self) -> list[Message]:
        """The one-line messages above the first record, once that is there; of a long preamble, before."""
        first = first_start(self._rest, unwritten=self._unwritten)
        if first < 0:
            return self._settled_preamble()
        self._in_preamble = False
        text = self._rest[: first - 1]
        self._rest = b"\n\n" + self._rest[first:]
        self._rest_at += first - 2
        return self._one_liners(text, closed=True)

    def _settled_preamble(self) -> list[Message]:
        """The one-line messages of a long preamble, but for what may begin a record."""
        if len(self._rest) < _LONG_PREAMBLE:
            return []
        end = len(self._rest)
        for _ in range(_LINES_OF_A_START):
            end = max(self._rest.rfind(b"\n", 0, end), 0)
        text, self._rest = self._rest[:end], self._rest[end:]
        self._rest_at += end
        self._shorten_last_line()
        return self._one_liners(text, closed=True)

    def _shorten_last_line(self) -> None:
        """Of a line that goes on and on, and begins nothing, keep no more than whether it is blank."""
        begin = self._rest.rfind(b"\n") + 1
        line = self._rest[begin:]
        if len(line) > _LONG_PREAMBLE and not line.startswith(b"---") and line.lstrip(b" \t")[:1] not in (b"", b"["):
            kept = b"\0" if b"\0" in line else b"?" if line.strip(b"\r") else b"\r"
            self._rest = self._rest[:begin] + kept
            self._rest_at += len(line) - len(kept)

    def _one_liners(self, text: bytes, *, closed: bool) -> list[Message]:
        before = self._lines_before
        self._lines_before += text.count(b"\n")
        if self._unwritten:
            return []
        if (unwritten := text.find(b"\0")) >= 0:
            # A crash left it unwritten, and what follows may be the body of a record that lost its header.
            self._unwritten = True
            text, closed = text[: text.rfind(b"\n", 0, unwritten) + 1], True
        found, _, self.unfinished = one_line_messages(text, lambda line, _: preamble_id(before + line), closed=closed)
        return self._give(found)

    def _drop_bom(self) -> bool:
        """Take a byte order mark off the start of the file; False: not enough bytes to tell."""
        text = self._rest[2:]
        if len(text) < len(BOM) and BOM.startswith(text):
            return False
        self._bom_may_come = False
        if text.startswith(BOM):
            self._rest = b"\n\n" + text[len(BOM) :]
            self._rest_at += len(BOM)
        return True


def read_plain(piece: bytes) -> Message | None:
    """A whole record as ``encode`` writes it, the fast way; None where it is any other."""
    head, _, body = piece.partition(b"\n---\n")
    head, _, length = head.rpartition(b"\ncontent_length: ")
    if head[:5] != b" MSG-" or head[31:36] != b"\nts: " or head[63:64] != b"\n":
        return None
    if length != b"%d" % len(body) or body.endswith((b"\n", b"\r")):
        return None
    try:
        scope = _plain_scope(head[63:])
        ts = datetime.fromisoformat(head[36:63].decode())
        msg_id = head[1:31].decode()
    except ValueError:
        return None
    if not msg_id[4:].isalnum() or ts.tzinfo is not UTC or b"\0" in body:
        return None
    body = unescape(body)
    return new_message(msg_id, ts, *scope, (), (), {}, body.decode("utf-8", "replace"), True)


@lru_cache(maxsize=512)
def _plain_scope(lines: bytes) -> tuple[str, str, str, str, str]:
    """The fields between ``ts`` and ``content_length``; most records repeat those of another.

    Raises ValueError where they are more than single values.
    """
    fields = header.parse_subset(lines[1:].decode())
    if fields is None or b":\n" in lines or not fields.keys() <= _SCOPE or len(lines) > _LONGEST_PLAIN:
        raise ValueError("not a plain scope")
    kind, project_id, task_id, run_id, issue_id = (fields.get(name, "") for name in SCALAR_FIELDS)
    return kind or "INFO", project_id, task_id, run_id, issue_id


def read_record(mark: bytes, piece: bytes, then: RecordEnd) -> tuple[list[Stored], bool]:
    """The messages of one record, given its start and the rest; True where some is kept back.

    A record that cannot be read gives none, and spoils no other.
    """
    text = piece.replace(b"\r\n", b"\n") if is_crlf(mark) else piece
    end = header_end(text)
    if not end:
        return [], then is RecordEnd.MAY_GROW
    try:
        fields = header.parse("msg_id:" + text[: end.start()].decode("utf-8", "replace"))
        message = from_fields(fields)
    except HeaderError:
        return [], False
    if message.msg_id.encode() != id_line(piece):
        return [], False  # quoted, or no UTF-8: whoever looks for a cursor looks for these bytes
    head, region = text[: end.end()], text[end.end() :]
    start = mark.lstrip(b"\r\n")
    line_end = b"" if piece.endswith(b"\n") and then is not RecordEnd.NEXT_RECORD else b"\n"
    stored = start + piece + line_end
    length = fields.get("content_length")
    if length is None:
        unfinished = then is RecordEnd.MAY_GROW and not region.endswith(b"\n")
        return ([], True) if unfinished else ([(_with_body(message, region, None), stored)], False)
    if not LENGTH.fullmatch(str(length)):
        return [(_with_body(message, unescape(region), False), stored)], False
    length = int(length)
    whole = without_unwritten(region, length, then)
    found, unfinished = _with_length(message, start + head, whole, length, closed=then is not RecordEnd.MAY_GROW)
    if len(found) == 1 and whole == region and not unfinished:
        found = [(found[0][0], stored)]
    return found, unfinished or (then is RecordEnd.MAY_GROW and whole != region)


def without_unwritten(region: bytes, length: int, then: RecordEnd) -> bytes:
    """What stands behind a header, without what a crash left of the next record below its body:
    blocks of NUL and whatever follows them, and the first bytes of a start."""
    unwritten = region.find(b"\0")
    if unwritten >= 0:  # in the body: what stands below may be that of a record that lost its header
        end = max(unwritten, length)
        region = region[:end] if region[end:].strip(b"\r\n") else region
    elif then is RecordEnd.NEXT_RECORD:
        return region
    return region[: kept_before_start(region, length)]


def _with_length(
    message: Message, head: bytes, region: bytes, length: int, *, closed: bool
) -> tuple[list[Stored], bool]:
    """Verify the body against its length, and read what stands below it."""
    body = region.rstrip(b"\r\n")
    if len(body) < length:
        return ([(_with_body(message, unescape(body), False), head + region)], False) if closed else ([], True)
    if len(body) == length:
        return [(_with_body(message, unescape(body), True), head + body + b"\n")], False
    below = region[length:] if length else b"\n" + region  # a line can stand right below the header
    added, text, unfinished = one_line_messages(below, lambda _, count: f"{message.msg_id}+{count}", closed=closed)
    text = text if length else text.removeprefix(b"\n")
    own = head + body[:length] + text.rstrip(b"\r\n") + b"\n"
    if START.search(own, len(head)):  # two lines with a message between them: together they begin a record
        own = head + body[:length] + escape(text).rstrip(b"\r\n") + b"\n"
    joined = unescape(body[:length]) + text
    return [(_with_body(message, joined, not text.strip(b"\r\n")), own), *added], unfinished


def _with_body(message: Message, stored: bytes, intact: bool | None) -> Message:
    if b"\0" in stored:
        intact = False
    return replace(message, body=stored.rstrip(b"\r\n").decode("utf-8", "replace"), intact=intact)
