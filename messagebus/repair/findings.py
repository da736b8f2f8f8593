"""What a check can find: the codes, and their texts (docs/checks.md explains each)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

# A code never changes its meaning, because scripts rely on it. Codes from BUS101 on are information, not damage.
CODES = {
    "header": "BUS001", "torn": "BUS002", "length": "BUS003", "duplicate": "BUS004", "order": "BUS005",
    "line-ends": "BUS006", "stray": "BUS007", "overlap": "BUS008", "gap": "BUS009", "link": "BUS010",
    "leftover": "BUS011", "joined": "BUS012", "no-length": "BUS101", "one-line": "BUS102", "repaired": "BUS103",
    "parent": "BUS104", "late": "BUS105", "quoted": "BUS106",
}  # fmt: skip
_TEXTS = {
    "header": "the header of this record cannot be read: {why}",
    "torn": "this record is torn: {why}",
    "length": "the length of this record is wrong: {why}",
    "duplicate": "another record has the same id",
    "order": "its id is earlier than that of the record above it",
    "line-ends": "lines end in CRLF in this record, and in LF in others of the file",
    "stray": "text that belongs to no record begins {where}",
    "overlap": "its first id is earlier than the last id of {before}: the two files overlap",
    "gap": "messages may be missing here: {before} was archived {seconds:,} seconds before the next message",
    "joined": "the blank line above this record is missing, so it is part of the text of {above}; "
    "'--fix --split-joined' makes it a message again",
    "no-length": "records without a content_length, from the Go tool or written by hand: {count:,}, the first one here",
    "one-line": "one-line messages: {count:,}, the first one here",
    "repaired": "records that a repair has marked as damaged: {count:,}, the first one here",
    "parent": "its parent {parent} is not on this bus: it is on another bus, or was removed from this one",
    "late": "records of the Go tool with ids slightly earlier than the one above them: {count:,}, the first one here",
    "quoted": "the text of {above} contains what may be this record, but its id is not between the ids around it",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found.

    ``code`` is stable (docs/checks.md). ``is_damage`` is False for mere information. In the file ``path``,
    ``line`` counts from 1 and ``offset``, in bytes, from 0; a ``line`` of 0 means the file as a whole.
    """

    code: str
    path: str
    text: str
    line: int = 0
    offset: int = 0
    msg_id: str = ""

    @property
    def is_damage(self) -> bool:
        """Is it damage, and not only information?"""
        return self.code < "BUS100"


class Location(NamedTuple):
    """Where a record is, kept for findings that are decided only later."""

    path: str
    line: int
    offset: int
    msg_id: str


def found_at(location: Location, name: str, **details: object) -> Finding:
    """A finding about a record; ``name`` is a key of CODES, ``details`` fill in its text."""
    text = _TEXTS[name].format(**details)
    return Finding(CODES[name], location.path, text, location.line, location.offset, location.msg_id)


def found_in(path: str, name: str, text: str) -> Finding:
    """A finding about a whole file."""
    return Finding(CODES[name], path, text)
