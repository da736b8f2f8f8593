"""Messages to bytes."""

from __future__ import annotations

from datetime import datetime

from messagebus.codec import header
from messagebus.codec.framing import MAX_HEADER, OPENING, OTHER_FIELDS, escape
from messagebus.errors import InvalidMessageError
from messagebus.message import SCALAR_FIELDS, Draft, Link, Message, Parent
from messagebus.msgid import OWN
from messagebus.timestamps import format_time

_OPENING = OPENING.decode()
_MAX_FIELDS = MAX_HEADER - OTHER_FIELDS
_scopes: dict[tuple[str, ...], str] = {}  # by the values of SCALAR_FIELDS: their lines
_MOST_REMEMBERED = 256
_LONGEST_REMEMBERED = 1024  # characters


def encode(msg_id: str, ts: datetime, rest: bytes) -> bytes:
    """A record from its id, its time (UTC) and ``encode_rest``."""
    return encode_opening(msg_id, format_time(ts)) + rest


def encode_opening(msg_id: str, stamp: str) -> bytes:
    """What comes before ``encode_rest``: the id and the formatted time, which all messages of a batch share."""
    return f"{_OPENING} {msg_id}\nts: {stamp}\n".encode()


def encode_rest(draft: Draft | Message) -> bytes:
    """All of a record that is known before its id: the other fields and the body.

    Raises InvalidMessageError where the header is over ``MAX_HEADER`` bytes.
    """
    scope = (draft.type, draft.project_id, draft.task_id, draft.run_id, draft.issue_id)
    fields = _scopes.get(scope) or _scope_text(scope)
    if draft.parents or draft.links or draft.meta:
        fields += _relations_text(draft)
    body = draft.body.rstrip("\r\n")
    if "---" in body:
        body = escape(body.encode()).decode()
    length = len(body) if body.isascii() else len(body.encode())
    rest = f"{fields}content_length: {length}\n---\n{body}\n".encode()
    if len(rest) - length > _MAX_FIELDS and isinstance(draft, Draft):  # a Message from a file may have more
        _check_length(len(fields.encode()))
    return rest


def _check_length(fields: int) -> None:
    if fields > _MAX_FIELDS:
        raise InvalidMessageError(
            f"the header is {fields:,} bytes; the limit is {_MAX_FIELDS:,}: "
            "put long values in the body, or link to them"
        )


def _scope_text(scope: tuple[str, ...]) -> str:
    """The lines of ``type`` to ``issue_id``, remembered if they are short: most messages repeat those of another."""
    text = "".join(header.entry(name, value) for name, value in zip(SCALAR_FIELDS, scope, strict=True) if value)
    if len(text) <= _LONGEST_REMEMBERED:
        if len(_scopes) >= _MOST_REMEMBERED:
            _scopes.clear()
        _scopes[scope] = text
    return text


def _relations_text(draft: Draft | Message) -> str:
    text = ""
    if draft.parents:
        text = "parents:\n"
        for parent in draft.parents:
            text += _parent_text(parent)
    if draft.links:
        text += "links:\n"
        for link in draft.links:
            text += _link_text(link)
    if draft.meta:
        text += header.mapping("meta", draft.meta)
    return text


def _parent_text(parent: str | Parent) -> str:
    if isinstance(parent, str):
        return f"  - msg_id: {_id_text(parent)}\n"
    text = f"  - msg_id: {_id_text(parent.msg_id)}\n"
    if parent.kind:
        text += f"    kind: {header.scalar(parent.kind)}\n"
    if parent.meta:
        text += header.mapping("meta", parent.meta, "    ")
    return text


def _id_text(msg_id: str) -> str:
    """An own id needs no quotes; looking that up would fill the memory of ``scalar`` with ids."""
    own = OWN.fullmatch(msg_id)
    return own[0] if own else header.scalar(msg_id)


def _link_text(link: Link) -> str:
    text = f"  - url: {header.scalar(link.url)}\n"
    if link.label:
        text += f"    label: {header.scalar(link.label)}\n"
    if link.kind:
        text += f"    kind: {header.scalar(link.kind)}\n"
    return text
