"""The bytes of the records that a repair adds or marks. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from messagebus.codec import encode, header
from messagebus.codec.edit import edited
from messagebus.codec.fields import MENDED
from messagebus.codec.framing import OPENING, escape, unescape
from messagebus.codec.scan import Examined, Span, split_header
from messagebus.msgid import next_msg_id, order, sibling

_LENGTH = re.compile(rb"^content_length: (\d{1,12})\r*$", re.MULTILINE)
_MAX_ID = 512  # characters of an id taken over from a record that cannot be read
_UNWRITTEN = re.compile(rb"\0+")


class RecordDefaults(NamedTuple):
    """What new records say about themselves: the project, the task, and their time (UTC)."""

    project_id: str
    task_id: str
    ts: datetime


def new_record(msg_id: str, type_: str, meta: Mapping[str, str], text: bytes, defaults: RecordDefaults) -> bytes:
    """A record whose body is ``text``, which need not be UTF-8."""
    body = escape(text.rstrip(b"\r\n"))
    fields = {"type": type_, "project_id": defaults.project_id, "task_id": defaults.task_id}
    entries = "".join(header.entry(name, value) for name, value in fields.items() if value)
    entries += header.mapping("meta", meta)
    return encode(msg_id, defaults.ts, b"%bcontent_length: %d\n---\n%b\n" % (entries.encode(), len(body), body))


def id_after(msg_id: str, number: int = 0) -> str:
    """The id of a new record right after the one with this id, and after ``number`` other new ones there."""
    if len(msg_id) > _MAX_ID or header.scalar(msg_id) != msg_id:
        msg_id = next_msg_id(msg_id, 0, bytes)
    return sibling(msg_id, number)


def can_keep_id(msg_id: str) -> bool:
    """Can a new record have the id of one whose header cannot be read?"""
    return len(msg_id) <= _MAX_ID and bool(order(msg_id)) and header.scalar(msg_id) == msg_id


def without_nul(text: bytes) -> bytes:
    """``text`` with a line end in place of each block that a crash left unwritten."""
    return _UNWRITTEN.sub(b"\n", text)


def is_marked_torn(record: Examined) -> bool:
    """Is it torn, and marked so already?"""
    return record.damage == "torn" and record.messages[0][0].meta.get(MENDED) == "torn"


def marked_torn(span: Span) -> bytes | None:
    """A torn record with its mark, and with line ends for the blocks that a crash left unwritten. None where its
    header cannot be edited.

    Its length still does not match its body: that is how readers know that it is torn.
    """
    raw = span.as_lf()
    head, region = split_header(raw[len(OPENING) :])
    unwritten = region.find(b"\0")
    if unwritten < 0:
        return edited(raw, {MENDED: "torn"})
    body = escape(unescape(region[:unwritten]) + without_nul(region[unwritten:])).rstrip(b"\r\n")
    lengths = [int(length) for length in _LENGTH.findall(head)]
    return edited(raw, {MENDED: "torn"}, body=body, length=max(lengths[-1], len(body) + 1) if lengths else None)
