"""A file taken apart: every byte is in one piece, and each span knows its place and its damage.

``Decoder`` gives messages and passes over what is none. Who checks, mends or merges files needs the
rest too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal, NamedTuple

from messagebus.codec import header
from messagebus.codec.decode import LENGTH, RecordEnd, read_plain, read_record, without_unwritten
from messagebus.codec.framing import BOM, PLAIN_START, first_start, header_end, id_of, is_crlf, lead, split
from messagebus.codec.header import HeaderError
from messagebus.codec.one_line import Stored, one_line_messages
from messagebus.message import Message

_OPENING = re.compile(rb"\A---\r+\n")
Damage = Literal["", "header", "torn", "length"]
_Unit = tuple[bytes, bytes]  # a record start, and what follows it


class Span(NamedTuple):
    """A record, or the text above the first one, of which ``mark`` is empty.

    ``mark`` is the record start (a line end, the blank line, ``---``, ``msg_id:``), ``text`` all that
    follows, without the line end before the next one. ``offset`` and ``line`` (from 1) tell where
    the ``---`` stands, or the first line of the text.
    """

    offset: int
    line: int
    mark: bytes
    text: bytes
    is_last: bool = False

    @property
    def raw(self) -> bytes:
        """The piece from its ``---`` on, as it stands in the file, with its line end."""
        return self.mark.lstrip(b"\r\n") + self.text + b"\n"

    @property
    def msg_id(self) -> str:
        """What stands behind ``msg_id:``."""
        return id_of(self.text) if self.mark else ""

    @property
    def is_crlf(self) -> bool:
        """An editor converted it."""
        return is_crlf(self.mark) or (not self.mark and b"\r\n" in self.text)

    def as_lf(self) -> bytes:
        """The same bytes as ``raw``, as they were before an editor converted them."""
        return as_lf(self.raw, crlf=self.is_crlf)


def as_lf(raw: bytes, *, crlf: bool) -> bytes:
    """A record or other text that an editor may have converted, whose opening ``---`` ends in LF again."""
    raw = raw.replace(b"\r\n", b"\n") if crlf else raw
    return _OPENING.sub(b"---\n", raw, count=1)


def scan(chunks: Iterable[bytes]) -> Iterator[Span]:
    """The pieces of a file, which is given in chunks from its start on."""
    chunks = iter(chunks)
    first = b""
    while len(first) < len(BOM) and (chunk := next(chunks, b"")):
        first += chunk
    bom = len(BOM) if first.startswith(BOM) else 0
    offset, line = bom - 2, -1  # two line ends in front make the first record's start look like every other
    units = _units(chain((first[bom:],), chunks))
    unit: _Unit | None = next(units)
    while unit:
        mark, text = unit
        unit = next(units, None)
        body = text.lstrip(b"\r\n") if not mark else text
        skipped = mark[: lead(mark)] if mark else text[: len(text) - len(body)]
        if mark or body:
            body = body if unit else body.removesuffix(b"\n")
            yield Span(offset + len(skipped), line + skipped.count(b"\n"), mark, body, is_last=unit is None)
        offset += len(mark) + len(text)
        line += mark.count(b"\n") + text.count(b"\n")


def _units(chunks: Iterable[bytes]) -> Iterator[_Unit]:
    """Each record start with what follows it; the first has none."""
    mark, held, fresh = b"", b"\n\n", b""
    for chunk in chunks:
        fresh += chunk
        if len(fresh) >= len(held):  # a long record is not looked over again at each chunk
            *settled, (mark, held) = _split(mark, held + fresh)
            yield from settled
            fresh = b""
    yield from _split(mark, held + fresh)


def _split(mark: bytes, data: bytes) -> list[_Unit]:
    """What follows a record start, or where there is no ``mark``, the top of the file."""
    if mark:
        texts, marks = split(data)
        return list(zip((mark, *marks), texts, strict=True))
    first = first_start(data)
    if first < 0:
        return [(b"", data)]
    above = first - 2 if data.endswith(b"\n\n", 0, first) else first - 1
    end = data.index(b":", first) + 1
    return [(b"", data[:above]), *_split(data[above:end], data[end:])]


class Record(NamedTuple):
    """What a span holds: its messages, each with its bytes, and what is damaged in it.

    ``why`` explains the damage to a person. ``stray`` is text that belongs to no message.
    """

    messages: list[Stored]
    damage: Damage = ""
    why: str = ""
    stray: bytes = b""


def plain_message(piece: Span) -> Message | None:
    """The message of a piece that is just as we write it, the fast way; None of any other."""
    return read_plain(piece.text) if piece.mark == PLAIN_START else None


def examine(piece: Span) -> Record:
    """Read a piece of a file that nobody writes to."""
    if not piece.mark:
        return _above(piece)
    then = RecordEnd.END_OF_FILE if piece.is_last else RecordEnd.NEXT_RECORD
    found = read_record(piece.mark, piece.text, then)[0]
    if not found:
        return Record([], "header", _why_unread(piece))
    text = piece.text.replace(b"\r\n", b"\n") if piece.is_crlf else piece.text
    head, region = split_header(text)
    length = header.parse("msg_id:" + head.decode("utf-8", "replace")).get("content_length")
    if length is None:
        return Record(found, *_unwritten(region))
    if not LENGTH.fullmatch(str(length)):
        return Record(found, "length", f"content_length is {str(length)!r:.40}, which is no number")
    own = without_unwritten(region, int(length), then)
    other = region[len(own) :].strip(b"\r\n")
    return Record(found, *_damage_of_body(own.rstrip(b"\r\n"), int(length), found[0][0]), other)


def split_header(text: bytes) -> tuple[bytes, bytes]:
    """The header of a record that has one, and what stands behind it."""
    end = header_end(text)
    return (text[: end.start()], text[end.end() :]) if end else (text, b"")


def _damage_of_body(body: bytes, length: int, message: Message) -> tuple[Damage, str]:
    damage, why = _unwritten(body)
    if damage or message.intact:
        return damage, why
    if len(body) < length:
        return "torn", f"{length - len(body):,} of the {length:,} bytes of its body are missing"
    return "length", f"its body has {len(body):,} bytes, and content_length says {length:,}"


def _unwritten(body: bytes) -> tuple[Damage, str]:
    return ("torn", "it holds blocks that a crash left unwritten") if b"\0" in body else ("", "")


def _above(piece: Span) -> Record:
    """Text above the first record."""
    text = b"\n" + piece.text
    unwritten = text.find(b"\0")  # nothing is read from that line on
    readable = text if unwritten < 0 else text[: text.rfind(b"\n", 0, unwritten) + 1]
    lines, other, _ = one_line_messages(readable, lambda line, _: f"{piece.line + line - 1}", closed=True)
    return Record(lines, stray=(other + text[len(readable) :]).strip(b"\r\n\t "))


def _why_unread(piece: Span) -> str:
    text = piece.text.replace(b"\r\n", b"\n") if piece.is_crlf else piece.text
    if not header_end(text):
        return "no line --- closes it within 64 KiB"
    try:
        fields = header.parse("msg_id:" + split_header(text)[0].decode("utf-8", "replace"))
    except HeaderError as error:
        return " ".join(str(error).replace('in "<unicode string>", ', "at ").split())[:200]
    if not isinstance(fields.get("msg_id"), str) or fields["msg_id"] != piece.msg_id:
        return "its msg_id is quoted, empty or no plain text"
    return "one of its fields has another shape than it may"
