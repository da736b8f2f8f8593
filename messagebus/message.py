"""What a message is: the fields, and the one JSON shape.

A ``Draft`` is a message before it is stored; a ``Message`` is what the log holds, with the id
and time that the log gave it. Both are frozen, and their attributes have the names of the fields in
the file (SPEC.md, "Fields"). What a draft must satisfy is in ``validation.py``. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from messagebus.errors import InvalidMessageError
from messagebus.msgid import to_ulid
from messagebus.timestamps import format_time, in_utc, parse_time

if TYPE_CHECKING:
    from messagebus.msgid import ULID

RUN_START = "RUN_START"
RUN_STOP = "RUN_STOP"
RUN_CRASH = "RUN_CRASH"

ISSUE = "ISSUE"
IDEMPOTENCY_KEY = "idempotency_key"  # in meta; see idempotency.py
SENDER = "from"  # in meta: who says that the message is theirs

_T = TypeVar("_T")
_NO_META: Mapping[str, str] = {}  # a default: each object gets a dict of its own for it
MAX_BODY_BYTES = 8 * 1024 * 1024
SCALAR_FIELDS = ("type", "project_id", "task_id", "run_id", "issue_id")


@dataclass(frozen=True, slots=True, init=False)
class Parent:
    """A message this one refers to.

    ``msg_id`` is any id without white space, ``kind`` says how it relates (``answers``,
    ``depends_on``, ... or empty), ``meta`` maps str to str.
    """

    msg_id: str
    kind: str = ""
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __init__(self, msg_id: str, kind: str = "", meta: Mapping[str, str] = _NO_META) -> None:
        _set_parent_id(self, msg_id)  # as in a Draft
        _set_kind(self, kind)
        _set_parent_meta(self, {} if meta is _NO_META else meta)


_set_parent_id, _set_kind, _set_parent_meta = (Parent.__dict__[name].__set__ for name in Parent.__slots__)


@dataclass(frozen=True, slots=True)
class Link:
    """Something outside the log: ``url`` (a URL or a path), and optionally ``label`` and ``kind``."""

    url: str
    label: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True, init=False)
class Draft:
    """A message before it has an id. Checked when it is appended, not when it is created.

    ``parents`` takes ids or ``Parent`` objects. ``ts`` is an aware datetime, or None for the
    moment of the append. The body keeps everything but its trailing line ends.
    """

    type: str
    project_id: str
    body: str = ""
    task_id: str = field(default="", kw_only=True)
    run_id: str = field(default="", kw_only=True)
    issue_id: str = field(default="", kw_only=True)
    parents: Sequence[str | Parent] = field(default=(), kw_only=True)
    links: Sequence[Link] = field(default=(), kw_only=True)
    meta: Mapping[str, str] = field(default_factory=dict, kw_only=True, hash=False)
    ts: datetime | None = field(default=None, kw_only=True)

    def __init__(
        self, type: str, project_id: str, body: str = "", *,  # noqa: A002 - the name of the field
        task_id: str = "", run_id: str = "", issue_id: str = "",
        parents: Sequence[str | Parent] = (), links: Sequence[Link] = (),
        meta: Mapping[str, str] = _NO_META, ts: datetime | None = None,
    ) -> None:  # fmt: skip
        """What a frozen dataclass would do, in half of the time: it looks up each field by its name."""
        _set_type(self, type)
        _set_project_id(self, project_id)
        _set_body(self, body)
        _set_task_id(self, task_id)
        _set_run_id(self, run_id)
        _set_issue_id(self, issue_id)
        _set_parents(self, parents)
        _set_links(self, links)
        _set_meta(self, {} if meta is _NO_META else meta)
        _set_ts(self, ts)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Draft:
        """A draft from the JSON shape (SPEC.md, "JSON"); fields that only the log sets are refused.

        Raises InvalidMessageError for an unknown key, a wrong type, or ``msg_id``/``intact``.
        """
        known = {"timestamp", "parents", "relations", "links", "meta", "body", *SCALAR_FIELDS}
        if not isinstance(data, Mapping):
            raise InvalidMessageError(f"a message must be a JSON object, not {data!r:.60}")
        for key in data:
            if key not in known:
                raise InvalidMessageError(f"unknown field {key!r}; known: {', '.join(sorted(known))}")
        stamp = data.get("timestamp")
        texts = {name: data[name] for name in (*SCALAR_FIELDS, "body") if name in data}
        for name, text in texts.items():
            if not isinstance(text, str):
                raise InvalidMessageError(f"{name} must be text, not {text!r:.60}")
        if not isinstance(data.get("meta", {}), Mapping):
            raise InvalidMessageError(f"meta must be an object, not {data['meta']!r:.60}")
        return cls(
            type=texts.pop("type", "INFO"),
            project_id=texts.pop("project_id", ""),
            parents=_parents_from_json(data.get("parents", ()), data.get("relations", ())),
            links=_links_from_json(data.get("links", ())),
            meta=data.get("meta", {}),
            ts=None if stamp is None else _time_from_json(stamp),
            **texts,
        )


(
    _set_type, _set_project_id, _set_body, _set_task_id, _set_run_id, _set_issue_id,
    _set_parents, _set_links, _set_meta, _set_ts,
) = (Draft.__dict__[name].__set__ for name in Draft.__slots__)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the log holds it.

    ``ts`` is an aware UTC datetime. ``intact`` is True when the stored length fits the body,
    False when it does not (torn by a crash, or edited), None where no length is stored.
    Absent text fields are ``""``, absent collections are empty.
    """

    msg_id: str
    ts: datetime
    type: str
    project_id: str = ""
    task_id: str = ""
    run_id: str = ""
    issue_id: str = ""
    parents: tuple[Parent, ...] = ()
    links: tuple[Link, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)
    body: str = ""
    intact: bool | None = None

    @property
    def ulid(self) -> ULID | None:
        """The id as a ``ulid.ULID`` of python-ulid, which gives its time, bytes and other forms; None where the id
        was not made by this library."""
        return to_ulid(self.msg_id)

    def to_json(self) -> dict[str, Any]:
        """The one JSON shape of ``--json``, REST and SSE (SPEC.md, "JSON"); absent when empty."""
        shape: dict[str, Any] = {"msg_id": self.msg_id, "timestamp": format_time(self.ts)}
        shape |= {name: value for name in SCALAR_FIELDS if (value := getattr(self, name))}
        if self.parents:
            shape["parents"] = [parent.msg_id for parent in self.parents]
        relations = [_without_empty(p, "msg_id", "kind", "meta") for p in self.parents if p.kind or p.meta]
        if relations:
            shape["relations"] = relations
        if self.links:
            shape["links"] = [_without_empty(link, "url", "label", "kind") for link in self.links]
        if self.meta:
            shape["meta"] = dict(self.meta)
        if self.body:
            shape["body"] = self.body
        if self.intact is not None:
            shape["intact"] = self.intact
        return shape

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Message:
        """The inverse of ``to_json``. Raises InvalidMessageError where the shape differs."""
        stored = {"msg_id", "intact"}
        for name in ("msg_id", "timestamp"):
            if not isinstance(data, Mapping) or not isinstance(data.get(name), str) or not data[name]:
                raise InvalidMessageError(f"{name} is missing: every stored message has one")
        if data.get("intact") not in (True, False, None):
            raise InvalidMessageError(f"intact must be true or false, not {data['intact']!r:.60}")
        draft = Draft.from_json({key: value for key, value in data.items() if key not in stored})
        message = message_from(draft, data["msg_id"], _time_from_json(data["timestamp"]), data.get("intact"))
        return replace(message, issue_id=draft.issue_id)


class _WritableMessage:
    """The slots of a ``Message``, writable: ``new_message`` fills them."""

    __slots__ = Message.__slots__


def new_message(
    msg_id: str, ts: datetime, type_: str, project_id: str, task_id: str, run_id: str, issue_id: str,
    parents: tuple[Parent, ...], links: tuple[Link, ...], meta: Mapping[str, str], body: str, intact: bool | None,
) -> Message:  # fmt: skip
    """The same as ``Message(...)`` in a quarter of the time.

    A frozen dataclass sets each field through a separate call, which would take a quarter of
    all reading time and a tenth of an append. An object with the same slots, filled while they are writable,
    becomes a ``Message`` by a change of its class.
    """
    message: Any = _WritableMessage()
    message.msg_id = msg_id
    message.ts = ts
    message.type = type_
    message.project_id = project_id
    message.task_id = task_id
    message.run_id = run_id
    message.issue_id = issue_id
    message.parents = parents
    message.links = links
    message.meta = meta
    message.body = body
    message.intact = intact
    message.__class__ = Message
    return message  # type: ignore[no-any-return]  # it is a Message now


def message_from(draft: Draft, msg_id: str, ts: datetime, intact: bool | None = True) -> Message:
    """The message that ``draft`` becomes with this id and time (UTC)."""
    issue_id = draft.issue_id or (msg_id if draft.type.upper() == ISSUE else "")
    return new_message(
        msg_id, ts, draft.type, draft.project_id, draft.task_id, draft.run_id, issue_id,
        as_parents(draft.parents) if draft.parents else (),
        tuple(draft.links) if draft.links else (),
        dict(draft.meta) if draft.meta else {}, draft.body.rstrip("\r\n"), intact,
    )  # fmt: skip


def as_parents(parents: Iterable[str | Parent]) -> tuple[Parent, ...]:
    """``parents`` with each bare id as a ``Parent``, and nothing shared with the caller."""
    return tuple(
        [Parent(p) if isinstance(p, str) else Parent(p.msg_id, p.kind, dict(p.meta) if p.meta else {}) for p in parents]
    )


def _without_empty(item: object, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(item, name))}


def _time_from_json(text: object) -> datetime:
    try:
        return in_utc(parse_time(str(text)))
    except ValueError:
        raise InvalidMessageError(f"timestamp: {text!r} is not a time with a zone, e.g. 2026-11-21T03:14:15Z") from None


def _parents_from_json(ids: Any, relations: Any) -> tuple[Parent, ...]:
    if not isinstance(ids, list | tuple) or not all(isinstance(msg_id, str) for msg_id in ids):
        raise InvalidMessageError(f"parents must be a list of ids, not {ids!r:.60}")
    related = _objects("relations", relations, Parent)
    if not all(isinstance(parent.msg_id, str) for parent in related):
        raise InvalidMessageError("relations: msg_id must be text")
    waiting: dict[str, list[Parent]] = {}
    for parent in reversed(related):
        waiting.setdefault(parent.msg_id, []).append(parent)
    parents = [waiting[msg_id].pop() if waiting.get(msg_id) else Parent(msg_id) for msg_id in ids]
    named = {id(parent) for parent in parents}
    return (*parents, *(parent for parent in related if id(parent) not in named))


def _links_from_json(links: Any) -> tuple[Link, ...]:
    return tuple(_objects("links", links, Link))


def _objects(name: str, items: Any, cls: type[_T]) -> list[_T]:
    if not isinstance(items, list | tuple):
        raise InvalidMessageError(f"{name} must be a list of objects, not {items!r:.60}")
    try:
        return [cls(**item) for item in items]
    except TypeError:
        raise InvalidMessageError(f"{name}: expected objects with the fields of a {cls.__name__}") from None
