"""The end of a file, and how the next record joins it: what a crash left goes, all else stays."""

from __future__ import annotations

import re
from typing import NamedTuple

from messagebus.codec.framing import (
    BOM,
    ID_FIELD,
    MAX_HEADER,
    PLAIN_START,
    START_PATTERN,
    find_first_opening,
    find_partial_start,
    header_end,
    id_of,
    is_crlf,
)
from messagebus.msgid import OWN_ID

_ID_LINE = b"\n" + ID_FIELD
_START_AT_END = re.compile(START_PATTERN + rb"\Z")
_OWN_RECORD = re.compile(START_PATTERN + rb" (%b)\r?\n" % OWN_ID.encode())
_LONGEST_START = 64  # bytes: nobody writes more CRs than that
_BLANK_LINE_ABOVE = re.compile(rb"\n\r*\n\Z")
_HEADER_LINE = re.compile(rb"[A-Za-z_]+:(?: .*)?| +\S.*|- .*")


class AppendPoint(NamedTuple):
    """Where the next record goes, as ``find_append_point`` found it.

    ``last_id`` is the id of the last record that stays (None: there is none), ``truncate_to`` the
    number of bytes that stay, ``separator`` what must stand between them and the next record.
    """

    last_id: str | None
    truncate_to: int
    separator: bytes


def find_append_point(data: bytes, *, whole_file: bool, first: int = -1) -> AppendPoint:
    """Look over the end of a file and say how the next record is to be joined to it.

    ``data`` is any end of the file; where ``last_id`` comes out None, a longer end may know
    better. ``first`` is where in it the file's first record starts, if somebody knows. What a
    crash left goes as far as nobody can have meant it: a header without an end, and the first
    bytes of a record where the length above shows that they are no text (SPEC.md, "Recovery").
    """
    bom = len(BOM) if whole_file and data.startswith(BOM) else 0
    text = b"\n\n" + data[bom:] if whole_file else data
    shift = len(data) - len(text)
    first = find_first_opening(text) if whole_file and first < 0 else first - shift
    below_text = first > 0 and not _BLANK_LINE_ABOVE.search(text, max(first - _LONGEST_START, 0), first)
    if below_text:
        shift += first - 2
        text = b"\n\n" + text[first:]
    end = _end_to_keep(text, below_text=below_text)
    keep = max(end + shift, bom)
    glue = b"" if keep == bom else b"\n" if text[end - 1 : end] == b"\n" else b"\n\n"
    return AppendPoint(_last_id(text[:end]), keep, glue)


def last_own_id(data: bytes, *, whole_file: bool) -> str | None:
    """The last id of ours among the records that start in ``data``: where the last record is foreign,
    its id may be of any time, and ours must increase behind it as they did in front."""
    first = find_first_opening(b"\n" + data) if whole_file else 0
    ids = _OWN_RECORD.findall(b"\n\n" + data[max(first - 1, 0) :])
    return ids[-1].decode() if ids else None


def _end_to_keep(text: bytes, *, below_text: bool) -> int:
    """Where what a crash left begins: the rest of ``text`` goes. A first record ``below_text`` stays: no
    writer that heals leaves it so, and in a file that lost its top, it may be the end of a header and a body."""
    end = len(text)
    while mark := _last_start(text, end):
        start, after = mark
        if start == 0 and below_text and not header_end(text[after:end]):
            break
        record = text[after:end]
        closing = header_end(record)
        if closing and end == len(text):
            kept = _kept_of_body(record[: closing.start()], record[closing.end() :], crlf=is_crlf(text[start:after]))
            return after + closing.end() + kept
        if closing or not _is_header_so_far(record):
            break  # what a record start followed is settled text
        end = start + 1
    return end


def _last_id(text: bytes) -> str | None:
    """The id of the last record that has one."""
    end = len(text)
    while mark := _last_start(text, end):
        if msg_id := id_of(text[mark[1] : end]):
            return msg_id
        end = mark[0] + 1
    return None


def _last_start(text: bytes, end: int) -> tuple[int, int] | None:
    """The last record start before ``end``: where its line end in front lies, and its id."""
    at = text.rfind(PLAIN_START, 0, end)
    if b"\r" not in text:
        return None if at < 0 else (at, at + len(PLAIN_START))
    while (at := text.rfind(_ID_LINE, 0, end)) >= 0:
        match = _START_AT_END.search(text, max(at - _LONGEST_START, 0), at + len(_ID_LINE))
        if match:
            return match.span()
        end = at + len(_ID_LINE) - 1
    return None


def _is_header_so_far(record: bytes) -> bool:
    """Is this the beginning of a header, and not text that a person wrote?"""
    lines = (ID_FIELD + record).split(b"\n")[:-1]
    return len(record) < MAX_HEADER and all(_HEADER_LINE.fullmatch(line.rstrip(b"\r")) for line in lines)


def _kept_of_body(head: bytes, region: bytes, *, crlf: bool) -> int:
    """How much of what follows the last header stays."""
    lengths = re.findall(rb"^content_length: (\d{1,12})\r?$", head, re.MULTILINE)
    length = int(lengths[-1]) if lengths else 0
    kept = find_partial_start(region, length) if lengths else None
    if kept is None:
        return len(region)
    body = region[:kept].replace(b"\r\n", b"\n") if crlf else region[:kept]  # lengths count what was converted as LF
    return kept if len(body) > length or not length else len(region)
