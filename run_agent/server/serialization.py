"""What goes over the wire: JSON documents and server-sent events, as bytes."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from messagebus import Message

# Line ends to str.splitlines, which some clients use, though not to the standard.
_LINE_ENDS = {"\x85".encode(): rb"\u0085", "\u2028".encode(): rb"\u2028", "\u2029".encode(): rb"\u2029"}


def as_json(value: Any) -> bytes:
    """One JSON document."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a header somebody wrote may hold half a character
        return json.dumps(value).encode()


def json_response(data: bytes, status: int = 200) -> Response:
    """An answer of JSON that is encoded already."""
    return Response(data, status, media_type="application/json")


def message_event(message: Message) -> bytes:
    """``event: message`` with its id, for a client to resume from, and the JSON shape of SPEC.md."""
    return event("message", message.to_json(), message.msg_id)


def event(kind: str, data: Any, msg_id: str = "") -> bytes:
    """One event. No content can add a line: JSON escapes them, and an id with one is left out."""
    is_line = msg_id and msg_id.isprintable()
    id_line = b"id: " + msg_id.encode("utf-8", "replace") + b"\n" if is_line else b""
    return b"event: " + kind.encode() + b"\n" + id_line + b"data: " + _in_one_line(as_json(data)) + b"\n\n"


def _in_one_line(document: bytes) -> bytes:
    if not document.isascii():
        for line_end, escaped in _LINE_ENDS.items():
            document = document.replace(line_end, escaped)
    return document
