"""A file taken apart: every byte is in one piece, and each piece knows its place and its flaws.

``Decoder`` gives messages and passes over what is none. Who checks, mends or merges files needs the
rest too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from messagebus import header
from messagebus.codec.decode import LENGTH, Then, read_plain, read_record
from messagebus.codec.framing import BOM, PLAIN_START, header_end, id_of, is_crlf, lead, split
from messagebus.codec.oneline import Found, one_liners
from messagebus.header import HeaderError
from messagebus.message import Message


class Piece(NamedTuple):
    """A record, or the text above the first one, of which ``mark`` is empty.

    ``mark`` is the record start (a line end, the blank line, ``---``, ``msg_id:``), ``text`` all that
    follows up to the next one. ``offset`` and ``line`` (from 1) tell where the ``---`` stands, or
    the first line of the text.
    """

    offset: int
    line: int
    mark: bytes
    text: bytes

    @property
    def raw(self) -> bytes:
        """The piece from its ``---`` on, as it stands in the file; ends with a line end."""
        raw = self.mark.lstrip(b"\r\n") + self.text
        return raw if raw.endswith(b"\n") else raw + b"\n"

    @property
    def msg_id(self) -> str:
        """What stands behind ``msg_id:``."""
        return id_of(self.text)

    @property
    def is_crlf(self) -> bool:
        """An editor converted it."""
        return is_crlf(self.mark) or (not self.mark and b"\r\n" in self.text)


def survey(chunks: Iterable[bytes]) -> Iterator[Piece]:
    """The pieces of a file, which is given in chunks from its start on."""
    chunks = iter(chunks)
    first = next(chunks, b"")
    bom = len(BOM) if first.startswith(BOM) else 0
    offset, line = bom - 2, -1  # two line ends in front make the first record's start look like every other
    held = b"\n\n"
    for chunk in chain((first[bom:],), chunks):
        held += chunk
        texts, marks = split(held)
        if not marks:
            continue
        held = marks.pop() + texts.pop()
        for mark, text in zip((b"", *marks), texts, strict=True):
            yield from _piece(offset, line, mark, text)
            offset += len(mark) + len(text)
            line += mark.count(b"\n") + text.count(b"\n")
    texts, marks = split(held)
    yield from _piece(offset, line, *((marks[0], texts[1]) if marks else (b"", texts[0])))


def _piece(offset: int, line: int, mark: bytes, text: bytes) -> Iterator[Piece]:
    if mark:
        yield Piece(offset + lead(mark), line + mark[: lead(mark)].count(b"\n"), mark, text)
    elif above := text.lstrip(b"\r\n"):
        skipped = text[: len(text) - len(above)]
        yield Piece(offset + len(skipped), line + skipped.count(b"\n"), b"", above)


class Record(NamedTuple):
    """What a piece says: its messages, each with its bytes, and what is wrong with it.

    ``flaw`` is "", "header", "torn", "length" or "unowned"; ``why`` says it for a person. ``other`` is
    text that belongs to no message.
    """

    found: list[Found]
    flaw: str = ""
    why: str = ""
    other: bytes = b""


def plain_message(piece: Piece) -> Message | None:
    """The message of a piece that is just as we write it, the fast way; None of any other."""
    return read_plain(piece.text.removesuffix(b"\n")) if piece.mark == PLAIN_START else None


def examine(piece: Piece, *, is_last: bool) -> Record:
    """Read a piece; ``is_last`` of its file, where no record follows."""
    if not piece.mark:
        return _above(piece)
    found = read_record(piece.mark, piece.text, Then.NOTHING if is_last else Then.A_RECORD)[0]
    if not found:
        return Record([], "header", _why_unread(piece))
    message, text = found[0][0], piece.text.replace(b"\r\n", b"\n") if piece.is_crlf else piece.text
    end = header_end(text)
    if message.intact is not False or end is None:
        return Record(found, *_unwritten_below(text))
    return Record(found, *_flaw_of_body(text, end))


def _flaw_of_body(text: bytes, end: re.Match[bytes]) -> tuple[str, str]:
    length = str(header.parse("msg_id:" + text[: end.start()].decode("utf-8", "replace"))["content_length"])
    body = text[end.end() :].rstrip(b"\r\n")
    if b"\0" in body:
        return ("torn", "it holds blocks that a crash left unwritten")
    if not LENGTH.fullmatch(length):
        return ("length", f"content_length is {length!r:.40}, which is no number")
    if len(body) < int(length):
        return ("torn", f"{int(length) - len(body):,} of its {int(length):,} bytes are missing")
    return ("length", f"it has {len(body):,} bytes, and content_length says {int(length):,}")


def _above(piece: Piece) -> Record:
    """Text above the first record."""
    lines, other, _ = one_liners(
        b"\n" + piece.text, lambda line, _: f"LEGACY-LINE-{piece.line + line - 1:09d}", closed=True
    )
    other = other.strip(b"\r\n")
    return Record(lines, "unowned", "it stands above the first record", other) if other else Record(lines)


def _unwritten_below(text: bytes) -> tuple[str, str, bytes]:
    """Blocks of NUL below a whole body, with what follows them."""
    start = text.find(b"\0")
    return ("unowned", "a crash left it below a whole record", text[start:]) if start >= 0 else ("", "", b"")


def _why_unread(piece: Piece) -> str:
    text = piece.text.replace(b"\r\n", b"\n") if piece.is_crlf else piece.text
    end = header_end(text)
    if not end:
        return "no line --- closes it within 64 KiB"
    try:
        header.parse("msg_id:" + text[: end.start()].decode("utf-8", "replace"))
    except HeaderError as error:
        return " ".join(str(error).split())[:200]
    return "its msg_id is quoted or empty, or a field has another shape than it may"
