"""Records exactly as ``encode`` writes them, decoded the fast way; nearly all are.

``read_canonical`` knows the order of the fields, their indentation, and the offsets of the id and the time, so it
looks for a few line ends instead of matching each line. Whatever it does not expect it leaves to ``read_record``
(decode.py), which gives the same message for what both can read. The lines of agents repeat: the block of
single values, an entry of ``meta``, a kind. What they mean is remembered, where they are short.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from messagebus.codec import header
from messagebus.codec.framing import MAX_HEADER, OTHER_FIELDS, unescape
from messagebus.message import SCALAR_FIELDS, Link, Message, Parent, new_message

_LONGEST_HEADER = (MAX_HEADER - OTHER_FIELDS) // 4  # characters, which have at most four bytes
_LONGEST_BLOCK = 1024  # characters of single values that are remembered
_LONGEST_LINE = 256  # characters of any other line that is
_SCALAR_FIELDS = frozenset(SCALAR_FIELDS)
_Relations = tuple[tuple[Parent, ...], tuple[Link, ...], dict[str, str]]
_NONE: _Relations = (), (), {}


def read_canonical(record: bytes) -> Message | None:
    """The message of a whole record, given from after ``msg_id:`` on, without its last line end; None where it
    is not exactly as ``encode`` writes it."""
    try:
        text = record.decode()
        head, closing, body = text.partition("\n---\n")
        head, _, length = head.rpartition("\ncontent_length: ")
        # " MSG-", 26 characters, "\nts: ", 27 characters, "\n"
        if head[:5] != " MSG-" or head[31:36] != "\nts: " or head[46:47] != "T" or head[63:64] != "\n":
            return None
        size = len(body) if body.isascii() else len(body.encode())
        if not closing or length != f"{size}" or body.endswith(("\n", "\r")):
            return None
        ts = datetime.fromisoformat(head[36:63])
        if not head[5:31].isalnum() or ts.tzinfo is not UTC or "\0" in body or len(head) > _LONGEST_HEADER:
            return None
        block = head[63:]
        parents, links, meta = _NONE
        if ":\n" in block:
            block, parents, links, meta = _relations(block)
        scalars = _short_block(block) if len(block) <= _LONGEST_BLOCK else _block(block)
    except ValueError:
        return None
    if "\\---" in body:
        body = unescape(body.encode()).decode()
    type_, project_id, task_id, run_id, issue_id = scalars
    return new_message(
        head[1:31], ts, type_, project_id, task_id, run_id, issue_id, parents, links, meta or {}, body, True
    )


def _block(lines: str) -> tuple[str, str, str, str, str]:
    """``type`` to ``issue_id``. Raises ValueError where there is anything else."""
    fields = header.parse_subset(lines[1:])
    if fields is None or not fields.keys() <= _SCALAR_FIELDS:
        raise ValueError("more than single values")
    type_, project_id, task_id, run_id, issue_id = (fields.get(name, "") for name in SCALAR_FIELDS)
    return type_ or "INFO", project_id, task_id, run_id, issue_id


_short_block = lru_cache(maxsize=512)(_block)


def _relations(fields: str) -> tuple[str, tuple[Parent, ...], tuple[Link, ...], dict[str, str]]:
    """The fields from ``type`` on: the block of single values, then parents, links and meta. Raises ValueError."""
    parents: tuple[Parent, ...] = ()
    links: tuple[Link, ...] = ()
    fields, has_meta, meta = fields.partition("\nmeta:\n")
    if "\nlinks:\n" in fields:
        fields, _, text = fields.partition("\nlinks:\n")
        links = tuple(map(_link, _items(text, "  - url: ")))
    if "\nparents:\n" in fields:
        fields, _, text = fields.partition("\nparents:\n")
        parents = tuple(map(_parent, _items(text, "  - msg_id: ")))
    return fields, parents, links, _mapping(meta, "  ") if has_meta else {}


def _items(text: str, begin: str) -> list[str]:
    """The items of a list, each without what they begin with."""
    if not text.startswith(begin):
        raise ValueError("a list that begins otherwise")
    return text[len(begin) :].split("\n" + begin)


def _parent(item: str) -> Parent:
    msg_id, _, below = item.partition("\n")
    if msg_id[:4] != "MSG-" or not msg_id[4:].isalnum() or not msg_id.isascii():
        msg_id = _value(msg_id)  # which may need quotes
    if not below:
        return Parent(msg_id)
    kind, meta = _short_parent_fields(below) if len(below) <= _LONGEST_LINE else _parent_fields(below)
    return Parent(msg_id, kind, dict(meta) if meta else {})


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
    fields = {}
    for line in text.split("\n"):
        name, value = _short_entry(line, indent) if len(line) <= _LONGEST_LINE else _entry(line, indent)
        fields[name] = value
    return fields


def _entry(line: str, indent: str) -> tuple[str, str]:
    fields = header.parse_subset(line[len(indent) :]) if line.startswith(indent) else None
    pairs = [(name, value) for name, value in (fields or {}).items() if isinstance(value, str)]
    if len(pairs) != 1:
        raise ValueError("not one entry")
    return pairs[0]


_short_entry = lru_cache(maxsize=1024)(_entry)


def _value(text: str) -> str:
    """A value that is not empty."""
    value = _entry(f"v: {text}", "")[1]
    if not value:
        raise ValueError("an empty id or url")
    return value
