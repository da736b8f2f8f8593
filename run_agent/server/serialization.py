"""JSON documents and server-sent events, encoded as bytes."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from messagebus import Message

# Some clients split lines with str.splitlines, which also splits at these; the standard does not.
_EXTRA_LINE_ENDS = {"\x85".encode(): rb"\u0085", "\u2028".encode(): rb"\u2028", "\u2029".encode(): rb"\u2029"}


def as_json(value: Any) -> bytes:
    """One JSON document."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a record that was edited by hand may hold a lone surrogate
        return json.dumps(value).encode()


def json_response(data: bytes, status: int = 200) -> Response:
    """A response of JSON that is already encoded."""
    return Response(data, status, media_type="application/json")


def message_event(message: Message) -> bytes:
    """``event: message`` with the id, from which a client can resume, and the JSON of SPEC.md section 12."""
    return event("message", message.to_json(), message.msg_id)


def event(name: str, data: Any, msg_id: str = "") -> bytes:
    """One event. No content can add a line: JSON escapes line ends, and an id that holds one is left out."""
    has_id = msg_id and msg_id.isprintable()
    id_line = b"id: " + msg_id.encode("utf-8", "replace") + b"\n" if has_id else b""
    return b"event: " + name.encode() + b"\n" + id_line + b"data: " + _on_one_line(as_json(data)) + b"\n\n"


def _on_one_line(document: bytes) -> bytes:
    if not document.isascii():
        for line_end, escaped in _EXTRA_LINE_ENDS.items():
            document = document.replace(line_end, escaped)
    return document
