"""What is outside of records: one-line messages, and paragraphs of free text. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import NamedTuple

from messagebus.codec.framing import BOM, OPENING_PATTERN
from messagebus.codec.one_line import StoredMessage, one_line_messages
from messagebus.merge.order import union

_LOOKS_LIKE_A_RECORD = re.compile(rb"^(?=%b)" % OPENING_PATTERN, re.MULTILINE)
_BLANK_LINES = re.compile(rb"\n[\r\n]*\n")
_EMPTY = re.compile(rb"\A(?:%b|[\r\n])+" % BOM)
_LAST = datetime.max.replace(tzinfo=UTC)  # after all messages: NULs before them would make them unread


class Paragraph(NamedTuple):
    """A one-line message and its time, or a paragraph of free text (``when`` is None). ``nth`` counts those of the
    same text."""

    when: datetime | None
    text: bytes
    nth: int


def paragraphs_of(text: bytes) -> list[Paragraph]:
    """The text above the first record, in parts; nothing is a message from the line of the first NUL on."""
    unwritten = text.rfind(b"\n", 0, text.index(b"\0")) + 1 if b"\0" in text else len(text)
    parts = _parts(b"\n" + text[:unwritten].rstrip(b"\r\n") + b"\n")
    return _counted([*parts, *_split(text[unwritten:], _LAST)])


def lines_of(stored: Iterable[StoredMessage]) -> list[Paragraph]:
    """One-line messages as paragraphs."""
    return _counted((message.ts, line.rstrip(b"\r\n")) for message, line in stored)


def unite(one: list[Paragraph], two: list[Paragraph]) -> list[Paragraph]:
    """The paragraphs of both, each as often as on the side that has it more often, in the order of time."""
    return union(one, two, lambda each: each.when)


def join(paragraphs: Iterable[Paragraph]) -> bytes:
    """The inverse of ``paragraphs_of``: messages on lines of their own, blank lines around all else."""
    blocks = [
        (b"\n" if are_messages else b"\n\n").join(each.text for each in group)
        for are_messages, group in groupby(paragraphs, lambda each: each.when not in (None, _LAST))
    ]
    return b"\n\n".join(blocks) + b"\n" if blocks else b""


def _parts(text: bytes) -> Iterator[tuple[datetime | None, bytes]]:
    at = 0
    for message, line in one_line_messages(text, lambda *_: "", closed=True)[0]:
        start = text.index(b"\n" + line, at)
        yield from _split(text[at:start], None)
        yield message.ts, line.rstrip(b"\r\n")
        at = start + len(line)
    yield from _split(text[at:], None)


def _split(text: bytes, when: datetime | None) -> Iterator[tuple[datetime | None, bytes]]:
    for block in _BLANK_LINES.split(text.strip(b"\r\n")):
        if paragraph := _EMPTY.sub(b"", block):
            # It must not become a record in its new context.
            yield when, _LOOKS_LIKE_A_RECORD.sub(rb"\\", paragraph)


def _counted(parts: Iterable[tuple[datetime | None, bytes]]) -> list[Paragraph]:
    seen = Counter[bytes]()
    paragraphs = []
    for when, text in parts:
        paragraphs.append(Paragraph(when, text, seen[text]))
        seen[text] += 1
    return paragraphs
