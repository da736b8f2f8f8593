"""A parsed header to a message without its body: lenient, because people write headers too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from messagebus import msgid
from messagebus.codec import header
from messagebus.codec.framing import ID_FIELD
from messagebus.codec.header import Fields, HeaderError
from messagebus.message import SCALAR_FIELDS, Link, Message, Parent
from messagebus.timestamps import parse_time

# Keys of ``meta`` that a repair or a merge adds (SPEC.md, "Torn records"). The first is named as in files.
MENDED = "mended"  # what was wrong
CONFLICT_OF = "conflict_of"  # the id that another record has, too

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NULLS = ("null", "~")  # YAML's null; all scalars are text here


def parse_header(head: bytes) -> Fields:
    """The fields of a header, given from after its ``msg_id:`` on. Raises HeaderError."""
    return header.parse((ID_FIELD + head).decode("utf-8", "replace"))


def from_fields(fields: Fields) -> Message:
    """The message a header describes, without its body. Raises HeaderError."""
    msg_id = _text(fields, "msg_id")
    if not msg_id:
        raise HeaderError("msg_id is empty")
    links = [Link(_text(item, "url"), _text(item, "label"), _text(item, "kind")) for item in _items(fields, "links")]
    parents = [
        Parent(item)
        if isinstance(item, str)
        else Parent(_text(item, "msg_id"), _text(item, "kind"), _text_map(item, "meta"))
        for item in _items(fields, "parents")
    ]
    links = [link for link in links if link.url]
    parents = [parent for parent in parents if parent.msg_id]
    type_, project_id, task_id, run_id, issue_id = (_text(fields, name) for name in SCALAR_FIELDS)
    return Message(
        msg_id,
        _time(_text(fields, "ts"), msg_id),
        type_ or "INFO",
        project_id,
        task_id,
        run_id,
        issue_id,
        tuple(parents),
        tuple(links),
        _text_map(fields, "meta"),
    )


def _text(fields: Any, name: str) -> str:
    value = fields.get(name, "") if isinstance(fields, dict) else None
    if not isinstance(value, str):
        raise HeaderError(f"{name} is not a single value")
    return value


def _items(fields: Fields, name: str) -> list[Any]:
    items = fields.get(name) or []
    if items in _NULLS:
        return []
    if not isinstance(items, list):
        raise HeaderError(f"{name} is not a list")
    return items


def _text_map(fields: Fields, name: str) -> dict[str, str]:
    items = fields.get(name) or {}
    if items in _NULLS:
        return {}
    if not isinstance(items, dict) or not all(isinstance(part, str) for pair in items.items() for part in pair):
        raise HeaderError(f"{name} does not map text to text")
    return items


def _time(text: str, msg_id: str) -> datetime:
    """The time a header gives, in UTC (also where it names no zone); else that of the id."""
    try:
        ts = parse_time(text)
        return ts.replace(tzinfo=UTC) if ts.tzinfo is None else ts.astimezone(UTC)
    except (ValueError, OverflowError):
        ms = msgid.time_of(msg_id)
    try:
        return _EPOCH + timedelta(milliseconds=ms or 0)
    except OverflowError:
        return _EPOCH
