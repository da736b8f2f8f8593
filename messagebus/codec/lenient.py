"""Any other record than ``encode`` writes, decoded: foreign, edited, torn or unfinished; SPEC.md, "Torn records" and
"Other forms that are read".

``read_record`` parses the header, takes off what a crash left of the next record, and verifies the body against
``content_length``. ``framing`` has the names of the parts of a record.
"""

from __future__ import annotations

import re
from dataclasses import replace
from enum import Enum, auto

from messagebus.codec.fields import from_fields, parse_header
from messagebus.codec.framing import START, escape, find_partial_start, header_end, id_line, is_crlf, unescape
from messagebus.codec.header import HeaderError
from messagebus.codec.one_line import StoredMessage, one_line_messages
from messagebus.message import Message

LENGTH = re.compile(r"[0-9]{1,12}")


class RecordEnd(Enum):
    """What follows the bytes given as a record."""

    NEXT_RECORD = auto()
    END_OF_FILE = auto()  # of a segment that will never grow
    MAY_GROW = auto()  # the end of the live file


def read_record(start: bytes, text: bytes, end: RecordEnd) -> tuple[list[StoredMessage], bool]:
    """The messages of any record: its own, then the one-line messages below its body. With True where
    something is kept back, as it may still grow.

    A record that cannot be read gives none, and affects no other.
    """
    lf_text = text.replace(b"\r\n", b"\n") if is_crlf(start) else text
    closing = header_end(lf_text)
    if not closing:
        return [], end is RecordEnd.MAY_GROW
    try:
        fields = parse_header(lf_text[: closing.start()])
        message = from_fields(fields)
    except HeaderError:
        return [], False
    if message.msg_id.encode() != id_line(text):
        return [], False  # quoted, or not UTF-8: a search for a cursor looks for these bytes
    head, region = lf_text[: closing.end()], lf_text[closing.end() :]
    opening = start.lstrip(b"\r\n")
    line_end = b"" if text.endswith(b"\n") and end is not RecordEnd.NEXT_RECORD else b"\n"
    stored = opening + text + line_end
    length = fields.get("content_length")
    if length is None:
        unfinished = end is RecordEnd.MAY_GROW and not region.endswith(b"\n")
        return ([], True) if unfinished else ([(_with_body(message, region, None), stored)], False)
    if not LENGTH.fullmatch(str(length)):
        return [(_with_body(message, unescape(region), False), stored)], False
    length = int(length)
    kept = without_crash_residue(region, length, end)
    pairs, unfinished = _verified(message, opening + head, kept, length, closed=end is not RecordEnd.MAY_GROW)
    if len(pairs) == 1 and kept == region and not unfinished:
        pairs = [(pairs[0][0], stored)]
    return pairs, unfinished or (end is RecordEnd.MAY_GROW and kept != region)


def without_crash_residue(region: bytes, length: int, end: RecordEnd) -> bytes:
    """The region of a record without what a crash left of the next record, below a body of ``length`` bytes: blocks
    of NUL and all that follows them, and a partial record start."""
    unwritten = region.find(b"\0")
    if unwritten >= 0:  # even in the body: text after it may belong to a record that lost its header
        residue = max(unwritten, length)
        region = region[:residue] if region[residue:].strip(b"\r\n") else region
    elif end is RecordEnd.NEXT_RECORD:
        return region
    return region[: find_partial_start(region, length)]


def _verified(
    message: Message, head: bytes, region: bytes, length: int, *, closed: bool
) -> tuple[list[StoredMessage], bool]:
    """Verify the body against its length, and read what is below it."""
    body = region.rstrip(b"\r\n")
    if len(body) < length:
        return ([(_with_body(message, unescape(body), False), head + region)], False) if closed else ([], True)
    if len(body) == length:
        return [(_with_body(message, unescape(body), True), head + body + b"\n")], False
    below = region[length:] if length else b"\n" + region  # a one-line message can follow the closing line directly
    one_liners, text, unfinished = one_line_messages(below, lambda _, count: f"{message.msg_id}+{count}", closed=closed)
    text = text if length else text.removeprefix(b"\n")
    own = head + body[:length] + text.rstrip(b"\r\n") + b"\n"
    if START.search(own, len(head)):  # the lines around a one-line message, put together, would start a record
        own = head + body[:length] + escape(text).rstrip(b"\r\n") + b"\n"
    joined = unescape(body[:length]) + text
    return [(_with_body(message, joined, not text.strip(b"\r\n")), own), *one_liners], unfinished


def _with_body(message: Message, body: bytes, intact: bool | None) -> Message:
    if b"\0" in body:
        intact = False
    return replace(message, body=body.rstrip(b"\r\n").decode("utf-8", "replace"), intact=intact)
