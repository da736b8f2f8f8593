"""Records that stand in the text of another, because the blank line between the two is missing.

Only a record without a length can have them unseen. Whether such a text is a record that was swallowed,
or one that somebody quoted, cannot be told from the record alone: ``check.py`` compares ids.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from messagebus.codec.decode import RecordEnd, read_record
from messagebus.codec.framing import MAX_HEADER, OPENING_PATTERN, header_end
from messagebus.codec.scan import Span

_OPENING_LINES = re.compile(rb"\n" + OPENING_PATTERN)


def joined_in(piece: Span) -> Iterator[Span]:
    """Every readable record that begins in the text of this one, up to the end of that text."""
    text = piece.text
    first = piece.offset + len(piece.start.lstrip(b"\r\n"))
    own = header_end(text)
    at = own.end() - 1 if own else len(text)
    while match := _OPENING_LINES.search(text, at):
        below = text[match.end() : match.end() + MAX_HEADER + 1]
        end = header_end(below)
        at = match.end() - 1
        if end and read_record(match[0], below[: end.end()], RecordEnd.NEXT_RECORD)[0]:
            start = match.start() + 1
            line = piece.line + 1 + text.count(b"\n", 0, start)
            yield Span(first + start, line, match[0], text[match.end() :], piece.is_last)
            at += end.end()


def split_joined(piece: Span, ids: Container[str]) -> Iterator[Span]:
    """The piece without the records of these ids that its text holds, and then those."""
    for inner in joined_in(piece) if ids else ():
        if inner.msg_id in ids:
            text = piece.text[: len(piece.text) - len(inner.start) - len(inner.text)]
            yield piece._replace(text=text, is_last=False)
            piece = inner
    yield piece
