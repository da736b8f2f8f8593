"""Records exactly as ``encode`` writes them, decoded the fast way; nearly all are.

``read_canonical`` knows the order of the fields, their indentation, and the offsets of the id and the time, so it
looks for a few line ends instead of matching each line. Whatever it does not expect it leaves to ``read_record``
(lenient.py), which gives the same message for what both can read. The lines of agents repeat: the block of
single values, an entry of ``meta``, a kind. What they mean is remembered, where they are short.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from messagebus.codec import header
from messagebus.codec.framing import MAX_HEADER, OTHER_FIELDS, unescape
from messagebus.message import ISSUE, SCALAR_FIELDS, Link, Message, Parent, new_message

_LONGEST_HEADER = (MAX_HEADER - OTHER_FIELDS) // 4  # characters, which have at most four bytes
_LONGEST_BLOCK = 1024  # characters of single values that are remembered
_LONGEST_LINE = 256  # characters of any other line that is
_SCALAR_FIELDS = frozenset(SCALAR_FIELDS)

_NO_META: dict[str, str] = {}
_Scalars = tuple[str, str, str, str, str]


def read_canonical(record: bytes) -> Message | None:
    """The message of a whole record, given from after ``msg_id:`` on, without its last line end; None where it
    is not exactly as ``encode`` writes it."""
    try:
        text = record.decode()
        head, closing, body = text.partition("\n---\n")
        head, _, length = head.rpartition("\ncontent_length: ")
        # " MSG-", 26 characters, "\nts: ", 27 characters, "\n"
        if head[:5] != " MSG-" or head[31:36] != "\nts: " or head[63:64] != "\n" or head[46] != "T":
            return None
        size = len(record) - len(text) + len(body) if head.isascii() else len(body.encode())
        if not closing or length != str(size) or body.endswith(("\n", "\r")) or "\0" in body:
            return None
        ts = datetime.fromisoformat(head[36:63])
        if not record[5:31].isalnum() or ts.tzinfo is not UTC or len(head) > _LONGEST_HEADER:
            return None
        msg_id, block = head[1:31], head[63:]
        parents: tuple[Parent, ...] = ()
        links: tuple[Link, ...] = ()
        meta: dict[str, str] = {}
        if ":\n" in block:
            if "\n  - " in block:
                block, parents, links, meta = _relations(block)
            else:
                block, _, lines = block.partition("\nmeta:\n")
                meta = _mapping(lines, "  ")
        if block[7:12] == ISSUE:
            type_, project_id, task_id, run_id, issue_id = _issue(block, msg_id)
        else:
            type_, project_id, task_id, run_id, issue_id = _block(block)
    except ValueError:
        return None
    if "\\" in body and "\\---" in body:
        body = unescape(body.encode()).decode()
    return new_message(msg_id, ts, type_, project_id, task_id, run_id, issue_id, parents, links, meta, body, True)


def _block(lines: str) -> _Scalars:
    """``type`` to ``issue_id``, each with the line end above it. Raises ValueError where there is anything else."""
    return _short_block(lines) if len(lines) <= _LONGEST_BLOCK else _parsed_block(lines)


def _parsed_block(lines: str) -> _Scalars:
    fields = header.parse_subset(lines[1:])
    if fields is None or not fields.keys() <= _SCALAR_FIELDS:
        raise ValueError("more than single values")
    type_, project_id, task_id, run_id, issue_id = (fields.get(name, "") for name in SCALAR_FIELDS)
    return type_ or "INFO", project_id, task_id, run_id, issue_id


_short_block = lru_cache(maxsize=512)(_parsed_block)


def _issue(lines: str, msg_id: str) -> _Scalars:
    """The block of an issue: no other record has its ``issue_id``, so that is taken off before."""
    others = lines.removesuffix(f"\nissue_id: {msg_id}")
    type_, project_id, task_id, run_id, issue_id = _block(others)
    if issue_id and others != lines:
        raise ValueError("issue_id twice")
    return type_, project_id, task_id, run_id, issue_id if others == lines else msg_id


def _relations(fields: str) -> tuple[str, tuple[Parent, ...], tuple[Link, ...], dict[str, str]]:
    """The block, then parents, links and meta. Raises ValueError."""
    fields, has_meta, meta = fields.partition("\nmeta:\n")
    fields, has_links, links = fields.partition("\nlinks:\n")
    block, has_parents, parents = fields.partition("\nparents:\n")
    return (
        block,
        tuple([_parent(item) for item in _items(parents, "  - msg_id: ")]) if has_parents else (),
        tuple([_link(item) for item in _items(links, "  - url: ")]) if has_links else (),
        _mapping(meta, "  ") if has_meta else {},
    )


def _items(text: str, begin: str) -> list[str]:
    """The items of a list, each without what they begin with."""
    if not text.startswith(begin):
        raise ValueError("a list that begins otherwise")
    return text[len(begin) :].split("\n" + begin)


class _WritableParent:
    """The slots of a ``Parent``, writable; see ``new_message``."""

    __slots__ = Parent.__slots__


def _parent(item: str) -> Parent:
    msg_id, _, below = item.partition("\n")
    if msg_id[:4] != "MSG-" or not msg_id[4:].encode().isalnum():  # of str, isalnum takes longer
        msg_id = _value(msg_id)  # which may need quotes
    kind, meta = "", _NO_META
    if below:
        kind, meta = _short_parent_fields(below) if len(below) <= _LONGEST_LINE else _parent_fields(below)
    parent: Any = _WritableParent()
    parent.msg_id = msg_id
    parent.kind = kind
    parent.meta = meta.copy() if meta else {}
    parent.__class__ = Parent
    return parent  # type: ignore[no-any-return]  # it is a Parent now


def _parent_fields(text: str) -> tuple[str, dict[str, str]]:
    """Kind and meta. Raises ValueError where there is anything else."""
    fields, has_meta, meta = f"\n{text}".partition("\n    meta:\n")
    kind = _mapping(fields[1:], "    ") if fields else {}
    if not kind.keys() <= {"kind"}:
        raise ValueError("more than kind and meta")
    return kind.get("kind", ""), _mapping(meta, "      ") if has_meta else {}


_short_parent_fields = lru_cache(maxsize=512)(_parent_fields)


def _link(item: str) -> Link:
    url, _, below = item.partition("\n")
    fields = _mapping(below, "    ") if below else {}
    if not fields.keys() <= {"label", "kind"}:
        raise ValueError("more than label and kind")
    return Link(_value(url), fields.get("label", ""), fields.get("kind", ""))


def _mapping(text: str, indent: str) -> dict[str, str]:
    """Entries of one level, indented by ``indent``."""
    if "\n" in text:
        return dict([_entry(line, indent) for line in text.split("\n")])
    name, value = _entry(text, indent)
    return {name: value}


def _entry(line: str, indent: str) -> tuple[str, str]:
    return _short_entry(line, indent) if len(line) <= _LONGEST_LINE else _parsed_entry(line, indent)


def _parsed_entry(line: str, indent: str) -> tuple[str, str]:
    entry = header.parse_entry(line, len(indent)) if line.startswith(indent) else None
    if entry is None:
        raise ValueError("not one entry")
    return entry


_short_entry = lru_cache(maxsize=1024)(_parsed_entry)


def _value(text: str) -> str:
    """A value that is not empty."""
    value = _parsed_entry(f"v: {text}", "")[1]
    if not value:
        raise ValueError("an empty id or url")
    return value
