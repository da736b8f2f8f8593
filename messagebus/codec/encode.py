"""Messages to bytes."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from messagebus.codec import header
from messagebus.codec.framing import MAX_HEADER, OPENING, OTHER_FIELDS, escape
from messagebus.errors import InvalidMessageError
from messagebus.message import SCALAR_FIELDS, Draft, Message, as_parents, format_time

_OPENING = OPENING.decode()


def encode(msg_id: str, ts: datetime, rest: bytes) -> bytes:
    """A record from its id, its time (UTC) and ``encode_rest``."""
    return encode_stamped(msg_id, format_time(ts), rest)


def encode_stamped(msg_id: str, stamp: str, rest: bytes) -> bytes:
    """The same with a formatted time: all messages of a batch share one."""
    return f"{_OPENING} {msg_id}\nts: {stamp}\n".encode() + rest


def encode_rest(draft: Draft | Message) -> bytes:
    """All of a record that is known before its id: the other fields and the body.

    Raises InvalidMessageError where the header is over ``MAX_HEADER`` bytes.
    """
    body = escape(draft.body.rstrip("\r\n").encode())
    fields = _scalars_text(draft.type, draft.project_id, draft.task_id, draft.run_id, draft.issue_id)
    if draft.parents or draft.links or draft.meta:
        fields += _relations_text(draft)
    if len(fields) > MAX_HEADER - OTHER_FIELDS and isinstance(
        draft, Draft
    ):  # a Message may have a longer one, from a file
        raise InvalidMessageError(
            f"the header is {len(fields):,} bytes; the limit is {MAX_HEADER - OTHER_FIELDS:,}: "
            "put long values in the body, or link to them"
        )
    return b"%bcontent_length: %d\n---\n%b\n" % (fields, len(body), body)


@lru_cache(maxsize=128)
def _scalars_text(*values: str) -> bytes:
    return "".join(
        header.entry(name, value) for name, value in zip(SCALAR_FIELDS, values, strict=True) if value
    ).encode()


def _relations_text(draft: Draft | Message) -> bytes:
    parents = [
        header.entry("msg_id", parent.msg_id, "    ")
        + (header.entry("kind", parent.kind, "    ") if parent.kind else "")
        + header.mapping("meta", parent.meta, "    ")
        for parent in as_parents(draft.parents)
    ]
    links = [
        "".join(
            header.entry(name, value, "    ")
            for name, value in (("url", link.url), ("label", link.label), ("kind", link.kind))
            if value
        )
        for link in draft.links
    ]
    text = header.sequence("parents", parents) + header.sequence("links", links) + header.mapping("meta", draft.meta)
    return text.encode()
