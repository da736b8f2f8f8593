"""The end of a file: what a crash left there is cut off, all else stays, and the next record follows it.

``find_append_point`` goes back from the end, one record start at a time (SPEC.md, "Recovery"). A start whose header
is unfinished is cut off, and the record before it is looked at. A record with a header ends the search: of what is
below its body, only a partial record start is cut off. ``id_of_whole_end`` is the short answer where other writers
of this library have appended meanwhile.
"""

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
_OWN_ID = re.compile(rb" (%b)\nts: " % OWN_ID.encode())
_LONGEST_START = 64  # bytes: no program writes more CRs than that
_BLANK_LINE_ABOVE = re.compile(rb"\n\r*\n\Z")
_HEADER_LINE = re.compile(rb"[A-Za-z_]+:(?: .*)?| +\S.*|- .*")


class AppendPoint(NamedTuple):
    """Where the next record goes, as ``find_append_point`` found it.

    ``last_id`` is the id of the last record that stays (None: there is none), ``truncate_to`` the
    number of bytes that stay, ``separator`` what must be between them and the next record.
    """

    last_id: str | None
    truncate_to: int
    separator: bytes


def find_append_point(data: bytes, *, whole_file: bool, first: int = -1) -> AppendPoint:
    """Where the next record goes, given any end of the file; where ``last_id`` is None, a longer end may tell more.

    ``first`` is the offset in ``data`` of the file's first record, if known. What a crash left is cut off only where
    it cannot be a user's text: a header without an end, and a partial record start that the length of the body
    above shows to be none of its text (SPEC.md, "Recovery").
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
    truncate_to = max(end + shift, bom)
    separator = b"" if truncate_to == bom else b"\n" if text[end - 1 : end] == b"\n" else b"\n\n"
    return AppendPoint(_last_id(text[:end]), truncate_to, separator)


def id_of_whole_end(data: bytes) -> str | None:
    """The id of the last record in ``data`` if it is own, and plainly all there: then nothing at the end is to be
    cut off. None where ``find_append_point`` must look."""
    at = data.rfind(PLAIN_START)
    head, closing, body = data[at + len(PLAIN_START) :].partition(b"\n---\n")
    own = _OWN_ID.match(head)
    length = head.rpartition(b"\ncontent_length: ")[2]
    is_whole = own and closing and length.isdigit() and body.endswith(b"\n") and int(length) == len(body) - 1
    return own[1].decode() if own and is_whole and at >= 0 and b"\r" not in body else None


def last_own_id(data: bytes, *, whole_file: bool) -> str | None:
    """The last own id among the records that start in ``data``. The id of the last record, where it is foreign, may
    hold any time, and own ids must increase across it."""
    first = find_first_opening(b"\n" + data) if whole_file else 0
    ids = _OWN_RECORD.findall(b"\n\n" + data[max(first - 1, 0) :])
    return ids[-1].decode() if ids else None


def _end_to_keep(text: bytes, *, below_text: bool) -> int:
    """Where in ``text`` that which a crash left begins.

    A first record ``below_text``, without a blank line, is kept even if it is unfinished: no writer leaves one so,
    and in a file that lost its top, it may be the end of a header and a body."""
    end = len(text)
    while span := _last_start(text, end):
        start, after = span
        if start == 0 and below_text and not header_end(text[after:end]):
            break
        record = text[after:end]
        closing = header_end(record)
        if closing and end == len(text):
            kept = _kept_of_region(record[: closing.start()], record[closing.end() :], crlf=is_crlf(text[start:after]))
            return after + closing.end() + kept
        if closing or not _is_header_so_far(record):
            break  # what another record start followed is settled
        end = start + 1
    return end


def _last_id(text: bytes) -> str | None:
    """The id of the last record that has one."""
    end = len(text)
    while span := _last_start(text, end):
        if msg_id := id_of(text[span[1] : end]):
            return msg_id
        end = span[0] + 1
    return None


def _last_start(text: bytes, end: int) -> tuple[int, int] | None:
    """The span of the last record start before ``end``."""
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
    """Whether this is the beginning of a header, and not text that a person wrote."""
    lines = (ID_FIELD + record).split(b"\n")[:-1]
    return len(record) < MAX_HEADER and all(_HEADER_LINE.fullmatch(line.rstrip(b"\r")) for line in lines)


def _kept_of_region(head: bytes, region: bytes, *, crlf: bool) -> int:
    """How many bytes of what follows the last header stay."""
    lengths = re.findall(rb"^content_length: (\d{1,12})\r?$", head, re.MULTILINE)
    length = int(lengths[-1]) if lengths else 0
    kept = find_partial_start(region, length) if lengths else None
    if kept is None:
        return len(region)
    body = region[:kept].replace(b"\r\n", b"\n") if crlf else region[:kept]  # lengths count LF
    return kept if len(body) > length or not length else len(region)
