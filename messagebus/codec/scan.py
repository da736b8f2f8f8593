"""A file taken apart: every byte is in one span, and each span knows where it is and what is damaged in it.

``Decoder`` gives messages and passes over all else. Checking, repairing and merging files need the rest too:
``scan`` gives the spans of a file, ``examine`` reads one. ``framing`` has the names of the parts of a record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal, NamedTuple

from messagebus.codec.canonical import read_canonical
from messagebus.codec.fields import parse_header
from messagebus.codec.framing import (
    BOM,
    OPENING,
    PLAIN_START,
    find_first_opening,
    header_end,
    id_of,
    is_crlf,
    separator_length,
    split,
)
from messagebus.codec.header import HeaderError
from messagebus.codec.lenient import LENGTH, RecordEnd, read_record, without_crash_residue
from messagebus.codec.one_line import StoredMessage, one_line_messages
from messagebus.message import Message

_ABOVE = len(PLAIN_START) - len(OPENING)  # bytes, and lines
_LINES = PLAIN_START.count(b"\n")
_CR_OPENING = re.compile(rb"\A---\r+\n")
Damage = Literal["", "header", "torn", "length"]
_StartAndText = tuple[bytes, bytes]


class Span(NamedTuple):
    """A record, or the text above the first one, which has no ``start``.

    ``start`` is the record start (a line end, the blank line, ``---``, ``msg_id:``), ``text`` all that
    follows, without the line end that begins the next start. ``offset`` and ``line`` (from 1) are those
    of the ``---``, or of the first line of the text.
    """

    offset: int
    line: int
    start: bytes
    text: bytes
    is_last: bool = False

    @property
    def raw(self) -> bytes:
        """The span from its ``---`` on, as it is in the file, with its line end."""
        return self.start.lstrip(b"\r\n") + self.text + b"\n"

    @property
    def msg_id(self) -> str:
        """All that follows ``msg_id:`` on its line."""
        return id_of(self.text) if self.start else ""

    @property
    def is_crlf(self) -> bool:
        """Whether an editor converted it."""
        return is_crlf(self.start) or (not self.start and b"\r\n" in self.text)

    def as_lf(self) -> bytes:
        """The same bytes as ``raw``, as they were before an editor converted them."""
        return as_lf(self.raw, crlf=self.is_crlf)


def as_lf(raw: bytes, *, crlf: bool) -> bytes:
    """A record or other text that an editor may have converted; its opening ``---`` ends in LF again."""
    raw = raw.replace(b"\r\n", b"\n") if crlf else raw
    return _CR_OPENING.sub(b"---\n", raw, count=1)


def scan(chunks: Iterable[bytes]) -> Iterator[Span]:
    """The spans of a file, which is given in chunks from its beginning on."""
    bom, chunks = _without_bom(chunks)
    offset, line = bom - 2, -1  # two line ends in front make the first record's start look like every other
    parts = _parts(chunks)
    part: _StartAndText | None = next(parts)
    while part:
        start, text = part
        part = next(parts, None)
        if start is PLAIN_START and part:  # nearly always
            yield Span(offset + _ABOVE, line + _ABOVE, start, text)
            offset += len(start) + len(text)
            line += _LINES + text.count(b"\n")
            continue
        content = text.lstrip(b"\r\n") if not start else text
        skipped = start[: separator_length(start)] if start else text[: len(text) - len(content)]
        if start or content:
            content = content if part else content.removesuffix(b"\n")
            yield Span(offset + len(skipped), line + skipped.count(b"\n"), start, content, is_last=part is None)
        offset += len(start) + len(text)
        line += start.count(b"\n") + text.count(b"\n")


def scan_ids(chunks: Iterable[bytes]) -> Iterator[str]:
    """The ids of all records of a file, as ``scan`` gives them."""
    for start, text in _parts(_without_bom(chunks)[1]):
        if start:
            yield id_of(text)


def _without_bom(chunks: Iterable[bytes]) -> tuple[int, Iterator[bytes]]:
    """How long the byte order mark of a file is, and the chunks without it."""
    chunks = iter(chunks)
    top = b""
    while len(top) < len(BOM) and (chunk := next(chunks, None)) is not None:  # a chunk may be empty
        top += chunk
    bom = len(BOM) if top.startswith(BOM) else 0
    return bom, chain((top[bom:],), chunks)


def _parts(chunks: Iterable[bytes]) -> Iterator[_StartAndText]:
    """Each record start with the text that follows it; the text above the first one has an empty start."""
    start, pending, fresh = b"", b"\n\n", b""
    for chunk in chunks:
        fresh += chunk
        if len(fresh) >= len(pending):  # else a long record would be searched again at each chunk
            *settled, (start, pending) = _split_after(start, pending + fresh)
            yield from settled
            fresh = b""
    yield from _split_after(start, pending + fresh)


def _split_after(start: bytes, data: bytes) -> list[_StartAndText]:
    """What follows a record start; where there is no ``start`` yet, ``data`` is the top of the file."""
    if start:
        texts, starts = split(data)
        return list(zip((start, *starts), texts, strict=True))
    opening = find_first_opening(data)
    if opening < 0:
        return [(b"", data)]
    above = opening - 2 if data.endswith(b"\n\n", 0, opening) else opening - 1
    end = data.index(b":", opening) + 1
    return [(b"", data[:above]), *_split_after(data[above:end], data[end:])]


class Examined(NamedTuple):
    """A span as it was read: its messages, each with its bytes, and what is damaged in it.

    ``why`` explains the damage to a person. ``stray`` is text that belongs to no message.
    """

    messages: list[StoredMessage]
    damage: Damage = ""
    why: str = ""
    stray: bytes = b""


def canonical_message(span: Span) -> Message | None:
    """The message of a span that is exactly as this library writes it, the fast way; None for any other."""
    return read_canonical(span.text) if span.start == PLAIN_START else None


def examine(span: Span) -> Examined:
    """Read a span of a file that no process is writing to."""
    if not span.start:
        return _examine_preamble(span)
    end = RecordEnd.END_OF_FILE if span.is_last else RecordEnd.NEXT_RECORD
    stored = read_record(span.start, span.text, end)[0]
    if not stored:
        return Examined([], "header", _why_unreadable(span))
    head, region = split_header(_lf_text(span))
    length = parse_header(head).get("content_length")
    if length is None:
        return Examined(stored, *_unwritten(region))
    if not LENGTH.fullmatch(str(length)):
        return Examined(stored, "length", f"content_length is {str(length)!r:.40}, which is not a number of bytes")
    kept = without_crash_residue(region, int(length), end)
    stray = region[len(kept) :].strip(b"\r\n")
    return Examined(stored, *_damage_of_body(kept.rstrip(b"\r\n"), int(length), stored[0][0]), stray)


def split_header(text: bytes) -> tuple[bytes, bytes]:
    """The header and the region in the text of a record; all of it is header where no line closes it."""
    closing = header_end(text)
    return (text[: closing.start()], text[closing.end() :]) if closing else (text, b"")


def _lf_text(span: Span) -> bytes:
    return span.text.replace(b"\r\n", b"\n") if span.is_crlf else span.text


def _damage_of_body(body: bytes, length: int, message: Message) -> tuple[Damage, str]:
    damage, why = _unwritten(body)
    if damage or message.intact:
        return damage, why
    if len(body) < length:
        return "torn", f"{length - len(body):,} of the {length:,} bytes of its body are missing"
    return "length", f"its body has {len(body):,} bytes, but content_length says {length:,}"


def _unwritten(body: bytes) -> tuple[Damage, str]:
    return ("torn", "it holds blocks that a crash left unwritten") if b"\0" in body else ("", "")


def _examine_preamble(span: Span) -> Examined:
    """The text above the first record."""
    text = b"\n" + span.text
    unwritten = text.find(b"\0")  # nothing is read from that line on
    readable = text if unwritten < 0 else text[: text.rfind(b"\n", 0, unwritten) + 1]
    messages, stray, _ = one_line_messages(readable, lambda line, _: f"{span.line + line - 1}", closed=True)
    return Examined(messages, stray=(stray + text[len(readable) :]).strip(b"\r\n\t "))


def _why_unreadable(span: Span) -> str:
    text = _lf_text(span)
    if not header_end(text):
        return "no line '---' closes its header within 64 KiB"
    try:
        fields = parse_header(split_header(text)[0])
    except HeaderError as error:
        return " ".join(str(error).replace('in "<unicode string>", ', "at ").split())[:200]
    if not isinstance(fields.get("msg_id"), str) or fields["msg_id"] != span.msg_id:
        return "its msg_id is quoted, empty or not plain text"
    return "one of its fields has the wrong shape"
