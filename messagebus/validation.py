"""What a draft must satisfy, checked before a backend takes any lock (SPEC.md, "Fields").

A draft that passes can be stored, and is read back as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from messagebus.errors import InvalidMessageError
from messagebus.message import (
    IDEMPOTENCY_KEY,
    SCALAR_FIELDS,
    Draft,
    Link,
    Parent,
)
from messagebus.msgid import is_own
from messagebus.timestamps import in_utc

MAX_VALUE = 64 * 1024  # characters: the whole header may have no more bytes
MAX_META_KEY = 128  # characters: even escaped, it is shorter than the 1,024 that YAML allows

# What is usual comes first: to ask an abstract class takes longer than all other checks of a parent.
_SEQUENCE = (list, tuple, Sequence)
_MAPPING = (dict, Mapping)


def validate_draft(draft: Draft, max_body_bytes: int) -> None:
    """Refuse a draft that could not be read back as it is (SPEC.md, "Fields").

    Raises InvalidMessageError, naming the field, for: an empty type or project, a control
    character in a header value, NUL or a lone surrogate anywhere, a body over
    ``max_body_bytes`` once encoded, a malformed parent, link or meta, a naive time.
    """
    if not isinstance(draft, Draft):
        raise InvalidMessageError(f"append a Draft, not {type(draft).__name__}")
    scalars = (draft.type, draft.project_id, draft.task_id, draft.run_id, draft.issue_id)
    try:
        _check_scalars(*scalars)
    except TypeError:  # not hashable, so not text
        _check_scalars.__wrapped__(*scalars)
    if draft.parents != () or draft.links != () or draft.meta != {}:
        _check_relations(draft)
    _check_body(draft.body, max_body_bytes)
    if draft.ts is not None:
        in_utc(draft.ts)


def _is_ordinary(value: object) -> bool:
    """Whether ``check_header_value`` certainly allows it; nearly all values are so."""
    return type(value) is str and len(value) <= MAX_VALUE and value.isascii() and value.isprintable()


@lru_cache(maxsize=128)
def _check_scalars(*values: str) -> None:
    """The rules of the single values; most messages repeat those of another."""
    for name, value in zip(SCALAR_FIELDS, values, strict=True):
        check_header_value(name, value)
    for name, value in zip(("type", "project_id"), values, strict=False):
        if not value.strip():
            raise InvalidMessageError(f"{name} is empty: every message needs one")


def check_header_value(name: str, value: object) -> None:
    """Refuse a value that no header can hold. Raises InvalidMessageError."""
    if not isinstance(value, str):
        raise InvalidMessageError(f"{name} must be text, not {type(value).__name__}")
    if len(value) > MAX_VALUE:
        raise InvalidMessageError(
            f"{name} has {len(value):,} characters; the limit of a header is {MAX_VALUE:,}: put long text in the body"
        )
    if value.isascii() and value.isprintable():
        return
    for char in value:
        if char < " " or "\x7f" <= char <= "\x9f":
            raise InvalidMessageError(f"{name} holds the control character {char!r}; put long text in the body")
        if "\ud800" <= char <= "\udfff":
            raise InvalidMessageError(f"{name} holds the lone surrogate {char!r}, which UTF-8 cannot store")


def _check_relations(draft: Draft) -> None:
    if draft.parents != ():
        _check_parents(draft)
    if draft.links != ():
        _check_links(draft)
    _check_meta("meta", draft.meta)
    if IDEMPOTENCY_KEY in draft.meta:
        raise InvalidMessageError(f"meta: the key {IDEMPOTENCY_KEY!r} is the log's own: pass idempotency_key instead")


def _check_parents(draft: Draft) -> None:
    if isinstance(draft.parents, str) or not isinstance(draft.parents, _SEQUENCE):
        raise InvalidMessageError(f"parents must be a sequence of ids or Parents, not {draft.parents!r:.60}")
    for parent in draft.parents:
        if isinstance(parent, Parent):
            _check_id(parent.msg_id)
            if parent.kind != "":
                check_header_value("parents: kind", parent.kind)
            if parent.meta != {}:
                _check_meta("parents: meta", parent.meta)
        elif isinstance(parent, str):
            _check_id(parent)
        else:
            raise InvalidMessageError(f"parents: {parent!r:.60} is neither an id nor a Parent")


def _check_links(draft: Draft) -> None:
    if not isinstance(draft.links, _SEQUENCE):
        raise InvalidMessageError(f"links must be a sequence of Links, not {draft.links!r:.60}")
    for link in draft.links:
        if not isinstance(link, Link):
            raise InvalidMessageError(f"links: {link!r:.60} is not a Link")
        for name in ("url", "label", "kind"):
            check_header_value(f"links: {name}", getattr(link, name))
        if not link.url.strip():
            raise InvalidMessageError("links: url is empty")


def _check_id(msg_id: str) -> None:
    if type(msg_id) is str and is_own(msg_id):
        return
    check_header_value("parents: msg_id", msg_id)
    if not msg_id or msg_id != "".join(msg_id.split()):
        raise InvalidMessageError(f"parents: {msg_id!r} is not a message id: it is empty or contains white space")


def _check_meta(name: str, meta: object) -> None:
    if not isinstance(meta, _MAPPING):
        raise InvalidMessageError(f"{name} must map text to text, not {meta!r:.60}")
    for key, value in meta.items():
        if not _is_ordinary(key):
            check_header_value(f"{name}: key", key)
        if not key or len(key) > MAX_META_KEY:
            raise InvalidMessageError(f"{name}: the key {key!r:.60} must have 1 to {MAX_META_KEY} characters")
        if not _is_ordinary(value):
            check_header_value(f"{name}: {key}", value)


def _check_body(body: object, max_body_bytes: int) -> None:
    if not isinstance(body, str):
        raise InvalidMessageError(f"body must be text, not {type(body).__name__}")
    if "\0" in body:
        raise InvalidMessageError(
            "body holds NUL, which files use for blocks that a crash left unwritten: encode binary data, or link to it"
        )
    body = body.rstrip("\r\n")
    try:
        size = len(body) if body.isascii() else len(body.encode())
    except UnicodeEncodeError as error:
        char = body[error.start]
        raise InvalidMessageError(f"body holds the lone surrogate {char!r}, which UTF-8 cannot store") from None
    if size > max_body_bytes:
        raise InvalidMessageError(
            f"body is {size:,} bytes; the limit is {max_body_bytes:,}: store it in a file and link to it, "
            "or raise max_body_bytes"
        )
