"""Where a record starts, where its header ends, and what no line of a body may look like.

The grammar of a record start is spelled here alone; every other module takes it from here. The parts of a
record, by the names they have throughout this package::

    The build is green.⏎          text of the record above, to its last line end exclusive
                        ⏎         ┐ separator: that line end and a blank line     ┐
    ⏎                             ┘                                               │ start
    ---⏎                          ┐ opening                                       │
    msg_id:                       ┘                                               ┘
            MSG-01KAJ3M2Q8Z0V...⏎ ┐                                               ┐
    ts: 2026-11-21T03:14:15Z⏎     │ header                                        │
    content_length: 5⏎            ┘                                               │ text
    ---⏎                            closing line                                  │
    hello⏎                        ┐ region: the body, and what                    │
    added below by hand           ┘ is below it                                  ┘
    ⏎                               separator of the next start

A start takes the line end above it, so the text of a record has no final line end unless it is the last one in
its file. SPEC.md, "The file" and "Body". Lines end at LF; structure ignores CRs before it.
"""

from __future__ import annotations

import re

MAX_HEADER = 64 * 1024  # bytes
OTHER_FIELDS = 256  # bytes of it reserved for msg_id, ts, content_length and an issue_id that the log adds
BOM = b"\xef\xbb\xbf"

ID_FIELD = b"msg_id:"
OPENING = b"---\n" + ID_FIELD
PLAIN_START = b"\n\n" + OPENING  # as this library writes it; START also matches what an editor converted
SEPARATOR_PATTERN = rb"\n\r*\n"
OPENING_PATTERN = rb"---\r*\n" + ID_FIELD
START_PATTERN = SEPARATOR_PATTERN + OPENING_PATTERN
START = re.compile(START_PATTERN)
_FIRST_OPENING = re.compile(rb"\n" + OPENING_PATTERN)
# What a crash, or a read between two pages of a write, leaves of the next record's start.
_PARTIAL_START = re.compile(SEPARATOR_PATTERN + rb"(?:--?|---\r*(?:\n(?:m(?:s(?:g(?:_(?:i(?:d)?)?)?)?)?)?)?)\Z")
_CLOSING_LINE = re.compile(rb"\n---\r*(?:\n|\Z|(?=\0))")  # NUL: a crash left what follows unwritten

_ESCAPABLE = re.compile(rb"^(\\*---\r*)$", re.MULTILINE)
_ESCAPED = re.compile(rb"^\\(\\*---\r*)$", re.MULTILINE)


def header_end(text: bytes) -> re.Match[bytes] | None:
    """The closing line of the header, in the text of a record; None where there is none within ``MAX_HEADER``."""
    match = _CLOSING_LINE.search(text, 0, MAX_HEADER)
    if match and match.end() == MAX_HEADER < len(text) and not match[0].endswith(b"\n"):
        return None  # the limit cut the line short
    return match


def id_of(text: bytes) -> str:
    """The id in the text of a record: all of its first line; empty where a crash left part of it unwritten."""
    line = id_line(text)
    return "" if b"\0" in line else line.decode("utf-8", "replace")


def id_line(text: bytes) -> bytes:
    """The bytes of that id."""
    return text.partition(b"\n")[0].strip(b" \t\r")


def find_partial_start(region: bytes, length: int) -> int | None:
    """The offset in ``region`` at which a partial record start follows a body of ``length`` bytes and ends the
    region; None where the region does not end so. The line end of the body is in front of it."""
    if match := _PARTIAL_START.search(region, length):
        return match.start() + 1
    # An editor may have taken the line end of an empty body: then the one that ends the closing line is in front.
    return 0 if not length and _PARTIAL_START.match(b"\n" + region) else None


def escape(body: bytes) -> bytes:
    """``body`` as it is stored: no line of it can open or close a header."""
    return _ESCAPABLE.sub(rb"\\\1", body) if b"---" in body else body


def unescape(stored: bytes) -> bytes:
    """The inverse of ``escape``."""
    return _ESCAPED.sub(rb"\1", stored) if b"---" in stored else stored


def split(data: bytes) -> tuple[list[bytes], list[bytes]]:
    """The texts between the record starts in ``data`` (the first belongs to no record), and the starts.

    A start as this library writes it is the object ``PLAIN_START``."""
    if b"\r" in data and (b"---\r" in data or b"\r\n---" in data):
        spans = [match.span() for match in START.finditer(data)]
        begins = [0, *(end for _, end in spans)]
        ends = [*(start for start, _ in spans), len(data)]
        starts = [PLAIN_START if data[a:b] == PLAIN_START else data[a:b] for a, b in spans]
        return [data[a:b] for a, b in zip(begins, ends, strict=True)], starts
    texts = data.split(PLAIN_START)
    return texts, [PLAIN_START] * (len(texts) - 1)


def find_first_opening(top: bytes, *, unwritten: bool = False) -> int:
    """The offset of the first record's ``---`` in the top of a file, given with a line end in front; -1 where no
    record has started yet.

    The first record needs no blank line: no body above could forge it. It does need one after a block that a crash
    left unwritten, in ``top`` or, where ``unwritten`` says so, in what came before it.
    """
    match = _FIRST_OPENING.search(top)
    if match is None:
        return -1
    if unwritten or top.find(b"\0", 0, match.start()) >= 0:
        match = START.search(top)
        return top.index(b"---", match.start()) if match else -1
    return match.start() + 1


def separator_length(start: bytes) -> int:
    """How many bytes of a record start are in front of its ``---``."""
    return len(start) - len(start.lstrip(b"\r\n"))


def is_crlf(start: bytes) -> bool:
    """Whether an editor converted this record: its opening ``---`` ends in CRLF."""
    return start.endswith(b"---\r\n" + ID_FIELD)
