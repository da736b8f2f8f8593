"""Where a record starts, where its header ends, and what a body may not look like.

SPEC.md, "The file" and "Body". Lines end at LF; structure ignores CRs before it.
"""

from __future__ import annotations

import re

MAX_HEADER = 64 * 1024  # bytes
OTHER_FIELDS = 256  # bytes of it for msg_id, ts, content_length and an issue_id of the log's
BOM = b"\xef\xbb\xbf"

PLAIN_START = b"\n\n---\nmsg_id:"
START = re.compile(rb"\n\r*\n---(\r*)\nmsg_id:")
_FIRST_START = re.compile(rb"\n(---\r*)\nmsg_id:")
_HEADER_END = re.compile(rb"\n---\r*(?:\n|\Z|(?=\0))")  # NUL: a crash left what follows unwritten
# What a crash, or a look between two pages of a write, leaves of the next record's start.
_UNFINISHED_START = re.compile(rb"\n\r*\n(?:--?|---\r*(?:\n(?:m(?:s(?:g(?:_(?:i(?:d)?)?)?)?)?)?)?)\Z")

_ESCAPABLE = re.compile(rb"^(\\*---\r*)$", re.MULTILINE)
_ESCAPED = re.compile(rb"^\\(\\*---\r*)$", re.MULTILINE)


def header_end(record: bytes) -> re.Match[bytes] | None:
    """The line that closes the header, in a record from behind its ``msg_id:`` on."""
    match = _HEADER_END.search(record, 0, MAX_HEADER)
    if match and match.end() == MAX_HEADER < len(record) and not match[0].endswith(b"\n"):
        return None  # the limit cut the line short
    return match


def id_of(record: bytes) -> str:
    """The id of such a record: all of its first line; empty where a crash left a block of it unwritten."""
    line = id_line(record)
    return "" if b"\0" in line else line.decode("utf-8", "replace")


def id_line(record: bytes) -> bytes:
    """The bytes of that id."""
    return record.partition(b"\n")[0].strip(b" \t\r")


def kept_before_start(region: bytes, length: int) -> int | None:
    """How much of what stands behind a header is kept, where it ends, behind a body of ``length`` bytes,
    in the first bytes of a record that never was; None where it does not."""
    if match := _UNFINISHED_START.search(region, length):
        return match.start() + 1
    # An editor may have taken the line end of an empty body: that of the header is in front then.
    return 0 if not length and _UNFINISHED_START.match(b"\n" + region) else None


def escape(body: bytes) -> bytes:
    """``body`` as it is stored: no line of it can open or close a header."""
    return _ESCAPABLE.sub(rb"\\\1", body) if b"---" in body else body


def unescape(stored: bytes) -> bytes:
    """The inverse of ``escape``."""
    return _ESCAPED.sub(rb"\1", stored) if b"---" in stored else stored


def split(data: bytes) -> tuple[list[bytes], list[bytes]]:
    """The pieces between record starts (the first is no record), and the starts."""
    if b"---\r" in data or b"\r\n---" in data:
        spans = [match.span() for match in START.finditer(data)]
        edges = [0, *(end for _, end in spans)]
        ends = [*(start for start, _ in spans), len(data)]
        return [data[a:b] for a, b in zip(edges, ends, strict=True)], [data[a:b] for a, b in spans]
    pieces = data.split(PLAIN_START)
    return pieces, [PLAIN_START] * (len(pieces) - 1)


def first_start(text: bytes, *, unwritten: bool = False) -> int:
    """Where the ``---`` of a file's first record is, in the top of that file with a line end put in front;
    -1 where there is none yet.

    No blank line is needed above it: there is no body that could forge it. Below a block that a crash left
    unwritten, of which this text or (``unwritten``) what came before it holds one, there may be.
    """
    match = _FIRST_START.search(text)
    if match is None:
        return -1
    if unwritten or text.find(b"\0", 0, match.start()) >= 0:
        match = START.search(text)
        return text.index(b"---", match.start()) if match else -1
    return match.start(1)


def lead(mark: bytes) -> int:
    """How many bytes of a record start stand in front of its ``---``."""
    return len(mark) - len(mark.lstrip(b"\r\n"))


def is_crlf(mark: bytes) -> bool:
    """An editor converted this record: its opening ``---`` ends in CRLF."""
    return mark.endswith(b"---\r\nmsg_id:")
